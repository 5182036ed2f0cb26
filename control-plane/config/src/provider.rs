//! `extensionProviders` of the mesh: external authorizers that CUSTOM policies name. The names of the fields are those of Istio's MeshConfig.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::Host;
use crate::reader::Reader;
use crate::record::record;

/// Istio's, for a provider that does not say how long it may take.
const TIMEOUT: Duration = Duration::from_secs(600);
const FORBIDDEN: u16 = 403;

/// How a provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderProtocol {
    /// Envoy's `envoy.service.auth.v3.Authorization`; it can be asked of TCP connections too.
    Grpc,
    /// The request without its body, or with the start of it; 200 allows.
    Http(HttpCheck),
}

record! {
    /// What an HTTP provider is shown, and what of its answer goes on. A name may have `*` at its start or its end.
    #[derive(Eq, Default)]
    HttpCheck {
        text path_prefix,
        list to_upstream_on_allow: String,
        list to_downstream_on_deny: String,
        list to_downstream_on_allow: String,
        /// Beside method, path, host and `authorization`, which it is always shown.
        list from_request: String,
        plain additional: BTreeMap<String, String>,
    }
}

record! {
    /// How much of a request's body a provider is shown.
    #[derive(Eq)]
    CheckedBody {
        copy max_bytes: u32,
        /// A longer body is shown cut; else it is refused with 413.
        copy partial: bool,
        copy as_bytes: bool,
    }
}

record! {
    /// An external authorizer.
    #[derive(Eq)]
    Provider {
        text name,
        /// Of the ServiceEntry, where it is written.
        maybe_text namespace,
        plain host: Host,
        copy port: u16,
        copy timeout: Duration,
        /// What the client gets when the provider cannot be asked.
        copy status_on_error: u16,
        maybe body: CheckedBody,
        plain protocol: ProviderProtocol,
    }
}

impl Provider {
    /// Whether it can be asked of a connection that has no requests.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        match self.protocol {
            ProviderProtocol::Grpc => true,
            ProviderProtocol::Http(_) => false,
        }
    }
}

/// Reads `extensionProviders`.
pub(crate) fn read_all(list: &Reader<'_>) -> Vec<Provider> {
    let items = list.items();
    let providers: Vec<Provider> = items.iter().filter_map(read).collect();
    let names: Vec<Option<String>> = items.iter().map(|item| item.get("name").text()).collect();
    for (index, (item, name)) in items.iter().zip(&names).enumerate() {
        if name.is_some() && names.iter().take(index).any(|earlier| earlier == name) {
            item.get("name").fail("the name is given to two providers");
        }
    }
    providers
}

fn read(item: &Reader<'_>) -> Option<Provider> {
    let name = item.get("name").required_text();
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        item.get("name").fail("allowed are `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`");
    }
    let (http, grpc) = (item.get("envoyExtAuthzHttp"), item.get("envoyExtAuthzGrpc"));
    let (field, protocol) = match (http.is_present(), grpc.is_present()) {
        (true, false) => (http.clone(), ProviderProtocol::Http(read_http(&http))),
        (false, true) => (grpc, ProviderProtocol::Grpc),
        _ => {
            item.fail("has to have one of `envoyExtAuthzHttp` and `envoyExtAuthzGrpc`");
            return None;
        }
    };
    if field.get("failOpen").flag() == Some(true) {
        field.get("failOpen").fail("true would allow whatever the provider cannot be asked about: allowed is `false`");
    }
    let service = field.get("service").required().and_then(|service| read_service(&service));
    let port = field.get("port").required().and_then(|port| port.port());
    let (namespace, host) = service?;
    Some(Provider {
        name: name?,
        namespace,
        host,
        port: port?,
        timeout: field.get("timeout").duration().unwrap_or(TIMEOUT),
        status_on_error: read_status(&field.get("statusOnError")),
        body: read_body(&field.get("includeRequestBodyInCheck")),
        protocol,
    })
}

/// Proxies are told of providers in a list with commas.
fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// `host`, or `namespace/host`.
fn read_service(field: &Reader<'_>) -> Option<(Option<String>, Host)> {
    let text = field.text()?;
    let (namespace, host) = text.split_once('/').map_or((None, text.as_str()), |(namespace, host)| (Some(namespace.to_owned()), host));
    match Host::parse(host) {
        Ok(found) if found.is_wildcard() => field.fail(format!("`{text}` has a wildcard: the host of a ServiceEntry is allowed")),
        Ok(found) if namespace.as_deref() != Some("") => return Some((namespace, found)),
        Ok(_) => field.fail(format!("found `{text}`, expected `host` or `namespace/host`")),
        Err(error) => field.fail(format!("found `{text}`: {error}")),
    }
    None
}

fn read_http(field: &Reader<'_>) -> HttpCheck {
    let prefix = field.get("pathPrefix");
    let path_prefix = prefix.text().unwrap_or_default();
    if prefix.is_present() && !is_path(&path_prefix) {
        prefix.fail("a path prefix starts with `/` and has neither `?`, `#` nor spaces");
    }
    let additional = field.get("includeAdditionalHeadersInCheck");
    for (name, value) in additional.entries() {
        let visible = |b: u8| b == b' ' || b.is_ascii_graphic();
        if !is_header(&name) || !value.text().unwrap_or_default().bytes().all(visible) {
            value.fail("a header has a name of letters, digits and `-_.`, and a value of visible ASCII characters");
        }
    }
    HttpCheck {
        path_prefix,
        to_upstream_on_allow: read_headers(&field.get("headersToUpstreamOnAllow")),
        to_downstream_on_deny: read_headers(&field.get("headersToDownstreamOnDeny")),
        to_downstream_on_allow: read_headers(&field.get("headersToDownstreamOnAllow")),
        from_request: read_headers(&field.get("includeRequestHeadersInCheck")),
        additional: additional.entries().into_iter().filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.text()?))).collect(),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'))
}

/// Names are compared in lower case, as Envoy has them.
fn read_headers(list: &Reader<'_>) -> Vec<String> {
    let read = |item: &Reader<'_>| {
        let text = item.text()?;
        let plain = text.strip_suffix('*').or_else(|| text.strip_prefix('*')).unwrap_or(&text);
        if text != "*" && !is_header(plain) {
            item.fail(format!("found `{text}`, expected a header's name, with at most one `*`, at its start or its end"));
        }
        Some(text.to_ascii_lowercase())
    };
    list.items().iter().filter_map(read).collect()
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A status that says no, and that Envoy has a name for.
fn read_status(field: &Reader<'_>) -> u16 {
    let Some(text) = field.text() else { return FORBIDDEN };
    let known = |status: &u16| matches!(status, 400..=417 | 421..=424 | 426 | 428 | 429 | 431 | 500..=508 | 510 | 511);
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let status = text.parse().ok().filter(|status| digits && known(status));
    if status.is_none() {
        field.fail(format!("found `{text}`, expected the status of an error, such as `\"403\"` or `\"503\"`"));
    }
    status.unwrap_or(FORBIDDEN)
}

fn read_body(field: &Reader<'_>) -> Option<CheckedBody> {
    if !field.is_present() {
        return None;
    }
    let max_bytes = field.get("maxRequestBytes").required().and_then(|bytes| bytes.integer(1..=i64::from(u32::MAX)));
    Some(CheckedBody {
        max_bytes: max_bytes?,
        partial: field.get("allowPartialMessage").flag().unwrap_or(false),
        as_bytes: field.get("packAsBytes").flag().unwrap_or(false),
    })
}

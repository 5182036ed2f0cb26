//! VirtualService: which requests go where.

use std::time::Duration;

use crate::host::Host;
use crate::key::DocumentKey;
use crate::record::record;
use crate::string_match::StringMatch;

mod read;
mod tls;

/// Where a VirtualService holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GatewayRef {
    /// In every sidecar: the reserved name `mesh`, and the meaning of a VirtualService that names no gateways.
    Mesh,
    Gateway {
        namespace: String,
        name: String,
    },
}

record! {
    /// A VirtualService.
    #[derive(Eq)]
    VirtualService {
        plain key: DocumentKey,
        /// As written; a short name is completed when the state is assembled.
        list hosts: Host,
        /// Never empty.
        list gateways: GatewayRef,
        /// In order: the first that matches decides. Never empty where it holds in sidecars.
        list http: HttpRoute,
        /// For TLS that passes through gateways; never where it holds in sidecars. Not empty where `http` is.
        list tls: TlsRoute,
    }
}

impl VirtualService {
    /// Whether it holds in sidecars.
    #[must_use]
    pub fn applies_to_mesh(&self) -> bool {
        self.gateways.contains(&GatewayRef::Mesh)
    }

    /// Every destination of every route, with the path of its field.
    pub fn destinations(&self) -> impl Iterator<Item = (String, &Destination)> {
        let http = self.http.iter().map(HttpRoute::destinations).enumerate().map(|(index, route)| ("http", index, route));
        let tls = self.tls.iter().map(TlsRoute::route).enumerate().map(|(index, route)| ("tls", index, route));
        http.chain(tls).flat_map(|(list, index, route)| {
            let path = move |at| format!("spec.{list}[{index}].route[{at}].destination");
            route.iter().enumerate().map(move |(at, weighted)| (path(at), weighted.destination()))
        })
    }
}

record! {
    /// One entry of `tls`: connections that pass through, by the name that their client asks for.
    #[derive(Eq)]
    TlsRoute {
        /// It applies when any of them matches. Never empty.
        list matches: TlsMatch,
        /// Never empty; the weights are above 0 in sum. Without headers.
        list route: WeightedDestination,
    }
}

record! {
    /// One entry of a TLS route's `match`.
    #[derive(Eq)]
    TlsMatch {
        /// Never empty. Each is one of the VirtualService's hosts, or below one.
        list sni_hosts: Host,
        /// The gateway's port.
        maybe_copy port: u16,
    }
}

impl TlsMatch {
    /// Whether it is for a port of a gateway.
    #[must_use]
    pub fn is_for(&self, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
    }
}

record! {
    /// One entry of `http`.
    #[derive(Eq)]
    HttpRoute {
        maybe_text name,
        /// It applies when any of them matches, or when there is none.
        list matches: HttpMatch,
        plain action: HttpAction,
        maybe rewrite: Rewrite,
        maybe_copy timeout: Duration,
        maybe retries: Retries,
        plain headers: HeaderOperations,
    }
}

impl HttpRoute {
    /// Empty for a redirect.
    #[must_use]
    pub fn destinations(&self) -> &[WeightedDestination] {
        match &self.action {
            HttpAction::Route(destinations) => destinations,
            HttpAction::Redirect(_) => &[],
        }
    }
}

/// What happens with a request that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAction {
    /// Never empty; the weights are above 0 in sum.
    Route(Vec<WeightedDestination>),
    Redirect(Redirect),
}

/// What is asked of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderMatch {
    /// It is there, whatever its value.
    Present,
    Value(StringMatch),
}

record! {
    /// One entry of `match`: all that is said must hold.
    #[derive(Eq)]
    HttpMatch {
        maybe_text name,
        maybe uri: StringMatch,
        /// For `uri`'s exact and prefix matches.
        copy ignore_uri_case: bool,
        maybe scheme: StringMatch,
        maybe method: StringMatch,
        maybe authority: StringMatch,
        /// Names are in lower case.
        list headers: (String, HeaderMatch),
        /// Headers that must not be so.
        list without_headers: (String, HeaderMatch),
        list query_params: (String, StringMatch),
        /// The port of the service that was called.
        maybe_copy port: u16,
    }
}

record! {
    #[derive(Eq)]
    WeightedDestination {
        plain destination: Destination,
        /// Relative to the route's other destinations; 1 for a destination that is alone.
        copy weight: u32,
        plain headers: HeaderOperations,
    }
}

record! {
    #[derive(Eq)]
    Destination {
        /// As written; a short name is completed when the state is assembled.
        plain host: Host,
        maybe_text subset,
        /// May only be missing when the service has one port.
        maybe_copy port: u16,
    }
}

record! {
    #[derive(Eq)]
    Rewrite {
        /// Replaces the path, or the prefix that matched.
        maybe_text uri,
        maybe_text authority,
    }
}

record! {
    #[derive(Eq)]
    Redirect {
        /// Replaces the whole path.
        maybe_text uri,
        maybe_text authority,
        maybe_text scheme,
        maybe_copy port: u16,
        /// 301, 302, 303, 307 or 308.
        copy code: u16,
    }
}

record! {
    #[derive(Eq)]
    Retries {
        /// After the first attempt; 0 switches retries off.
        copy attempts: u32,
        maybe_copy per_try_timeout: Duration,
        /// Envoy's conditions, and status codes; none said: Istio's default conditions.
        list retry_on: String,
    }
}

record! {
    #[derive(Eq, Default)]
    HeaderOperations {
        plain request: HeaderEdits,
        plain response: HeaderEdits,
    }
}

record! {
    #[derive(Eq, Default)]
    HeaderEdits {
        /// Replaces what is there.
        list set: (String, String),
        list add: (String, String),
        list remove: String,
    }
}

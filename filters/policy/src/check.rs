//! One compiled field of a rule: a test of one attribute against the field's values.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::jwt::Claims;
use crate::matcher::identity::{NamespaceMatch, PrincipalMatch, ServiceAccountMatch, TrustDomainMatch};
use crate::matcher::path::PathMatch;
use crate::matcher::principal::RequestPrincipalMatch;
use crate::matcher::text::TextMatch;
use crate::metadata::{MetadataKey, MetadataMatch};
use crate::request::Request;
use crate::wire::Action;

/// Any of the values matches (`X`), or none does (`notX`).
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) test: Test,
    pub(crate) negated: bool,
}

/// The values of one field; they are alternatives.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Principals(Vec<PrincipalMatch>),
    Namespaces(Vec<NamespaceMatch>),
    ServiceAccounts(Vec<ServiceAccountMatch>),
    TrustDomains(Vec<TrustDomainMatch>),
    DirectIp(Vec<IpNet>),
    RemoteIp(Vec<IpNet>),
    DestinationIp(Vec<IpNet>),
    DestinationPort(Vec<u16>),
    Sni(Vec<TextMatch>),
    Metadata(MetadataKey, Vec<MetadataMatch>),
    RequestPrincipals(Vec<RequestPrincipalMatch>),
    Hosts(Vec<TextMatch>),
    Methods(Vec<TextMatch>),
    Paths(Vec<PathMatch>),
    Header(String, Vec<TextMatch>, Repeated),
    /// The path into the token's claims.
    Claim(Vec<String>, Vec<TextMatch>),
}

/// How a header is compared that a request has more than once. Proxies and apps differ: some join the values with `,`, as Envoy did until
/// 1.37, some look at each, as Envoy does since, some at one. What denies must see all of it, and what allows must not be fooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The values joined with `,`, and nothing else.
    Joined,
    /// The values joined, and also each by itself.
    AnyReading,
}

impl Check {
    /// What the check is part of decides how a repeated header is read: so that of two readings the one holds that allows less.
    pub(crate) fn for_action(&mut self, action: Action) {
        if let Test::Header(_, _, repeated) = &mut self.test {
            let denies = action != Action::Allow;
            *repeated = if denies == self.negated { Repeated::Joined } else { Repeated::AnyReading };
        }
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.test.matches(request) != self.negated
    }

    /// As a source's or an operation's field is written.
    pub(crate) fn field(&self) -> Cow<'static, str> {
        let name = self.test.field();
        if self.negated { negated(name).into() } else { name.into() }
    }

    /// As the key of a condition is written, and whether it is about `notValues`.
    pub(crate) fn key(&self) -> Cow<'static, str> {
        let key = self.test.key();
        if self.negated { [&key, " (notValues)"].concat().into() } else { key }
    }
}

/// `notPrincipals` for `principals`.
pub(crate) fn negated(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    format!("not{}", first.chain(letters).collect::<String>())
}

impl Test {
    /// Whether a TCP connection has no such attribute (mesh semantics, "HTTP attributes on TCP").
    pub(crate) fn is_http_only(&self) -> bool {
        match self {
            Self::RequestPrincipals(_) | Self::Hosts(_) | Self::Methods(_) | Self::Paths(_) | Self::Header(..) | Self::Claim(..) => true,
            Self::Principals(_)
            | Self::Namespaces(_)
            | Self::ServiceAccounts(_)
            | Self::TrustDomains(_)
            | Self::DirectIp(_)
            | Self::RemoteIp(_)
            | Self::DestinationIp(_)
            | Self::DestinationPort(_)
            | Self::Sni(_)
            | Self::Metadata(..) => false,
        }
    }

    /// The name of the field of a source or an operation that tests it.
    fn field(&self) -> &'static str {
        match self {
            Self::Principals(_) => "principals",
            Self::Namespaces(_) => "namespaces",
            Self::ServiceAccounts(_) => "serviceAccounts",
            Self::TrustDomains(_) => "trustDomains",
            Self::DirectIp(_) => "ipBlocks",
            Self::RemoteIp(_) => "remoteIpBlocks",
            Self::DestinationIp(_) => "destination.ip",
            Self::DestinationPort(_) => "ports",
            Self::Sni(_) => "connection.sni",
            Self::Metadata(..) => "experimental.envoy.filters",
            Self::RequestPrincipals(_) => "requestPrincipals",
            Self::Hosts(_) => "hosts",
            Self::Methods(_) => "methods",
            Self::Paths(_) => "paths",
            Self::Header(..) => "request.headers",
            Self::Claim(..) => "request.auth.claims",
        }
    }

    /// The key of a condition that tests it.
    fn key(&self) -> Cow<'static, str> {
        match self {
            Self::Principals(_) => "source.principal".into(),
            Self::Namespaces(_) => "source.namespace".into(),
            Self::ServiceAccounts(_) => "source.serviceAccount".into(),
            Self::TrustDomains(_) => "source.trustDomain".into(),
            Self::DirectIp(_) => "source.ip".into(),
            Self::RemoteIp(_) => "remote.ip".into(),
            Self::DestinationPort(_) => "destination.port".into(),
            Self::RequestPrincipals(_) => "request.auth.principal".into(),
            Self::Header(name, ..) => ["request.headers[", name, "]"].concat().into(),
            Self::Metadata(key, _) => key.to_string().into(),
            Self::Claim(path, _) => ["request.auth.claims[", &path.join("]["), "]"].concat().into(),
            Self::DestinationIp(_) | Self::Sni(_) | Self::Hosts(_) | Self::Methods(_) | Self::Paths(_) => self.field().into(),
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        let connection = request.connection;
        match self {
            Self::Principals(values) => values.iter().any(|value| value.matches(&connection.peer)),
            Self::Namespaces(values) => values.iter().any(|value| value.matches(&connection.peer)),
            Self::ServiceAccounts(values) => values.iter().any(|value| value.matches(&connection.peer)),
            Self::TrustDomains(values) => values.iter().any(|value| value.matches(&connection.peer)),
            Self::DirectIp(blocks) => in_blocks(blocks, connection.direct_ip),
            Self::RemoteIp(blocks) => in_blocks(blocks, connection.remote_ip),
            Self::DestinationIp(blocks) => in_blocks(blocks, connection.destination.map(|address| address.ip())),
            Self::DestinationPort(ports) => connection.destination.is_some_and(|address| ports.contains(&address.port())),
            Self::Sni(values) => connection.sni.as_ref().is_some_and(|sni| any(values, sni.as_bytes())),
            Self::Metadata(key, values) => metadata_matches(key, values, request),
            Self::RequestPrincipals(values) => principal_matches(values, request),
            Self::Claim(path, values) => {
                claims(request).is_some_and(|claims| claims.any_string(path, |found| any(values, found.as_bytes())))
            }
            // Of a header `*` is its presence, also of an empty one.
            Self::Hosts(values) => request.http.is_some_and(|http| {
                let host = http.headers().first(":authority");
                host.is_some_and(|host| values.iter().any(|value| *value == TextMatch::Present || value.matches_ignoring_case(host)))
            }),
            Self::Methods(values) => request.http.is_some_and(|http| any(values, http.method())),
            Self::Paths(values) => request.http.is_some_and(|http| values.iter().any(|value| value.matches(http.path()))),
            Self::Header(name, values, repeated) => header_matches(name, values, *repeated, request),
        }
    }
}

// Each a function of its own: they are long, and few rules have them.

#[inline(never)]
fn metadata_matches(key: &MetadataKey, values: &[MetadataMatch], request: &Request<'_>) -> bool {
    request.connection.metadata.get(key).is_some_and(|found| values.iter().any(|value| value.matches(found)))
}

#[inline(never)]
fn principal_matches(values: &[RequestPrincipalMatch], request: &Request<'_>) -> bool {
    claims(request).is_some_and(|claims| values.iter().any(|value| value.matches(claims.issuer(), claims.subject())))
}

#[inline(never)]
fn header_matches(name: &str, values: &[TextMatch], repeated: Repeated, request: &Request<'_>) -> bool {
    request.http.is_some_and(|http| {
        let found = http.headers().all(name);
        let any_reading = |value: &TextMatch| repeated == Repeated::AnyReading && found.clone().any(|one| value.matches(one));
        values.iter().any(|value| value.matches_joined(found.clone()) || any_reading(value))
    })
}

fn claims<'a>(request: &Request<'a>) -> Option<&'a Claims> {
    request.authentication.claims()
}

fn any(values: &[TextMatch], found: &[u8]) -> bool {
    values.iter().any(|value| value.matches(found))
}

fn in_blocks(blocks: &[IpNet], address: Option<IpAddr>) -> bool {
    let Some(address) = address.map(|address| address.to_canonical()) else { return false };
    blocks.iter().any(|block| block.contains(&address))
}

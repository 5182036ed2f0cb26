use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::{Scope, values};
use crate::check::{Check, Repeated, Test};
use crate::field_path::FieldPath;
use crate::headers::is_token;
use crate::invalid::Errors;
use crate::matcher::identity::{NamespaceMatch, PrincipalMatch, ServiceAccountMatch, TrustDomainMatch};
use crate::matcher::principal::RequestPrincipalMatch;
use crate::matcher::text::TextMatch;
use crate::metadata::{MetadataKey, MetadataMatch};
use crate::wire;

const ALLOWED: &str = "request.headers[NAME], source.ip, remote.ip, source.namespace, source.serviceAccount, source.trustDomain, \
                       source.principal, request.auth.principal, request.auth.audiences, request.auth.presenter, \
                       request.auth.claims[NAME], destination.ip, destination.port, connection.sni or experimental.envoy.filters.FILTER[NAME] is allowed";

#[inline(never)]
pub(super) fn compile(condition: &wire::Condition, scope: Scope<'_>, path: &FieldPath<'_>, errors: &mut Errors) -> Vec<Check> {
    let wire::Condition { key, values: yes, not_values: no } = condition;
    let mut checks = Vec::new();
    if yes.is_none() && no.is_none() {
        errors.add(path, "found neither values nor notValues; at least one of them is allowed");
    }
    let Some(attribute) = errors.keep(path.field("key"), Attribute::parse(key)) else { return checks };
    pair(
        yes.as_ref(),
        no.as_ref(),
        [&path.field("values"), &path.field("notValues")],
        errors,
        &|list, path, errors| attribute.compile(list, scope, path, errors),
        &mut checks,
    );
    checks
}

/// A `when` key, parsed.
enum Attribute<'a> {
    Header(&'a str),
    SourceIp,
    RemoteIp,
    Namespace,
    ServiceAccount,
    TrustDomain,
    Principal,
    RequestPrincipal,
    Claim(Vec<String>),
    DestinationIp,
    DestinationPort,
    Sni,
    Metadata(MetadataKey),
}

impl<'a> Attribute<'a> {
    #[inline(never)]
    fn parse(key: &'a str) -> Result<Self, String> {
        let claim = |name: &str| Self::Claim(vec![name.to_owned()]);
        Ok(match key {
            "source.ip" => Self::SourceIp,
            "remote.ip" => Self::RemoteIp,
            "source.namespace" => Self::Namespace,
            "source.serviceAccount" => Self::ServiceAccount,
            "source.trustDomain" => Self::TrustDomain,
            "source.principal" => Self::Principal,
            "request.auth.principal" => Self::RequestPrincipal,
            "request.auth.audiences" => claim("aud"),
            "request.auth.presenter" => claim("azp"),
            "destination.ip" => Self::DestinationIp,
            "destination.port" => Self::DestinationPort,
            "connection.sni" => Self::Sni,
            _ => return Self::parse_bracketed(key),
        })
    }

    #[inline(never)]
    fn parse_bracketed(key: &'a str) -> Result<Self, String> {
        let inside = |prefix: &str| key.strip_prefix(prefix)?.strip_suffix(']').filter(|inside| !inside.is_empty());
        if let Some(name) = inside("request.headers[") {
            // A pseudo header has a `:` in front.
            let is_name = is_token(name.strip_prefix(':').unwrap_or(name));
            return if is_name {
                // Envoy keeps `host` as `:authority` and finds it by both names; no header is called `host` behind it.
                Ok(Self::Header(if name.eq_ignore_ascii_case("host") { ":authority" } else { name }))
            } else {
                Err(format!("found `{key}`; a header name (RFC 9110 section 5.1) in the brackets is allowed"))
            };
        }
        if let Some(path) = inside("request.auth.claims[") {
            // `[a][b]` goes down into nested claims; a key is literal, dots and slashes included.
            let keys: Vec<String> = path.split("][").map(str::to_owned).collect();
            return if keys.iter().any(|key| key.is_empty() || key.contains(['[', ']'])) {
                Err(format!("found `{key}`; claim names in brackets, one behind the other, are allowed"))
            } else {
                Ok(Self::Claim(keys))
            };
        }
        if let Some(metadata) = MetadataKey::parse(key) {
            return metadata.map(Self::Metadata);
        }
        Err(format!("found `{key}`; {ALLOWED}"))
    }

    #[inline(never)]
    fn compile(&self, list: &Vec<String>, scope: Scope<'_>, path: &FieldPath<'_>, errors: &mut Errors) -> Option<Test> {
        let list = Some(list);
        match self {
            Self::Header(name) => {
                values(list, path, errors, TextMatch::parse).map(|found| Test::Header((*name).to_owned(), found, Repeated::AnyReading))
            }
            Self::SourceIp => values(list, path, errors, ip_block).map(Test::DirectIp),
            Self::RemoteIp => values(list, path, errors, ip_block).map(Test::RemoteIp),
            Self::DestinationIp => values(list, path, errors, ip_block).map(Test::DestinationIp),
            Self::DestinationPort => values(list, path, errors, port).map(Test::DestinationPort),
            Self::Sni => values(list, path, errors, TextMatch::parse).map(Test::Sni),
            Self::Namespace => values(list, path, errors, NamespaceMatch::parse).map(Test::Namespaces),
            Self::ServiceAccount => {
                values(list, path, errors, |value| ServiceAccountMatch::parse(value, scope.namespace)).map(Test::ServiceAccounts)
            }
            Self::TrustDomain => values(list, path, errors, |value| TrustDomainMatch::parse(value, scope.domains)).map(Test::TrustDomains),
            Self::Principal => values(list, path, errors, |value| PrincipalMatch::parse(value, scope.domains)).map(Test::Principals),
            Self::RequestPrincipal => values(list, path, errors, RequestPrincipalMatch::parse).map(Test::RequestPrincipals),
            Self::Metadata(key) => values(list, path, errors, MetadataMatch::parse).map(|found| Test::Metadata(key.clone(), found)),
            Self::Claim(claim) => values(list, path, errors, TextMatch::parse).map(|found| Test::Claim(claim.clone(), found)),
        }
    }
}

/// Makes a test of a field's values; the path is for what is wrong with them.
pub(super) type Compile<'a> = &'a dyn Fn(&Vec<String>, &FieldPath<'_>, &mut Errors) -> Option<Test>;

/// A field and its negation, each a check of its own: both must hold.
#[inline(never)]
pub(super) fn pair(
    yes: Option<&Vec<String>>,
    no: Option<&Vec<String>>,
    paths: [&FieldPath<'_>; 2],
    errors: &mut Errors,
    compile: Compile<'_>,
    checks: &mut Vec<Check>,
) {
    for ((list, negated), path) in [(yes, false), (no, true)].into_iter().zip(paths) {
        let test = list.and_then(|list| compile(list, path, errors));
        checks.extend(test.map(|test| Check { test, negated }));
    }
}

#[inline(never)]
pub(super) fn ip_block(value: &str) -> Result<IpNet, String> {
    let parsed = value.parse::<IpNet>().or_else(|_| value.parse::<IpAddr>().map(IpNet::from));
    parsed
        .map(|block| canonical(block.trunc()))
        .map_err(|_| format!("found `{value}`; an IP address or a CIDR block, such as `10.0.0.0/8`, is allowed"))
}

/// IPv4 in IPv6 is IPv4, as it is in the addresses that a block is compared with.
fn canonical(block: IpNet) -> IpNet {
    let mapped = match block {
        IpNet::V6(six) => six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(block, IpNet::V4)
}

#[inline(never)]
pub(super) fn port(value: &str) -> Result<u16, String> {
    // `parse` alone would take a `+` in front.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = value.parse::<u16>().ok().filter(|port| digits && *port != 0);
    parsed.ok_or_else(|| format!("found `{value}`; a port from 1 to 65535 is allowed"))
}

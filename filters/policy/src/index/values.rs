//! The values that a request has of an attribute: all that a rule could match, and in the form in which rules are filed.

use std::net::IpAddr;

use super::key::Attribute;
use crate::matcher::spiffe::SpiffeView;
use crate::request::{Peer, Request};

/// A value to look up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    Bytes(&'v [u8]),
    Address(IpAddr),
}

/// Gives every value to `found`.
#[inline(never)]
pub(crate) fn of(attribute: &Attribute, request: &Request<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let connection = request.connection;
    let claims = request.authentication.claims();
    let address = match attribute {
        Attribute::DirectIp => connection.direct_ip,
        Attribute::RemoteIp => connection.remote_ip,
        Attribute::DestinationIp => connection.destination.map(|destination| destination.ip()),
        Attribute::Path
        | Attribute::Host
        | Attribute::Method
        | Attribute::PeerName
        | Attribute::Namespace
        | Attribute::Account
        | Attribute::DestinationPort
        | Attribute::Sni
        | Attribute::Issuer
        | Attribute::Subject
        | Attribute::Header(_)
        | Attribute::Claim(_) => None,
    };
    if let Some(address) = address {
        found(Value::Address(address.to_canonical()));
    }
    let mut bytes = |bytes: &[u8]| found(Value::Bytes(bytes));
    match attribute {
        Attribute::Path => request.http.iter().for_each(|http| bytes(http.path())),
        Attribute::Method => request.http.iter().for_each(|http| bytes(http.method())),
        Attribute::Host => request.http.iter().for_each(|http| bytes(&http.authority().to_ascii_lowercase())),
        Attribute::Header(name) => request.http.iter().for_each(|http| {
            let all = http.headers().all(name);
            if all.clone().nth(1).is_some() {
                all.for_each(&mut bytes);
            }
            http.headers().joined(name).iter().for_each(|value| bytes(value));
        }),
        Attribute::PeerName => names(&connection.peer).for_each(|name| bytes(name.as_bytes())),
        Attribute::Namespace => ids(&connection.peer).filter_map(|id| id.namespace()).for_each(|namespace| bytes(namespace.as_bytes())),
        Attribute::Account => ids(&connection.peer).flat_map(|id| id.accounts()).for_each(|account| bytes(account.as_bytes())),
        Attribute::DestinationPort => connection.destination.iter().for_each(|destination| bytes(&destination.port().to_be_bytes())),
        Attribute::Sni => connection.sni.iter().for_each(|sni| bytes(sni.as_bytes())),
        Attribute::Issuer => claims.iter().for_each(|claims| bytes(claims.issuer().as_bytes())),
        Attribute::Subject => claims.iter().filter_map(|claims| claims.subject()).for_each(|subject| bytes(subject.as_bytes())),
        Attribute::Claim(path) => claims.iter().for_each(|claims| claims.strings(path).for_each(|value| bytes(value.as_bytes()))),
        Attribute::DirectIp | Attribute::RemoteIp | Attribute::DestinationIp => {}
    }
}

fn names(peer: &Peer) -> impl Iterator<Item = &String> {
    let (uri_sans, dns_sans, subject) = match peer {
        Peer::Authenticated { uri_sans, dns_sans, subject, .. } => (uri_sans.as_slice(), dns_sans.as_slice(), subject.as_ref()),
        Peer::Plaintext => (&[][..], &[][..], None),
    };
    uri_sans.iter().chain(dns_sans).chain(subject)
}

fn ids(peer: &Peer) -> impl Iterator<Item = SpiffeView<'_>> {
    let uri_sans = match peer {
        Peer::Authenticated { uri_sans, .. } => uri_sans.as_slice(),
        Peer::Plaintext => &[],
    };
    uri_sans.iter().filter_map(|san| SpiffeView::parse(san))
}

//! Who is at the other end of a connection, and when that is known. Pure: attributes in, facts out.

use std::net::SocketAddr;

use meshwright_policy::{Connection, Fact, Metadata, Peer, Policy};

use crate::peer::{self, InvalidPeerState, PeerState, socket_address};
use crate::properties::Properties;

/// Where in its life a TCP connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Accepted; a TLS handshake has not begun.
    New,
    /// The client has sent data, so that a TLS handshake is over.
    DownstreamData,
    /// The server has sent data, perhaps before the client's TLS handshake is over.
    UpstreamData,
}

/// Why nothing can be said about a peer; the request or connection is denied then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownPeer {
    #[error("the listener did not set `{}`", peer::OBJECT)]
    Missing,
    #[error(transparent)]
    Invalid(#[from] InvalidPeerState),
    #[error("the connection has no source address with a port")]
    Address,
}

impl UnknownPeer {
    /// Stable, for the access log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "peer_state_missing",
            Self::Invalid(_) => "peer_state_invalid",
            Self::Address => "peer_address_unknown",
        }
    }
}

/// The connection of an HTTP request, as far as the policy looks at it: each read costs more than the decision. The listener has set the
/// object before this filter runs, or the configuration is wrong.
#[inline(never)]
pub(crate) fn of_request(properties: &dyn Properties, policy: &Policy) -> Result<Connection, UnknownPeer> {
    let needs = |fact| policy.needs(fact);
    let mut connection =
        Connection { direct_ip: None, remote_ip: None, peer: Peer::Plaintext, sni: None, destination: None, metadata: Metadata::default() };
    if needs(Fact::Peer) || needs(Fact::DirectIp) {
        let object = properties.get(&["filter_state", peer::OBJECT]).ok_or(UnknownPeer::Missing)?;
        let state = PeerState::parse(&object)?;
        connection.direct_ip = Some(state.direct_ip);
        if needs(Fact::Peer) {
            connection.peer = peer_of(properties, &state);
        }
    }
    if needs(Fact::RemoteIp) {
        // Here `source.address` is what Envoy made of `x-forwarded-for`, and trusts.
        connection.remote_ip = address(properties, "source").map(|address| address.ip());
    }
    if needs(Fact::Destination) {
        connection.destination = address(properties, "destination");
    }
    if needs(Fact::Sni) {
        connection.sni = sni(properties);
    }
    connection.metadata = metadata(properties, policy);
    Ok(connection)
}

/// What other filters have said so far.
pub(crate) fn metadata(properties: &dyn Properties, policy: &Policy) -> Metadata {
    Metadata::read(policy.metadata(), &|path| properties.get(path))
}

/// The connection of a TCP stream; `None` while the TLS handshake may still be under way.
///
/// Measured on Envoy 1.36 to 1.40: a network filter's `on_new_connection` runs before the TLS handshake, and nothing calls a filter when the
/// handshake ends. `set_filter_state`'s `on_downstream_tls_handshake` (1.37) sets its object exactly then, and at once for plaintext: the
/// object's presence says that the peer is known. Without it (1.36 ignores that field) the peer is taken from attributes as soon as they can
/// be believed: `connection.mtls` is false both before the handshake and for plaintext, so false means plaintext only after the client has
/// sent data, or when the connection has no TLS at all.
pub(crate) fn of_stream(properties: &dyn Properties, moment: Moment) -> Option<Result<Connection, UnknownPeer>> {
    if let Some(object) = properties.get(&["filter_state", peer::OBJECT]) {
        let state = PeerState::parse(&object);
        return Some(state.map(|state| connection(properties, state.direct_ip, peer_of(properties, &state))).map_err(UnknownPeer::from));
    }
    let known = match moment {
        Moment::New => false,
        Moment::DownstreamData => true,
        // Reading `connection.tls_version` before the handshake makes Envoy remember a wrong one, so it is read only here.
        Moment::UpstreamData => has_client_certificate(properties) || properties.get(&["connection", "tls_version"]).is_none(),
    };
    known.then(|| without_state(properties))
}

/// Of a stream that was let in: who has a certificate. `None`: nobody has, or it cannot be told.
pub(crate) fn peer_of_open(properties: &dyn Properties) -> Option<Peer> {
    match properties.get(&["filter_state", peer::OBJECT]) {
        Some(object) => PeerState::parse(&object).ok().map(|state| peer_of(properties, &state)),
        None => has_client_certificate(properties)
            .then(|| authenticated(properties, properties.text(&["connection", "uri_san_peer_certificate"]).into_iter().collect(), None)),
    }
}

fn peer_of(properties: &dyn Properties, state: &PeerState<'_>) -> Peer {
    if state.outside {
        return Peer::Plaintext;
    }
    let uri_sans: Vec<String> = state.uri_sans.iter().map(|san| (*san).to_owned()).collect();
    if uri_sans.is_empty() && !has_client_certificate(properties) {
        Peer::Plaintext
    } else {
        authenticated(properties, uri_sans, state.serial.map(str::to_owned))
    }
}

/// From attributes alone. They tell only the first URI SAN; a SPIFFE certificate has no other (X.509-SVID section 2). And no serial.
fn without_state(properties: &dyn Properties) -> Result<Connection, UnknownPeer> {
    let address = address(properties, "source").ok_or(UnknownPeer::Address)?;
    let peer = if has_client_certificate(properties) {
        authenticated(properties, properties.text(&["connection", "uri_san_peer_certificate"]).into_iter().collect(), None)
    } else {
        Peer::Plaintext
    };
    Ok(connection(properties, address.ip(), peer))
}

fn connection(properties: &dyn Properties, direct_ip: std::net::IpAddr, peer: Peer) -> Connection {
    Connection {
        direct_ip: Some(direct_ip),
        // Of a TCP connection nobody else tells an address.
        remote_ip: Some(direct_ip),
        peer,
        sni: sni(properties),
        destination: address(properties, "destination"),
        metadata: Metadata::default(),
    }
}

fn address(properties: &dyn Properties, end: &str) -> Option<SocketAddr> {
    properties.text(&[end, "address"]).and_then(|text| socket_address(&text))
}

fn sni(properties: &dyn Properties) -> Option<String> {
    properties.text(&["connection", "requested_server_name"]).filter(|name| !name.is_empty())
}

fn has_client_certificate(properties: &dyn Properties) -> bool {
    properties.is_true(&["connection", "mtls"])
}

fn authenticated(properties: &dyn Properties, uri_sans: Vec<String>, serial: Option<String>) -> Peer {
    // A certificate of a mesh has a URI SAN; what else it is called matters, and is worth two more reads, only where it has none.
    let (dns_sans, subject) = if uri_sans.is_empty() {
        (
            properties.text(&["connection", "dns_san_peer_certificate"]).into_iter().collect(),
            properties.text(&["connection", "subject_peer_certificate"]),
        )
    } else {
        (Vec::new(), None)
    };
    Peer::Authenticated { uri_sans, dns_sans, subject, serial }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ORDERS: &str = "spiffe://mesh.local/ns/shop/sa/orders";

    #[derive(Default)]
    struct Fake(HashMap<&'static str, Vec<u8>>);

    impl Fake {
        fn with(mut self, path: &'static str, value: impl AsRef<[u8]>) -> Self {
            self.0.insert(path, value.as_ref().to_vec());
            self
        }
    }

    impl Properties for Fake {
        fn get(&self, path: &[&str]) -> Option<Vec<u8>> {
            self.0.get(path.join("/").as_str()).cloned()
        }
    }

    fn plain() -> Fake {
        Fake::default().with("connection/mtls", [0]).with("source/address", "10.0.0.1:5").with("destination/address", "10.0.0.2:80")
    }

    fn mutual_tls() -> Fake {
        plain().with("connection/mtls", [1]).with("connection/tls_version", "TLSv1.3").with("connection/uri_san_peer_certificate", ORDERS)
    }

    fn state(fake: Fake) -> Fake {
        fake.with("filter_state/meshwright.peer", format!("10.0.0.1:5|{ORDERS},spiffe://x/y"))
    }

    /// A policy that looks at everything.
    fn curious() -> Policy {
        policy(
            r#"[{"namespace": "n", "name": "p", "action": "DENY", "rules": [{
                "from": [{"source": {"principals": ["*"], "ipBlocks": ["10.0.0.0/8"], "remoteIpBlocks": ["10.0.0.0/8"]}}],
                "when": [{"key": "destination.ip", "values": ["10.0.0.2"]}, {"key": "connection.sni", "values": ["*"]},
                         {"key": "experimental.envoy.filters.x[a]", "values": ["b"]}]}]}]"#,
        )
    }

    fn policy(authorization: &str) -> Policy {
        let json = format!(r#"{{"version": 1, "protocol": "http", "trust_domain": "mesh.local", "authorization": {authorization}}}"#);
        Policy::from_json(json.as_bytes()).unwrap()
    }

    /// What a test compares of a connection.
    fn seen(connection: Connection) -> (String, Option<String>, Vec<String>) {
        let sans = match connection.peer {
            Peer::Plaintext => vec!["plaintext".to_owned()],
            Peer::Authenticated { uri_sans, dns_sans, subject, .. } => uri_sans.into_iter().chain(dns_sans).chain(subject).collect(),
        };
        (connection.direct_ip.unwrap().to_string(), connection.remote_ip.map(|ip| ip.to_string()), sans)
    }

    fn expected(direct: &str, remote: &str, sans: &[&str]) -> (String, Option<String>, Vec<String>) {
        (direct.to_owned(), Some(remote.to_owned()), sans.iter().map(|san| (*san).to_owned()).collect())
    }

    #[test]
    fn a_request_has_every_uri_san_and_both_addresses() {
        let fake = state(mutual_tls()).with("source/address", "192.0.2.7:1").with("connection/requested_server_name", "a.test");
        let fake = fake.with("metadata/filter_metadata/envoy.filters.x/a", "b");
        let connection = of_request(&fake, &curious()).unwrap();
        assert_eq!(connection.sni.as_deref(), Some("a.test"));
        assert_eq!(connection.destination, Some("10.0.0.2:80".parse().unwrap()));
        assert_eq!(connection.metadata, Metadata::read(curious().metadata(), &|_| Some(b"b".to_vec())));
        assert_eq!(seen(connection), expected("10.0.0.1", "192.0.2.7", &[ORDERS, "spiffe://x/y"]));
    }

    #[test]
    fn a_request_without_a_usable_object_has_no_peer() {
        let invalid = plain().with("filter_state/meshwright.peer", "nonsense");
        for (fake, why) in [(mutual_tls(), UnknownPeer::Missing), (invalid, InvalidPeerState::Separator.into())] {
            assert_eq!(of_request(&fake, &curious()).map(seen), Err(why));
        }
    }

    #[test]
    fn what_the_policy_does_not_look_at_is_not_read() {
        struct Unread;

        impl Properties for Unread {
            fn get(&self, path: &[&str]) -> Option<Vec<u8>> {
                panic!("{path:?} was read")
            }
        }

        let connection = of_request(&Unread, &policy("[]")).unwrap();
        assert_eq!((connection.peer, connection.direct_ip), (Peer::Plaintext, None));
    }

    #[test]
    fn a_certificate_without_uri_sans_is_named_by_its_other_names() {
        let fake = mutual_tls()
            .with("filter_state/meshwright.peer", "10.0.0.1:5|")
            .with("connection/dns_san_peer_certificate", "cli.test")
            .with("connection/subject_peer_certificate", "CN=cli");
        assert_eq!(of_request(&fake, &curious()).map(seen), Ok(expected("10.0.0.1", "10.0.0.1", &["cli.test", "CN=cli"])));
        let plain = plain().with("filter_state/meshwright.peer", "10.0.0.1:5|");
        assert_eq!(of_request(&plain, &curious()).map(seen), Ok(expected("10.0.0.1", "10.0.0.1", &["plaintext"])));
    }

    #[test]
    fn a_stream_with_the_object_is_known_at_any_moment() {
        for moment in [Moment::New, Moment::DownstreamData, Moment::UpstreamData] {
            let known = of_stream(&state(mutual_tls()), moment).map(|connection| connection.map(seen));
            assert_eq!(known, Some(Ok(expected("10.0.0.1", "10.0.0.1", &[ORDERS, "spiffe://x/y"]))), "{moment:?}");
            let invalid = plain().with("filter_state/meshwright.peer", "|");
            let refused = of_stream(&invalid, moment).map(|connection| connection.map(seen));
            assert_eq!(refused, Some(Err(InvalidPeerState::Separator.into())), "{moment:?}");
        }
    }

    #[test]
    fn a_stream_without_the_object_is_known_once_its_handshake_must_be_over() {
        let handshaking = || plain().with("connection/tls_version", "TLSv1.2");
        let no_one = None;
        let orders = Some(Ok(expected("10.0.0.1", "10.0.0.1", &[ORDERS])));
        let plaintext = Some(Ok(expected("10.0.0.1", "10.0.0.1", &["plaintext"])));
        for (what, fake, moment, who) in [
            ("accepted", plain(), Moment::New, &no_one),
            ("plaintext, client first", plain(), Moment::DownstreamData, &plaintext),
            ("plaintext, server first", plain(), Moment::UpstreamData, &plaintext),
            ("before the handshake, server first", handshaking(), Moment::UpstreamData, &no_one),
            ("after the handshake, server first", mutual_tls(), Moment::UpstreamData, &orders),
            ("after the handshake, client first", mutual_tls(), Moment::DownstreamData, &orders),
            ("TLS without a client certificate", handshaking(), Moment::DownstreamData, &plaintext),
        ] {
            assert_eq!(&of_stream(&fake, moment).map(|connection| connection.map(seen)), who, "{what}");
        }
        let nowhere = Fake::default();
        assert_eq!(of_stream(&nowhere, Moment::DownstreamData).map(|connection| connection.map(seen)), Some(Err(UnknownPeer::Address)));
    }
}

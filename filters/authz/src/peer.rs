use std::net::{IpAddr, SocketAddr};

/// The filter state object that the listener's `set_filter_state` filter writes: what no attribute tells.
pub(crate) const OBJECT: &str = "meshwright.peer";

/// In place of the URI SANs: the certificates of this listener's clients are not of the mesh, and name nobody in it.
const OUTSIDE: &str = "!";

/// `<direct remote address with port>|<URI SANs, comma separated>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerState<'a> {
    pub(crate) direct_ip: IpAddr,
    pub(crate) uri_sans: Vec<&'a str>,
    /// Whatever the certificate says is not to be looked at.
    pub(crate) outside: bool,
}

/// Why the object cannot be used; the request is denied then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPeerState {
    #[error("`{OBJECT}` is not UTF-8")]
    Encoding,
    #[error("`{OBJECT}` has no `|` between the address and the URI SANs")]
    Separator,
    #[error("`{OBJECT}` starts with no IP address and port")]
    Address,
}

impl<'a> PeerState<'a> {
    pub(crate) fn parse(object: &'a [u8]) -> Result<Self, InvalidPeerState> {
        let text = std::str::from_utf8(object).map_err(|_| InvalidPeerState::Encoding)?;
        let (address, uri_sans) = text.split_once('|').ok_or(InvalidPeerState::Separator)?;
        let direct_ip = socket_address(address).ok_or(InvalidPeerState::Address)?.ip();
        if uri_sans == OUTSIDE {
            return Ok(Self { direct_ip, uri_sans: Vec::new(), outside: true });
        }
        Ok(Self { direct_ip, uri_sans: uri_sans.split(',').filter(|san| !is_absent(san)).collect(), outside: false })
    }
}

/// Envoy writes an absent value as `-`, or as nothing under `omit_empty_values`.
fn is_absent(value: &str) -> bool {
    matches!(value, "" | "-")
}

/// An address as Envoy prints it: `1.2.3.4:5`, `[::1]:5`. IPv4-mapped IPv6 becomes IPv4, so that a block written in IPv4 matches it.
pub(crate) fn socket_address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_envoy_writes() {
        let orders = "spiffe://mesh.local/ns/shop/sa/orders";
        for (object, ip, uri_sans) in [
            (format!("10.0.0.1:4242|{orders}"), "10.0.0.1", vec![orders]),
            (format!("10.0.0.1:4242|{orders},spiffe://x/y"), "10.0.0.1", vec![orders, "spiffe://x/y"]),
            ("[::1]:1|".to_owned(), "::1", vec![]),
            ("[::ffff:10.0.0.1]:1|-".to_owned(), "10.0.0.1", vec![]),
        ] {
            let expected = PeerState { direct_ip: ip.parse().unwrap(), uri_sans, outside: false };
            assert_eq!(PeerState::parse(object.as_bytes()), Ok(expected), "{object}");
        }
        let outside = PeerState { direct_ip: "10.0.0.1".parse().unwrap(), uri_sans: vec![], outside: true };
        assert_eq!(PeerState::parse(b"10.0.0.1:4242|!"), Ok(outside));
    }

    #[test]
    fn refuses_what_it_cannot_trust() {
        for (object, why) in [
            (&b""[..], InvalidPeerState::Separator),
            (b"10.0.0.1:1", InvalidPeerState::Separator),
            (b"|spiffe://td/a", InvalidPeerState::Address),
            (b"-|spiffe://td/a", InvalidPeerState::Address),
            (b"10.0.0.1|", InvalidPeerState::Address),
            (b"/run/app.sock|", InvalidPeerState::Address),
            (b"10.0.0.1:1|\xff", InvalidPeerState::Encoding),
        ] {
            assert_eq!(PeerState::parse(object), Err(why), "{object:?}");
        }
    }
}

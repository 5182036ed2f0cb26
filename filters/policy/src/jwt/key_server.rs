//! Which addresses keys are never fetched from: whoever may write a document must not be able to have the control plane ask what only its
//! own machine may ask (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where cloud providers tell a machine its secrets, outside of 169.254.0.0/16: Alibaba, Oracle, Azure's wire server; AWS and Google over IPv6.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Why keys are not fetched from this address; none: they may be. Loopback and private addresses may: issuers run there.
#[must_use]
pub fn refused_key_server(address: IpAddr) -> Option<&'static str> {
    let address = match address {
        IpAddr::V6(v6) => embedded(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match address {
        address if METADATA.contains(&address) => Some("a cloud provider's metadata address"),
        IpAddr::V4(v4) if v4.octets().starts_with(&[0]) => Some("an unspecified address"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address, where cloud providers keep metadata"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("a multicast address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("an unspecified address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("a multicast address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped and compatible ones (RFC 4291 section 2.5.5), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, [c, d, e, f]) {
        (0, 0, [0, 0, 0, 0]) if g != 0 => Some(v4(g, h)),
        (0, 0, [0, 0, 0, 0xffff]) | (0x64, 0xff9b, [0, 0, 0, 0]) => Some(v4(g, h)),
        (0x2002, _, _) => Some(v4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_the_machine_itself_may_ask() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(refused_key_server(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn addresses_where_issuers_run() {
        for address in ["127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "172.16.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"]
        {
            assert_eq!(refused_key_server(address.parse().unwrap()), None, "{address}");
        }
    }
}

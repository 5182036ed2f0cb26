//! The resolver of names that a filter asks with `envoy_resolve_dns`: what a test says it answers, and the form in which the filter gets it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::abi::length;

/// What the resolver answers to a name.
///
/// ```
/// use std::time::Duration;
/// use meshwright_wasm_host::Dns;
///
/// let answer = Dns::addresses(["192.0.2.1".parse().unwrap()]).ttl(Duration::from_secs(30)).after(Duration::from_millis(5));
/// # let _ = answer;
/// ```
#[derive(Debug, Clone)]
pub struct Dns {
    addresses: Option<Vec<IpAddr>>,
    ttl: Duration,
    pub(crate) latency: Duration,
}

impl Dns {
    /// These addresses, which are kept for no time.
    #[must_use]
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: Some(addresses.into_iter().collect()), ttl: Duration::ZERO, latency: Duration::ZERO }
    }

    /// No answer: the filter gets nothing.
    #[must_use]
    pub const fn failure() -> Self {
        Self { addresses: None, ttl: Duration::ZERO, latency: Duration::ZERO }
    }

    /// How long the addresses may be kept.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The answer comes so much later, on the virtual clock.
    #[must_use]
    pub const fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// What is known without asking: addresses, the machine itself, and what cannot be a name.
    pub(crate) fn without_a_server(name: &str) -> Option<Self> {
        if name == "localhost" {
            return Some(Self::addresses([IpAddr::V6(Ipv6Addr::LOCALHOST)]));
        }
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        name.parse().map(|address| Self::addresses([address])).ok().or((!is_name).then_some(Self::failure()))
    }

    /// The number of addresses, a time to live in seconds for each, then the addresses, with a port of 0, each with a zero byte behind it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Some(addresses) = &self.addresses else { return Vec::new() };
        let ttl = u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX);
        let mut bytes = length(addresses.len()).to_le_bytes().to_vec();
        for _ in addresses {
            bytes.extend(ttl.to_le_bytes());
        }
        for address in addresses {
            bytes.extend(std::net::SocketAddr::new(*address, 0).to_string().bytes());
            bytes.push(0);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_form() {
        let answer = Dns::addresses(["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()]).ttl(Duration::from_secs(258));
        assert_eq!(answer.encode(), b"\x02\0\0\0\x02\x01\0\0\x02\x01\0\x00192.0.2.1:0\0[::1]:0\0");
        assert_eq!(Dns::failure().encode(), b"");
    }
}

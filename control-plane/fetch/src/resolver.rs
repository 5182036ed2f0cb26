//! Names to addresses, each of them checked. The connection is made to exactly these, so that a name cannot lead elsewhere a moment later.

use std::io;
use std::net::{IpAddr, SocketAddr};

use meshwright_policy::refused_key_server;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name has an address that nothing is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` is {address}, {why}")]
pub(crate) struct Refused {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) why: &'static str,
}

/// All of them, or an error: of a name that leads to a good and to a forbidden address, somebody has made the second.
pub(crate) fn check(host: &str, addresses: &[SocketAddr]) -> Result<(), Refused> {
    let refused = addresses.iter().find_map(|address| Some((address.ip(), refused_key_server(address.ip())?)));
    refused.map_or(Ok(()), |(address, why)| Err(Refused { host: host.to_owned(), address, why }))
}

/// Asks the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the client's to put in.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            check(name.as_str(), &addresses)?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_forbidden_address_is_enough() {
        let addresses = |all: &[&str]| all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect::<Vec<_>>();
        assert_eq!(check("a.example", &addresses(&["10.0.0.1", "::1"])), Ok(()));
        let refused = check("a.example", &addresses(&["10.0.0.1", "169.254.169.254"])).unwrap_err();
        assert_eq!((refused.host.as_str(), refused.address.to_string().as_str()), ("a.example", "169.254.169.254"));
    }
}

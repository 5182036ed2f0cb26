use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::options::SidecarOptions;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("`{address}`, {what}, is in use: stop what listens there, or name another address with {option}")]
    InUse { address: SocketAddr, what: String, option: &'static str },
    #[error("`{address}`, {what}, cannot be listened on")]
    Other { address: SocketAddr, what: String, source: std::io::Error },
}

/// Every address that this sidecar's own options make Envoy listen on, with what it is and the option that names it.
pub(crate) fn own_addresses(options: &SidecarOptions) -> Vec<(SocketAddr, String, &'static str)> {
    let outbound = options.outbound.map(|address| (address, "the outbound address".to_owned(), "--outbound"));
    let tcp = options.tcp.iter().map(|mapping| (mapping.local(), format!("where `{}` is to be reached", mapping.service()), "--tcp"));
    outbound.into_iter().chain(tcp).collect()
}

/// Finds out before the start what Envoy would say only after the control plane's first answer. The inbound ports are the control
/// plane's to name: a conflict there shows as a refused listener.
pub(crate) fn check_free(options: &SidecarOptions) -> Result<(), PortError> {
    for (address, what, option) in own_addresses(options) {
        if let Err(source) = TcpListener::bind(address) {
            let in_use = source.kind() == ErrorKind::AddrInUse;
            return Err(if in_use { PortError::InUse { address, what, option } } else { PortError::Other { address, what, source } });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    #[test]
    fn a_port_in_use_is_named_with_its_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut options = options("/s".into());
        options.outbound = Some(address);
        let error = check_free(&options).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{address}`, the outbound address, is in use: stop what listens there, or name another address with --outbound")
        );
        options.outbound = None;
        options.tcp = vec![format!("ledger.mesh:9000={address}").parse().unwrap()];
        let error = check_free(&options).unwrap_err().to_string();
        assert!(error.contains("`ledger.mesh:9000`") && error.ends_with("--tcp"), "{error}");
        drop(taken);
        check_free(&options).unwrap();
    }
}

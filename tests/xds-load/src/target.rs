//! The server and how it is reached.

mod spiffe;

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use spiffe::SpiffeServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Plaintext without.
    pub tls: Option<Tls>,
}

/// What the server's certificate is checked for: a name, or a SPIFFE ID; and the roots to check it with.
#[derive(Debug, Clone)]
pub struct Tls {
    name: ServerName<'static>,
    verifier: Option<Arc<SpiffeServer>>,
    roots: Arc<RootCertStore>,
}

/// A connection of either sort.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A client's own certificate: PEM files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

/// # Errors
/// When the file cannot be read or holds no certificate.
pub(crate) fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate)?;
    }
    anyhow::ensure!(!store.is_empty(), "`{}` holds no certificate", file.display());
    Ok(store)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let reader = BufReader::new(File::open(file).with_context(|| format!("`{}` cannot be read", file.display()))?);
    CertificateDer::pem_reader_iter(reader).collect::<Result<_, _>>().with_context(|| format!("`{}` is no PEM file", file.display()))
}

impl Target {
    /// `server_name`: a name of the server's certificate, or its SPIFFE ID. Plaintext without `ca`, a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate, or the name is none.
    pub fn new(address: SocketAddr, server_name: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let tls = ca.map(|ca| Tls::new(address, server_name, roots(ca)?)).transpose()?;
        Ok(Self { address, tls })
    }

    pub(crate) async fn connect(&self, own: Option<Own<'_>>) -> anyhow::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let connector = TlsConnector::from(Arc::new(tls.config(own)?));
        Ok(Box::new(connector.connect(tls.name.clone(), stream).await?))
    }
}

impl Tls {
    fn new(address: SocketAddr, server_name: &str, roots: RootCertStore) -> anyhow::Result<Self> {
        let is_spiffe = server_name.starts_with("spiffe://");
        let verifier = is_spiffe.then(|| Arc::new(SpiffeServer::new(server_name.to_owned(), roots.clone())));
        let name = if is_spiffe { ServerName::from(address.ip()) } else { ServerName::try_from(server_name.to_owned())? };
        Ok(Self { name, verifier, roots: Arc::new(roots) })
    }

    fn config(&self, own: Option<Own<'_>>) -> anyhow::Result<ClientConfig> {
        let builder = match &self.verifier {
            Some(verifier) => ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier.clone()),
            None => ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots)),
        };
        let mut config = match own {
            Some(Own { certificate, key }) => {
                builder.with_client_auth_cert(certificates(certificate)?, PrivateKeyDer::from_pem_file(key)?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests;

//! The server and how it is reached.

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// What the server's certificate is checked for, and the roots to check it with; plaintext without.
    pub tls: Option<(String, Arc<RootCertStore>)>,
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
    /// # Errors
    /// As [`roots`].
    pub fn new(address: SocketAddr, server_name: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let tls = ca.map(|ca| anyhow::Ok((server_name.to_owned(), Arc::new(roots(ca)?)))).transpose()?;
        Ok(Self { address, tls })
    }

    pub(crate) async fn connect(&self, own: Option<Own<'_>>) -> anyhow::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some((name, roots)) = &self.tls else { return Ok(Box::new(stream)) };
        let builder = ClientConfig::builder().with_root_certificates(Arc::clone(roots));
        let mut config = match own {
            Some(Own { certificate, key }) => {
                builder.with_client_auth_cert(certificates(certificate)?, PrivateKeyDer::from_pem_file(key)?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.clone())?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

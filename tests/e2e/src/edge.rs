//! What clients from outside find at a gateway's TLS port: handshakes and requests made by hand, so that each may be as odd as a test asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::Issued;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client.
#[derive(Debug, Clone)]
pub struct EdgeClient {
    config: Arc<ClientConfig>,
    gateway: SocketAddr,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// The handshake failed, or the connection was closed before an answer.
    Refused,
}

/// Which versions and suites a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    All,
    Tls12,
    Tls13,
}

impl EdgeClient {
    /// Trusts `roots` (PEM), and shows `identity` where it is asked for one.
    ///
    /// # Errors
    /// When these are no certificates.
    pub fn new(gateway: SocketAddr, roots: &[&str], identity: Option<&Issued>, offer: Offer) -> anyhow::Result<Self> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        }
        let versions: &[&rustls::SupportedProtocolVersion] = match offer {
            Offer::All => rustls::ALL_VERSIONS,
            Offer::Tls12 => &[&rustls::version::TLS12],
            Offer::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(store);
        let mut config = match identity {
            Some(identity) => builder.with_client_auth_cert(chain(identity)?, PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?)?,
            None => builder.with_no_client_auth(),
        };
        // Each connection is a whole handshake.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { config: Arc::new(config), gateway })
    }

    /// A request for `path` of `host` over a connection to `sni`.
    ///
    /// # Errors
    /// When nothing happens in time.
    pub async fn get(&self, sni: &str, host: &str, path: &str) -> anyhow::Result<Outcome> {
        let exchange = async {
            let answer = self.exchange(sni, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await;
            let status = answer.ok().and_then(|answer| String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok());
            Ok(status.map_or(Outcome::Refused, Outcome::Status))
        };
        tokio::time::timeout(TIMEOUT, exchange).await.with_context(|| format!("no answer for {sni}"))?
    }

    /// As [`EdgeClient::get`], of the host that it connects to.
    ///
    /// # Errors
    /// As [`EdgeClient::get`].
    pub async fn ask(&self, host: &str) -> anyhow::Result<Outcome> {
        self.get(host, host, "/").await
    }

    async fn exchange(&self, sni: &str, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        let stream = TcpStream::connect(self.gateway).await?;
        let mut tls = TlsConnector::from(Arc::clone(&self.config)).connect(ServerName::try_from(sni.to_owned())?, stream).await?;
        tls.write_all(request).await?;
        let mut answer = Vec::new();
        // A peer that closes without saying so has answered all the same.
        let read = tls.read_to_end(&mut answer).await;
        if answer.is_empty() {
            read?;
        }
        Ok(answer)
    }
}

fn chain(identity: &Issued) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>()?)
}

/// An HTTPS server outside the mesh that answers each request with 299, until the task is dropped.
///
/// # Errors
/// When it cannot listen.
pub async fn backend(address: SocketAddr, identity: &Issued) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain(identity)?, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let answered: anyhow::Result<()> = async {
                    let mut tls = acceptor.accept(stream).await?;
                    let mut piece = [0; 1024];
                    let _length = tls.read(&mut piece).await?;
                    tls.write_all(b"HTTP/1.1 299 Backend\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
                    tls.shutdown().await?;
                    Ok(())
                }
                .await;
                // Who connects may go away at any time.
                drop(answered);
            });
        }
    }))
}

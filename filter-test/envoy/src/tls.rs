//! TLS on both sides of Envoy: the certificates of a case, and a stream that is plain or not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// TLS of a case: the client to Envoy, and Envoy to the upstream. Each verifies the other by one authority.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority's certificate, in PEM.
    pub authority: String,
    /// Envoy's own, to its client and to the upstream.
    pub envoy: Identity,
    /// The client's; without it the client shows none, and none is wanted.
    pub client: Option<Identity>,
    /// The upstream's.
    pub upstream: Identity,
    /// The name that the client asks for, which Envoy's certificate must have.
    pub server_name: String,
    /// The name that Envoy asks the upstream for, which its certificate must have.
    pub upstream_name: String,
}

/// What rustls says, and what cannot be read.
type Broken = Box<dyn std::error::Error + Send + Sync>;

fn read(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Broken> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    Ok((vec![certificate], PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?))
}

impl Tls {
    fn roots(&self) -> Result<RootCertStore, Broken> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        Ok(roots)
    }

    /// The client's end of a connection to Envoy.
    pub(crate) fn connect(&self, stream: TcpStream) -> Result<Stream, Broken> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(self.roots()?);
        let config = match &self.client {
            Some(client) => {
                let (chain, key) = read(client)?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(self.server_name.clone())?;
        Ok(Stream::client(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream)))
    }

    /// The upstream's end of a connection from Envoy.
    pub(crate) fn accept(&self, stream: TcpStream) -> Result<Stream, Broken> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider)).build()?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let (chain, key) = read(&self.upstream)?;
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
        Ok(Stream::server(StreamOwned::new(ServerConnection::new(Arc::new(config))?, stream)))
    }
}

/// A connection. Of one with TLS the two directions cannot be used at the same time: who has it writes all before it reads.
#[derive(Clone)]
pub(crate) struct Stream(Kind);

#[derive(Clone)]
enum Kind {
    Plain(Arc<TcpStream>),
    Client(Arc<Mutex<StreamOwned<ClientConnection, TcpStream>>>),
    Server(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>),
}

impl Stream {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self(Kind::Plain(Arc::new(stream)))
    }

    fn client(stream: StreamOwned<ClientConnection, TcpStream>) -> Self {
        Self(Kind::Client(Arc::new(Mutex::new(stream))))
    }

    fn server(stream: StreamOwned<ServerConnection, TcpStream>) -> Self {
        Self(Kind::Server(Arc::new(Mutex::new(stream))))
    }

    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.0, Kind::Plain(_))
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        match &self.0 {
            Kind::Plain(stream) => stream.set_read_timeout(Some(timeout)),
            Kind::Client(stream) => lock(stream).sock.set_read_timeout(Some(timeout)),
            Kind::Server(stream) => lock(stream).sock.set_read_timeout(Some(timeout)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => (&**stream).read(buffer),
            Kind::Client(stream) => lock(stream).read(buffer),
            Kind::Server(stream) => lock(stream).read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => (&**stream).write(bytes),
            Kind::Client(stream) => lock(stream).write(bytes),
            Kind::Server(stream) => lock(stream).write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &self.0 {
            Kind::Plain(stream) => (&**stream).flush(),
            Kind::Client(stream) => lock(stream).flush(),
            Kind::Server(stream) => lock(stream).flush(),
        }
    }
}

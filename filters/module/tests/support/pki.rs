//! A mesh's certificates, and clients that use them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The name in the server's certificate that clients check.
const SERVER: &str = "app.test";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Writes `ca.pem`, `server.pem` and `server.key` to `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named("server", &[SERVER]);
        params.subject_alt_names.push(uri("spiffe://mesh.local/ns/shop/sa/ledger"));
        let server = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
        std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
        Self { authority }
    }

    /// A connection by mutual TLS with these URI SANs.
    pub(crate) fn connect(&self, address: SocketAddr, uri_sans: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        let key = KeyPair::generate().unwrap();
        let mut params = named("client", &[]);
        params.subject_alt_names = uri_sans.iter().map(|san| uri(san)).collect();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .unwrap();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(SERVER).unwrap()).unwrap();
        StreamOwned::new(connection, tcp(address))
    }
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A subject of its own: a leaf with its issuer's would be taken for self-signed.
fn named(common_name: &str, dns_names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(dns_names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// Status and the whole reply.
pub(crate) fn request(mut stream: impl Read + Write, method: &str, path: &str, headers: &[(&str, &[u8])]) -> (u16, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    stream.write_all(&head).unwrap();
    let reply = read_all(stream);
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, reply)
}

/// What comes until the other side closes, however it closes.
pub(crate) fn read_all(mut stream: impl Read) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => all.extend(&buffer[..size]),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection is still open after {PATIENCE:?}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

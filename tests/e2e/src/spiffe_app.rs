//! An app that speaks SPIFFE itself, with the `spiffe` crate's client: its certificate and whom to trust come from the sidecar's workload
//! API, its connections to other workloads are its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use spiffe::{BundleSource as _, SpiffeId, X509Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

const ANSWERED: Duration = Duration::from_secs(20);

/// What apps find in `SPIFFE_ENDPOINT_SOCKET`.
#[must_use]
pub fn endpoint(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// How a call ends that is made without that client, or its first answer. `header`: the value of `workload.spiffe.io`.
///
/// # Errors
/// When nobody answers.
pub async fn raw_call(socket: &Path, method: &str, header: Option<&'static str>) -> anyhow::Result<tonic::Code> {
    let channel = Endpoint::try_from(format!("unix:{}", socket.display()))?.connect().await?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let mut request = tonic::Request::new(());
    if let Some(value) = header {
        request.metadata_mut().insert("workload.spiffe.io", value.parse()?);
    }
    let path = PathAndQuery::try_from(format!("/SpiffeWorkloadAPI/{method}"))?;
    let call = async {
        let answer = grpc.server_streaming(request, path, ProstCodec::<(), ()>::default()).await?;
        answer.into_inner().message().await
    };
    let ended = tokio::time::timeout(ANSWERED, call).await.context("no answer from the workload API")?;
    Ok(ended.map_or_else(|status| status.code(), |_message| tonic::Code::Ok))
}

/// An app whose certificate and bundles are always the newest.
#[derive(Debug)]
pub struct App {
    pub source: X509Source,
}

impl App {
    /// Waits for the first certificate.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn start(socket: &Path) -> anyhow::Result<Self> {
        let source = X509Source::builder().endpoint(endpoint(socket)).build();
        Ok(Self { source: tokio::time::timeout(ANSWERED, source).await.context("no certificate from the workload API")?? })
    }

    /// The roots of a trust domain, DER.
    ///
    /// # Errors
    /// When none are known.
    pub fn roots(&self, trust_domain: &str) -> anyhow::Result<Vec<Vec<u8>>> {
        let bundle = self.source.bundle_set()?.bundle_for_trust_domain(&trust_domain.try_into()?)?.context("the bundle is known")?;
        Ok(bundle.authorities().iter().map(|root| root.as_bytes().to_vec()).collect())
    }

    /// A connection of mutual TLS to who must be `server`, a SPIFFE ID.
    ///
    /// # Errors
    /// When either side refuses the other.
    pub async fn connect(&self, to: SocketAddr, server: &str) -> anyhow::Result<TlsStream<TcpStream>> {
        let svid = self.source.svid()?;
        let chain = svid.cert_chain().iter().map(|certificate| CertificateDer::from(certificate.as_bytes().to_vec())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec()));
        let verifier = Arc::new(Peer::new(self, server.parse()?)?);
        let mut config =
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_client_auth_cert(chain, key)?;
        // By the first one a workload that also takes plaintext knows the mesh's own.
        config.alpn_protocols = vec![b"meshwright".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(to).await?;
        Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("server.invalid")?, stream).await?)
    }

    /// The status of a GET.
    ///
    /// # Errors
    /// As [`App::connect`], and when there is no answer.
    pub async fn get(&self, to: SocketAddr, server: &str, path: &str) -> anyhow::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", crate::pair::HOST);
        let answer = self.exchange(to, server, &request, "\r\n\r\n").await?;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| format!("`{answer}` is no answer"))
    }

    /// What comes back, up to `until`.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn exchange(&self, to: SocketAddr, server: &str, text: &str, until: &str) -> anyhow::Result<String> {
        let exchange = async {
            let mut stream = self.connect(to, server).await?;
            stream.write_all(text.as_bytes()).await?;
            let mut answer = String::new();
            let mut piece = [0; 1024];
            while !answer.contains(until) {
                let length = stream.read(&mut piece).await?;
                anyhow::ensure!(length > 0, "the connection was closed after `{answer}`");
                answer.push_str(&String::from_utf8_lossy(piece.get(..length).unwrap_or_default()));
            }
            Ok(answer)
        };
        tokio::time::timeout(ANSWERED, exchange).await.context("no answer")?
    }
}

/// Whom the app accepts: one SPIFFE ID, vouched for by the bundle of its trust domain.
#[derive(Debug)]
struct Peer {
    id: SpiffeId,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl Peer {
    fn new(app: &App, id: SpiffeId) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in app.roots(id.trust_domain_name())? {
            roots.add(root.into())?;
        }
        Ok(Self { id, roots, provider: Arc::new(rustls::crypto::ring::default_provider()) })
    }
}

impl ServerCertVerifier for Peer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&ParsedCertificate::try_from(leaf)?, &self.roots, rest, now, algorithms)?;
        match spiffe::cert::spiffe_id_from_der(leaf) {
            Ok(id) if id == self.id => Ok(ServerCertVerified::assertion()),
            other => Err(rustls::Error::General(format!("the server is {other:?}"))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

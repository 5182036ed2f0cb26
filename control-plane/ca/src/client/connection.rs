//! One TLS connection and an HTTP/2 channel on it. The handshake is done before the channel exists, so that its errors are seen as they are.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

use super::credentials::Credentials;
use super::error::{self, ClientError};
use super::observed::{Alert, Observed};
use super::verifier::ControlPlaneVerifier;
use crate::proto::identity_service_client::IdentityServiceClient;
use crate::proto::key_service_client::KeyServiceClient;
use crate::service::Refusal;
use crate::tls::provider;

const CONNECT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(60);
/// Never sent and never checked: the control plane is known by its SPIFFE ID.
const NAME: &str = "meshwright-control-plane.invalid";

/// A chain, leaf first, and its key.
pub(super) type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// An open connection to the control plane's services.
pub(super) struct Connection {
    pub(super) service: IdentityServiceClient<Channel>,
    pub(super) keys: KeyServiceClient<Channel>,
    address: String,
    alert: Alert,
}

pub(super) async fn open(
    address: &str,
    verifier: Arc<ControlPlaneVerifier>,
    credentials: Option<&Credentials>,
) -> Result<Connection, ClientError> {
    let shown = credentials.map(|credentials| (credentials.chain().to_vec(), credentials.key().to_der()));
    let config =
        tls_config(verifier, shown).map_err(|error| ClientError::Tls { address: address.to_owned(), source: io::Error::other(error) })?;
    let well_formed = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !well_formed {
        return Err(ClientError::Address(address.to_owned()));
    }
    let late = || ClientError::Timeout { address: address.to_owned() };
    let unreachable = |source| ClientError::Unreachable { address: address.to_owned(), source };
    let tcp = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| late())?.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(NAME).map_err(|_| ClientError::Address(NAME.to_owned()))?;
    let tls = timeout(CONNECT, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.map_err(|_| late())?;
    let tls = tls.map_err(|source| error::from_handshake(address, credentials.is_none(), source))?;
    channel(address, tls).await
}

pub(super) fn tls_config(verifier: Arc<ControlPlaneVerifier>, shown: Option<ClientCertificate>) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = false;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Good for the one connection that is given: when it ends, so does the channel.
async fn channel(address: &str, stream: TlsStream<TcpStream>) -> Result<Connection, ClientError> {
    let (stream, alert) = Observed::new(stream);
    let once = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)))
    });
    let endpoint = Endpoint::from_static("http://meshwright-control-plane.invalid").timeout(CALL);
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => {
            let (service, keys) = (IdentityServiceClient::new(channel.clone()), KeyServiceClient::new(channel));
            Ok(Connection { address: address.to_owned(), service, keys, alert })
        }
        Err(error) => Err(error::from_call(address, alert.get(), error.to_string())),
    }
}

impl Connection {
    /// What a call's failure means on this connection.
    pub(super) fn failure(&self, status: &Status) -> ClientError {
        match Refusal::of(status) {
            Some(refusal) => ClientError::Refused { refusal, message: status.message().to_owned() },
            None => error::from_call(&self.address, self.alert.get(), format!("{}: {}", status.code(), status.message())),
        }
    }
}

//! A sidecar's side of the identity service: the first certificate by a join token, later ones by the one before, the filter module.
//! It keeps nothing and retries nothing; each call is one connection.

mod connection;
mod credentials;
mod error;
mod observed;
mod verifier;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use self::connection::Connection;
pub use self::credentials::Credentials;
pub use self::error::{BadAnswer, ClientError};
use self::verifier::ControlPlaneVerifier;
pub use self::verifier::spiffe_client_config;
use crate::fingerprint::Fingerprint;
use crate::join_token::JoinToken;
use crate::private_key::{KeyAlgorithm, KeyError, PrivateKey};
use crate::proto;
use crate::store::hex;
use crate::time::utc;

/// No module is larger; a peer that sends more is cut off.
const MAX_MODULE: u64 = 64 * 1024 * 1024;

/// What the control plane says is the filter module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleDescription {
    /// 64 lower case hexadecimal digits.
    pub sha256: String,
    pub size: u64,
}

/// For asking what else the control plane serves: it is believed when its chain ends in the root with this fingerprint, and shown a
/// certificate if there is one (its chain, leaf first, and its key).
///
/// # Errors
/// When TLS cannot be set up on this machine, or the key is not the certificate's.
pub fn tls_config(
    root: Fingerprint,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut config = connection::tls_config(Arc::new(ControlPlaneVerifier::first_contact(root)), certificate)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A new private key, which never leaves this process except to the proxy beside it.
///
/// # Errors
/// [`KeyError`] when the operating system gives no randomness.
pub fn generate_key() -> Result<PrivateKey, KeyError> {
    PrivateKey::generate(KeyAlgorithm::default())
}

/// The first certificate. The control plane at `address` (`host:port`) is believed only when its chain ends in the root that the token
/// names; it learns the token only after that.
///
/// # Errors
/// [`ClientError`], each saying what to do next.
pub async fn join(address: &str, token: &JoinToken, now: SystemTime) -> Result<Credentials, ClientError> {
    let verifier = Arc::new(ControlPlaneVerifier::first_contact(token.root_fingerprint()));
    let mut connection = connection::open(address, Arc::clone(&verifier), None).await?;
    let key = PrivateKey::generate(KeyAlgorithm::default())?;
    let request = proto::JoinRequest { token: token.reveal().to_owned(), csr_der: key.signing_request()?, jwt: String::new() };
    let answer = connection.service.join(request).await.map_err(|status| connection.failure(&status))?.into_inner();
    let credentials = Credentials::from_answer(answer, key, now)?;
    credentials.check_first_contact(token.root_fingerprint(), verifier.seen())?;
    Ok(credentials)
}

/// The first certificate by a JWT that the control plane takes as proof. It learns the JWT only when its own chain ends in one of the
/// roots in `trust_bundle_pem`.
///
/// # Errors
/// [`ClientError`], each saying what to do next.
pub async fn join_with_jwt(address: &str, jwt: &str, trust_bundle_pem: &str, now: SystemTime) -> Result<Credentials, ClientError> {
    let roots = credentials::roots_of(trust_bundle_pem).ok_or(ClientError::Bundle)?;
    let verifier = Arc::new(ControlPlaneVerifier::first_contact_by_roots(roots));
    let mut connection = connection::open(address, Arc::clone(&verifier), None).await?;
    let key = PrivateKey::generate(KeyAlgorithm::default())?;
    let request = proto::JoinRequest { token: String::new(), csr_der: key.signing_request()?, jwt: jwt.to_owned() };
    let answer = connection.service.join(request).await.map_err(|status| connection.failure(&status))?.into_inner();
    let credentials = Credentials::from_answer(answer, key, now)?;
    credentials.check_seen(verifier.seen())?;
    Ok(credentials)
}

/// A new key and certificate of the same identity, proven by the certificate in hand, which must still be valid.
///
/// # Errors
/// [`ClientError`]; the credentials in hand stay as good as they were.
pub async fn renew(address: &str, current: &Credentials, now: SystemTime) -> Result<Credentials, ClientError> {
    let mut connection = authenticated(address, current, now).await?;
    let key = PrivateKey::generate(KeyAlgorithm::default())?;
    let request = proto::RenewRequest { csr_der: key.signing_request()? };
    let answer = connection.service.renew(request).await.map_err(|status| connection.failure(&status))?.into_inner();
    let renewed = Credentials::from_answer(answer, key, now)?;
    if renewed.identity() == current.identity() && renewed.control_plane_identity().trust_domain() == current.trust_domain() {
        Ok(renewed)
    } else {
        Err(BadAnswer::Identity { expected: current.identity().clone(), found: renewed.identity().to_string() }.into())
    }
}

/// Which filter module is current.
///
/// # Errors
/// [`ClientError`].
pub async fn current_module(address: &str, credentials: &Credentials, now: SystemTime) -> Result<ModuleDescription, ClientError> {
    let mut connection = authenticated(address, credentials, now).await?;
    let answer = connection.service.describe_module(proto::DescribeModuleRequest {}).await.map_err(|status| connection.failure(&status))?;
    let proto::ModuleDescription { sha256, size } = answer.into_inner();
    if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(BadAnswer::Digest.into());
    }
    if size > MAX_MODULE {
        return Err(BadAnswer::ModuleSize { limit: MAX_MODULE }.into());
    }
    Ok(ModuleDescription { sha256, size })
}

/// The module's bytes, whose digest is checked here.
///
/// # Errors
/// [`ClientError`]; a module that is cut short or altered is one of them.
pub async fn fetch_module(
    address: &str,
    credentials: &Credentials,
    module: &ModuleDescription,
    now: SystemTime,
) -> Result<Bytes, ClientError> {
    let mut connection = authenticated(address, credentials, now).await?;
    let request = proto::FetchModuleRequest { sha256: module.sha256.clone() };
    let mut chunks = connection.service.fetch_module(request).await.map_err(|status| connection.failure(&status))?.into_inner();
    let limit = usize::try_from(module.size.min(MAX_MODULE)).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(limit);
    while let Some(chunk) = chunks.message().await.map_err(|status| connection.failure(&status))? {
        if bytes.len().saturating_add(chunk.data.len()) > limit {
            return Err(BadAnswer::ModuleSize { limit: module.size }.into());
        }
        bytes.extend_from_slice(&chunk.data);
    }
    let found = hex(&Sha256::digest(&bytes));
    if found == module.sha256 { Ok(bytes.freeze()) } else { Err(BadAnswer::ModuleDigest { expected: module.sha256.clone(), found }.into()) }
}

/// Tells that a token of `issuer` names the key `kid` (1 to 128 bytes), which the proxy does not have.
///
/// # Errors
/// [`ClientError`]; that the report was taken says nothing of keys.
pub async fn report_unknown_key(
    address: &str,
    credentials: &Credentials,
    issuer: &str,
    kid: &str,
    now: SystemTime,
) -> Result<(), ClientError> {
    let mut connection = authenticated(address, credentials, now).await?;
    let request = proto::ReportUnknownKeyRequest { issuer: issuer.to_owned(), kid: kid.to_owned() };
    connection.keys.report_unknown_key(request).await.map(|_| ()).map_err(|status| connection.failure(&status))
}

async fn authenticated(address: &str, credentials: &Credentials, now: SystemTime) -> Result<Connection, ClientError> {
    if now > credentials.not_after() {
        return Err(ClientError::Expired { identity: credentials.identity().clone(), at: utc(credentials.not_after()) });
    }
    let verifier = ControlPlaneVerifier::known(credentials.roots()?, credentials.control_plane_identity().clone());
    connection::open(address, Arc::new(verifier), Some(credentials)).await
}

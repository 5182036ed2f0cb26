//! The identity service, server side: who is asking, may they, one audit record for each answer. It neither accepts connections nor
//! checks chains; whoever does puts [`PeerCertificates`] into each request.

mod denied;
mod desk;
mod refusal;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use meshwright_identity::SpiffeId;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

pub use self::denied::DenyList;
use self::desk::{Desk, Proof};
pub use self::refusal::Refusal;
use crate::audit::AuditLog;
use crate::authority::Authority;
use crate::join_token::JoinToken;
use crate::jwt::JwtIssuer;
use crate::peer::PeerCertificates;
use crate::proto;
use crate::proto::identity_service_server::{IdentityService, IdentityServiceServer};
use crate::rate::{RateLimits, Rates};
use crate::token_store::TokenStore;

/// A token and a signing request have a few kilobytes.
const MAX_REQUEST: usize = 16 * 1024;
pub(crate) const CHUNK: usize = 64 * 1024;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The filter module that proxies are to load.
#[derive(Debug, Clone)]
pub struct Module {
    /// 64 lower case hexadecimal digits.
    pub sha256: String,
    pub bytes: Bytes,
}

/// Where the service gets the filter module from.
pub trait ModuleProvider: Send + Sync + 'static {
    fn current(&self) -> Module;

    /// The module with that digest: the current one, or an earlier one that is still kept.
    fn by_sha256(&self, sha256: &str) -> Option<Module> {
        Some(self.current()).filter(|module| module.sha256 == sha256)
    }
}

impl ModuleProvider for Module {
    fn current(&self) -> Module {
        self.clone()
    }
}

/// What is not in the authority or the token store.
#[derive(Clone)]
pub struct IdentityOptions {
    /// Life of the certificates it issues.
    pub certificate_ttl: Duration,
    pub clock: Clock,
    /// Whose JWTs are proof of identity; none: join tokens alone.
    pub jwt: Option<JwtIssuer>,
    pub rates: Rates,
    /// Where each issue and refusal is recorded.
    pub audit: Option<Arc<AuditLog>>,
    /// Who is issued nothing.
    pub denied: Option<Arc<dyn DenyList>>,
}

impl IdentityOptions {
    /// Join tokens alone, the default rates, no file of audit records, nobody denied.
    #[must_use]
    pub fn new(certificate_ttl: Duration, clock: Clock) -> Self {
        Self { certificate_ttl, clock, jwt: None, rates: Rates::default(), audit: None, denied: None }
    }
}

impl fmt::Debug for IdentityOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityOptions").field("certificate_ttl", &self.certificate_ttl).finish_non_exhaustive()
    }
}

/// The service's state; see [`identity_service`].
pub struct IdentityServer<M> {
    authority: Arc<Authority>,
    desk: Arc<Desk>,
    modules: M,
    options: IdentityOptions,
}

impl<M> fmt::Debug for IdentityServer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityServer").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The tonic service, to be added to whatever else the control plane serves.
pub fn identity_service<M: ModuleProvider>(
    authority: Arc<Authority>,
    tokens: TokenStore,
    modules: M,
    options: IdentityOptions,
) -> IdentityServiceServer<IdentityServer<M>> {
    let desk = Arc::new(Desk {
        authority: Arc::clone(&authority),
        tokens,
        jwt: options.jwt.clone(),
        limits: RateLimits::new(options.rates),
        audit: options.audit.clone(),
        ttl: options.certificate_ttl,
        denied: options.denied.clone(),
    });
    IdentityServiceServer::new(IdentityServer { authority, desk, modules, options }).max_decoding_message_size(MAX_REQUEST)
}

impl<M: ModuleProvider> IdentityServer<M> {
    /// Who is asking for the module.
    fn caller<T>(&self, request: &Request<T>) -> Result<SpiffeId, Status> {
        let identity = caller(&self.authority, &self.options.clock, request)?;
        match self.desk.denies(&identity, serial(request).as_deref()) {
            Some(message) => Err(self.refuse("certificate", Refusal::PeerDenied, message)),
            None => Ok(identity),
        }
    }

    fn refuse(&self, proof: &'static str, refusal: Refusal, message: String) -> Status {
        self.desk.refuse(proof, refusal, &message, (self.options.clock)());
        refuse("certificate", refusal, message)
    }

    /// Signs, and writes the audit record. Off the runtime: it may write files.
    async fn issue(&self, proof: Proof, csr_der: Bytes) -> Result<Response<proto::Certificates>, Status> {
        let (desk, now) = (Arc::clone(&self.desk), (self.options.clock)());
        match tokio::task::spawn_blocking(move || desk.issue(&proof, &csr_der, now)).await {
            Ok(Ok(certificates)) => Ok(Response::new(certificates)),
            Ok(Err((refusal, message))) => Err(refuse("certificate", refusal, message)),
            Err(error) => Err(refuse("certificate", Refusal::Internal, error.to_string())),
        }
    }
}

/// Who is asking, by the certificate of the connection.
pub(crate) fn caller<T>(authority: &Authority, clock: &Clock, request: &Request<T>) -> Result<SpiffeId, Status> {
    let peer = request.extensions().get::<PeerCertificates>().filter(|peer| !peer.0.is_empty());
    let peer = peer.ok_or_else(|| Refusal::CertificateRequired.status("this needs a client certificate"))?;
    peer.identity(authority.trust_domain(), clock()).map_err(|error| refuse("certificate", Refusal::CertificateInvalid, error.to_string()))
}

/// Of the connection's certificate.
fn serial<T>(request: &Request<T>) -> Option<String> {
    request.extensions().get::<PeerCertificates>().and_then(PeerCertificates::serial)
}

/// The audit record of a refusal. What is internal stays in the log.
fn refuse(what: &str, refusal: Refusal, message: String) -> Status {
    tracing::warn!(target: "meshwright::audit", what, reason = refusal.reason(), error = %message, "refused");
    refusal.status(if refusal == Refusal::Internal { "the control plane failed to do this".to_owned() } else { message })
}

#[tonic::async_trait]
impl<M: ModuleProvider> IdentityService for IdentityServer<M> {
    async fn join(&self, request: Request<proto::JoinRequest>) -> Result<Response<proto::Certificates>, Status> {
        let proto::JoinRequest { token, csr_der, jwt } = request.into_inner();
        let proof = match (token.is_empty(), jwt.is_empty()) {
            (true, false) => Proof::Jwt(jwt),
            (false, true) | (true, true) => match JoinToken::parse(&token) {
                Ok(token) => Proof::Token(token),
                Err(error) => return Err(self.refuse("join-token", Refusal::TokenMalformed, error.to_string())),
            },
            (false, false) => return Err(self.refuse("join-token", Refusal::TokenMalformed, "a join token or a JWT, not both".to_owned())),
        };
        self.issue(proof, csr_der.into()).await
    }

    async fn renew(&self, request: Request<proto::RenewRequest>) -> Result<Response<proto::Certificates>, Status> {
        let caller = caller(&self.authority, &self.options.clock, &request).inspect_err(|status| {
            let refusal = Refusal::of(status).unwrap_or(Refusal::CertificateInvalid);
            self.desk.refuse("certificate", refusal, status.message(), (self.options.clock)());
        })?;
        let serial = serial(&request);
        let proto::RenewRequest { csr_der } = request.into_inner();
        self.issue(Proof::Certificate { identity: caller, serial }, csr_der.into()).await
    }

    async fn describe_module(&self, request: Request<proto::DescribeModuleRequest>) -> Result<Response<proto::ModuleDescription>, Status> {
        self.caller(&request)?;
        let module = self.modules.current();
        let size = u64::try_from(module.bytes.len()).map_err(|error| refuse("module", Refusal::Internal, error.to_string()))?;
        Ok(Response::new(proto::ModuleDescription { sha256: module.sha256, size }))
    }

    type FetchModuleStream = Pin<Box<dyn Stream<Item = Result<proto::Chunk, Status>> + Send>>;

    async fn fetch_module(&self, request: Request<proto::FetchModuleRequest>) -> Result<Response<Self::FetchModuleStream>, Status> {
        let caller = self.caller(&request)?;
        let proto::FetchModuleRequest { sha256 } = request.into_inner();
        let unknown = || refuse("module", Refusal::ModuleUnknown, "there is no module with that digest".to_owned());
        let Module { sha256, bytes } = self.modules.by_sha256(&sha256).ok_or_else(unknown)?;
        tracing::info!(target: "meshwright::audit", identity = %caller, sha256, "serves the filter module");
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks(bytes)))))
    }
}

/// Views into the module, not copies.
fn chunks(mut bytes: Bytes) -> impl Iterator<Item = Result<proto::Chunk, Status>> {
    std::iter::from_fn(move || {
        let data = bytes.split_to(CHUNK.min(bytes.len()));
        (!data.is_empty()).then_some(Ok(proto::Chunk { data }))
    })
}

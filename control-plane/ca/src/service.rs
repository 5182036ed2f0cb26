//! The identity service, server side: who is asking, may they, one audit record for each answer. It neither accepts connections nor
//! checks chains; whoever does puts [`PeerCertificates`] into each request.

mod refusal;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use meshwright_identity::SpiffeId;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

pub use self::refusal::Refusal;
use crate::authority::{Authority, IssueError, Issued};
use crate::join_token::JoinToken;
use crate::peer::PeerCertificates;
use crate::proto;
use crate::proto::identity_service_server::{IdentityService, IdentityServiceServer};
use crate::signing_request::SigningRequest;
use crate::time::{unix_seconds, utc};
use crate::token_store::{RedeemError, TokenStore};

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
}

impl fmt::Debug for IdentityOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityOptions").field("certificate_ttl", &self.certificate_ttl).finish_non_exhaustive()
    }
}

/// The service's state; see [`identity_service`].
pub struct IdentityServer<M> {
    authority: Arc<Authority>,
    tokens: TokenStore,
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
    IdentityServiceServer::new(IdentityServer { authority, tokens, modules, options }).max_decoding_message_size(MAX_REQUEST)
}

impl<M: ModuleProvider> IdentityServer<M> {
    fn caller<T>(&self, request: &Request<T>) -> Result<SpiffeId, Status> {
        caller(&self.authority, &self.options.clock, request)
    }

    /// Signs, and writes the audit record. Off the runtime: it may write files.
    async fn issue(&self, proof: Proof, csr_der: Bytes) -> Result<Response<proto::Certificates>, Status> {
        let (authority, tokens) = (Arc::clone(&self.authority), self.tokens.clone());
        let (ttl, now) = (self.options.certificate_ttl, (self.options.clock)());
        let done = tokio::task::spawn_blocking(move || {
            // The request first: a malformed one must not cost its sender the token.
            let request = SigningRequest::parse(&csr_der).map_err(|error| (Refusal::SigningRequest, error.to_string()))?;
            let identity = match proof {
                Proof::Certificate(ref identity) => identity.clone(),
                Proof::Token(ref token) => redeem(&authority, &tokens, token, now)?,
            };
            let issued =
                authority.issue_request(&request, &identity, ttl, now).map_err(|error| (issue_refusal(&error), error.to_string()))?;
            tracing::info!(target: "meshwright::audit", %identity, proof = proof.kind(), serial = %issued.serial,
                until = %utc(issued.not_after), "issued a certificate");
            Ok(certificates(&authority, &identity, issued))
        });
        match done.await {
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

/// By what a caller is who it says.
enum Proof {
    Token(JoinToken),
    Certificate(SpiffeId),
}

impl Proof {
    fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "join-token",
            Self::Certificate(_) => "certificate",
        }
    }
}

fn redeem(authority: &Authority, tokens: &TokenStore, token: &JoinToken, now: SystemTime) -> Result<SpiffeId, (Refusal, String)> {
    if !authority.phase().bundle().contains(&token.root_fingerprint()) {
        return Err((Refusal::TokenOtherMesh, "the join token is of another mesh".to_owned()));
    }
    tokens.redeem(token, now).map_err(|error| {
        let refusal = match error {
            RedeemError::Unknown => Refusal::TokenUnknown,
            RedeemError::AlreadyUsed => Refusal::TokenUsed,
            RedeemError::Expired(_) => Refusal::TokenExpired,
            RedeemError::Corrupt | RedeemError::Store(_) => Refusal::Internal,
        };
        (refusal, error.to_string())
    })
}

fn issue_refusal(error: &IssueError) -> Refusal {
    match error {
        IssueError::Request(_) => Refusal::SigningRequest,
        IssueError::TrustDomain { .. } | IssueError::NoPath(_) | IssueError::Reserved(_) => Refusal::IdentityNotIssued,
        IssueError::IssuerExpires { .. }
        | IssueError::NoRootKey
        | IssueError::ClockBehind { .. }
        | IssueError::Store(_)
        | IssueError::Material(_)
        | IssueError::Reopen(_)
        | IssueError::Key(_)
        | IssueError::Sign(_) => Refusal::Internal,
    }
}

/// The audit record of a refusal. What is internal stays in the log.
fn refuse(what: &str, refusal: Refusal, message: String) -> Status {
    tracing::warn!(target: "meshwright::audit", what, reason = refusal.reason(), error = %message, "refused");
    refusal.status(if refusal == Refusal::Internal { "the control plane failed to do this".to_owned() } else { message })
}

fn certificates(authority: &Authority, identity: &SpiffeId, issued: Issued) -> proto::Certificates {
    proto::Certificates {
        chain_pem: issued.chain_pem,
        trust_bundle_pem: authority.trust_bundle_pem().to_owned(),
        trust_domain: authority.trust_domain().to_string(),
        identity: identity.to_string(),
        not_after: i64::try_from(unix_seconds(issued.not_after)).unwrap_or(i64::MAX),
        control_plane_identity: authority.control_plane_identity().to_string(),
    }
}

#[tonic::async_trait]
impl<M: ModuleProvider> IdentityService for IdentityServer<M> {
    async fn join(&self, request: Request<proto::JoinRequest>) -> Result<Response<proto::Certificates>, Status> {
        let proto::JoinRequest { token, csr_der } = request.into_inner();
        let token = JoinToken::parse(&token).map_err(|error| refuse("certificate", Refusal::TokenMalformed, error.to_string()))?;
        self.issue(Proof::Token(token), csr_der.into()).await
    }

    async fn renew(&self, request: Request<proto::RenewRequest>) -> Result<Response<proto::Certificates>, Status> {
        let caller = self.caller(&request)?;
        let proto::RenewRequest { csr_der } = request.into_inner();
        self.issue(Proof::Certificate(caller), csr_der.into()).await
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

//! The authority itself: opened from the data directory (made there on first start), issues leaves, replaces its intermediate in time.

mod material;
mod profile;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use meshwright_identity::{InvalidSpiffeId, SpiffeId, TrustDomain};
use rcgen::PublicKeyData;
use rustls_pki_types::CertificateDer;

pub use self::material::InvalidMaterial;
pub(crate) use self::material::to_pem;
use self::material::{LoadError, Material};
use self::profile::{INTERMEDIATE_LIFE, LEAF_BACKDATE, MARGIN, RENEW_INTERMEDIATE_BEFORE, ROOT_LIFE, Validity};
use crate::CONTROL_PLANE_SERVICE_ACCOUNT;
use crate::fingerprint::Fingerprint;
use crate::private_key::{KeyError, PrivateKey};
use crate::signing_request::{RefusedRequest, SigningRequest};
use crate::store::{self, StoreError};
use crate::time::{earlier, utc, whole_seconds};

/// Shortest life of a leaf; a shorter wish gets this.
pub const MIN_LEAF_TTL: Duration = Duration::from_secs(10);
/// Longest life of a leaf; a longer wish gets this.
pub const MAX_LEAF_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SERVER_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// When the issuer has less than this left (or less than what was asked), it refuses: such a leaf would be an outage soon.
const FLOOR: Duration = Duration::from_secs(60 * 60);

const FOLDER: &str = "ca";
const ROOT: &str = "root.pem";
const INTERMEDIATE: &str = "intermediate.pem";

/// The mesh's certificate authority.
pub struct Authority {
    dir: PathBuf,
    trust_domain: TrustDomain,
    control_plane: SpiffeId,
    root: CertificateDer<'static>,
    root_until: SystemTime,
    trust_bundle_pem: String,
    intermediate: RwLock<Arc<Material>>,
}

/// Why the authority's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{}` cannot be used: {source}; restore it from a backup, or give another data directory to start a new mesh", .path.display())]
    Root { path: PathBuf, source: InvalidMaterial },
    #[error("`{}` cannot be used: {source}; restore it from a backup, or remove it to have the root sign a new one", .path.display())]
    Intermediate { path: PathBuf, source: InvalidMaterial },
    #[error("`{}` has an intermediate but no `root.pem`; restore it from a backup, or give another data directory to start a new mesh", .0.display())]
    RootMissing(PathBuf),
    #[error("`{}` has no certificate authority yet; start the control plane on it once", .0.display())]
    NoAuthority(PathBuf),
    #[error("`{}` belongs to the mesh of trust domain `{found}`; this one is `{expected}`: give it a data directory of its own", .dir.display())]
    OtherTrustDomain { dir: PathBuf, found: TrustDomain, expected: TrustDomain },
    #[error("the root certificate in `{}` is valid from {from} to {until} and the clock says {now}", .path.display())]
    RootValidity { path: PathBuf, from: String, until: String, now: String },
    #[error("the root namespace does not make an identity: {0}")]
    RootNamespace(#[from] InvalidSpiffeId),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Why a certificate is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Request(#[from] RefusedRequest),
    #[error("`{id}` is not of this mesh's trust domain `{expected}`")]
    TrustDomain { id: SpiffeId, expected: TrustDomain },
    #[error("`{0}` names a trust domain, not a workload")]
    NoPath(SpiffeId),
    #[error("`{0}` is kept for the control plane itself")]
    Reserved(SpiffeId),
    #[error("the {issuer} certificate ends at {until}, too soon to sign with")]
    IssuerExpires { issuer: &'static str, until: String },
    #[error("the clock says {now}, before the intermediate certificate's begin at {from}")]
    ClockBehind { now: String, from: String },
    #[error("the authority's files: {0}")]
    Store(#[from] StoreError),
    #[error("the authority's files: {0}")]
    Material(InvalidMaterial),
    #[error(transparent)]
    Reopen(#[from] Box<OpenError>),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("signing failed: {0}")]
    Sign(#[from] rcgen::Error),
}

/// A certificate that was just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Leaf and intermediate, PEM.
    pub chain_pem: String,
    /// Leaf and intermediate.
    pub chain: Vec<CertificateDer<'static>>,
    /// For logs: hexadecimal.
    pub serial: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// The control plane's own certificate and key, for its TLS.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Leaf, intermediate and root: the root is there for peers that know only its fingerprint.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKey,
    pub not_after: SystemTime,
}

impl Authority {
    /// Opens the authority kept in `data_dir`, or makes one when there is none yet. Nothing that exists is ever replaced, except an
    /// intermediate that nears its end.
    ///
    /// # Errors
    /// [`OpenError`], one for each way in which the directory cannot be used, saying what to do.
    pub fn open(data_dir: &Path, trust_domain: &TrustDomain, root_namespace: &str, now: SystemTime) -> Result<Self, OpenError> {
        let control_plane = SpiffeId::for_service_account(trust_domain, root_namespace, CONTROL_PLANE_SERVICE_ACCOUNT)?;
        store::data_dir(data_dir)?;
        let dir = data_dir.join(FOLDER);
        store::private_dir(&dir)?;
        let _lock = store::lock(&dir)?;
        let root = match load_root(&dir)? {
            Some(root) => root,
            None if dir.join(INTERMEDIATE).exists() => return Err(OpenError::RootMissing(dir)),
            None => make_root(&dir, trust_domain, now)?,
        };
        check_root(&root, data_dir, &dir, trust_domain, now)?;
        let intermediate = match load_intermediate(&dir, &root)? {
            Some(intermediate) if !due(&intermediate, &root, now) => intermediate,
            _ => make_intermediate(&dir, &root, now)?,
        };
        Ok(Self {
            dir,
            trust_domain: trust_domain.clone(),
            control_plane,
            trust_bundle_pem: to_pem(&root.certificate),
            root_until: root.validity.until,
            root: root.certificate.clone(),
            intermediate: RwLock::new(Arc::new(intermediate)),
        })
    }

    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// `spiffe://<trust domain>/ns/<root namespace>/sa/meshwright-control-plane`.
    #[must_use]
    pub fn control_plane_identity(&self) -> &SpiffeId {
        &self.control_plane
    }

    /// Every root that a peer's chain may end in, PEM.
    #[must_use]
    pub fn trust_bundle_pem(&self) -> &str {
        &self.trust_bundle_pem
    }

    #[must_use]
    pub fn root_certificate(&self) -> &CertificateDer<'static> {
        &self.root
    }

    #[must_use]
    pub fn root_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root)
    }

    /// When the root and the intermediate in use end.
    #[must_use]
    pub fn expiries(&self) -> (SystemTime, SystemTime) {
        (self.root_until, self.current().validity.until)
    }

    /// A leaf for `identity` with the key of the signing request, which may ask for no other name. `ttl` is brought within
    /// [`MIN_LEAF_TTL`] and [`MAX_LEAF_TTL`].
    ///
    /// # Errors
    /// [`IssueError`]: the request is refused, the identity is not this mesh's to give, or the issuer is at its end.
    pub fn issue(&self, csr_der: &[u8], identity: &SpiffeId, ttl: Duration, now: SystemTime) -> Result<Issued, IssueError> {
        self.issue_request(&SigningRequest::parse(csr_der)?, identity, ttl, now)
    }

    pub(crate) fn issue_request(
        &self,
        request: &SigningRequest,
        identity: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        self.check_identity(identity)?;
        self.leaf(request.key_for(identity)?, identity, ttl, now)
    }

    /// A fresh certificate and key for the control plane's own TLS.
    ///
    /// # Errors
    /// [`IssueError`] when the issuer is at its end.
    pub fn server_identity(&self, now: SystemTime) -> Result<ServerIdentity, IssueError> {
        let key = PrivateKey::generate()?;
        let issued = self.leaf(key.pair(), &self.control_plane, SERVER_TTL, now)?;
        let mut chain = issued.chain;
        chain.push(self.root.clone());
        Ok(ServerIdentity { chain, key, not_after: issued.not_after })
    }

    fn check_identity(&self, id: &SpiffeId) -> Result<(), IssueError> {
        if *id.trust_domain() != self.trust_domain {
            return Err(IssueError::TrustDomain { id: id.clone(), expected: self.trust_domain.clone() });
        }
        check_path(id)
    }

    fn leaf(&self, key: &impl PublicKeyData, identity: &SpiffeId, ttl: Duration, now: SystemTime) -> Result<Issued, IssueError> {
        let ttl = ttl.clamp(MIN_LEAF_TTL, MAX_LEAF_TTL);
        let issuer = self.intermediate(now)?;
        let validity = leaf_validity(issuer.validity, ttl, now)?;
        let params = profile::leaf(identity, validity)?;
        let serial = params.serial_number.as_ref().map(|serial| store::hex(serial.as_ref())).unwrap_or_default();
        let leaf = params.signed_by(key, &issuer.issuer()?)?;
        let chain = vec![leaf.der().clone(), issuer.certificate.clone()];
        let chain_pem = chain.iter().map(to_pem).collect();
        Ok(Issued { chain_pem, chain, serial, not_before: validity.from, not_after: validity.until })
    }

    fn current(&self) -> Arc<Material> {
        Arc::clone(&self.intermediate.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The intermediate to sign with: replaced when it nears its end. When that fails the old one serves for as long as it is good.
    fn intermediate(&self, now: SystemTime) -> Result<Arc<Material>, IssueError> {
        let current = self.current();
        if current.validity.until > now + RENEW_INTERMEDIATE_BEFORE {
            return Ok(current);
        }
        let mut slot = self.intermediate.write().unwrap_or_else(PoisonError::into_inner);
        match self.renew_intermediate(&slot, now) {
            Ok(Some(renewed)) => *slot = Arc::new(renewed),
            Ok(None) => {}
            Err(error) if slot.valid_at(now) => {
                tracing::warn!(%error, until = %utc(slot.validity.until), "the intermediate certificate could not be renewed; the old one serves on");
            }
            Err(error) => return Err(error),
        }
        Ok(Arc::clone(&slot))
    }

    /// A newer one from disk (another process may have made it) or from the root. The root's key is in memory only for this long.
    fn renew_intermediate(&self, current: &Material, now: SystemTime) -> Result<Option<Material>, IssueError> {
        if !renewal_gains(current.validity.until, self.root_until, now) {
            return Ok(None);
        }
        let _lock = store::lock(&self.dir)?;
        let root = load_root(&self.dir).map_err(Box::new)?.ok_or_else(|| Box::new(OpenError::RootMissing(self.dir.clone())))?;
        if root.certificate != self.root {
            return Err(IssueError::Material(InvalidMaterial::OtherRoot));
        }
        match load_intermediate(&self.dir, &root).map_err(Box::new)? {
            Some(stored) if !due(&stored, &root, now) => Ok(Some(stored)),
            _ => make_intermediate(&self.dir, &root, now).map(Some),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root_fingerprint();
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).field("root", &root).finish_non_exhaustive()
    }
}

/// Whether an identity may be given to a workload at all.
pub(crate) fn check_path(id: &SpiffeId) -> Result<(), IssueError> {
    if id.path().is_empty() {
        return Err(IssueError::NoPath(id.clone()));
    }
    match id.service_account() {
        Some((_, CONTROL_PLANE_SERVICE_ACCOUNT)) => Err(IssueError::Reserved(id.clone())),
        _ => Ok(()),
    }
}

/// What a token needs to know of the authority in `data_dir`: its trust domain and its root's fingerprint.
pub(crate) fn describe(data_dir: &Path) -> Result<(TrustDomain, Fingerprint), OpenError> {
    let dir = data_dir.join(FOLDER);
    let root = load_root(&dir)?.ok_or_else(|| OpenError::NoAuthority(data_dir.to_owned()))?;
    Ok((root.trust_domain.clone(), Fingerprint::of(&root.certificate)))
}

fn load_root(dir: &Path) -> Result<Option<Material>, OpenError> {
    let root = Material::load(dir, ROOT).map_err(|error| match error {
        LoadError::Store(error) => OpenError::Store(error),
        LoadError::Invalid { path, source } => OpenError::Root { path, source },
    })?;
    if let Some(root) = &root {
        root.check_signed_by(root).map_err(|source| OpenError::Root { path: dir.join(ROOT), source })?;
    }
    Ok(root)
}

fn load_intermediate(dir: &Path, root: &Material) -> Result<Option<Material>, OpenError> {
    let intermediate = Material::load(dir, INTERMEDIATE).map_err(|error| match error {
        LoadError::Store(error) => OpenError::Store(error),
        LoadError::Invalid { path, source } => OpenError::Intermediate { path, source },
    })?;
    if let Some(intermediate) = &intermediate {
        intermediate.check_signed_by(root).map_err(|source| OpenError::Intermediate { path: dir.join(INTERMEDIATE), source })?;
    }
    Ok(intermediate)
}

fn check_root(root: &Material, data_dir: &Path, dir: &Path, expected: &TrustDomain, now: SystemTime) -> Result<(), OpenError> {
    if root.trust_domain != *expected {
        let (found, expected) = (root.trust_domain.clone(), expected.clone());
        return Err(OpenError::OtherTrustDomain { dir: data_dir.to_owned(), found, expected });
    }
    if !root.valid_at(now) {
        let (from, until) = (utc(root.validity.from), utc(root.validity.until));
        return Err(OpenError::RootValidity { path: dir.join(ROOT), from, until, now: utc(now) });
    }
    Ok(())
}

fn make_root(dir: &Path, trust_domain: &TrustDomain, now: SystemTime) -> Result<Material, IssueError> {
    let key = PrivateKey::generate()?;
    let params = profile::root(trust_domain, profile::authority_validity(now, ROOT_LIFE))?;
    let certificate = params.self_signed(key.pair())?;
    let root = Material::new(certificate.der().clone(), key).map_err(IssueError::Material)?;
    root.save(dir, ROOT)?;
    tracing::info!(%trust_domain, fingerprint = %Fingerprint::of(&root.certificate), until = %utc(root.validity.until), "made a new root certificate");
    Ok(root)
}

fn make_intermediate(dir: &Path, root: &Material, now: SystemTime) -> Result<Material, IssueError> {
    let mut validity = profile::authority_validity(now, INTERMEDIATE_LIFE);
    validity.from = validity.from.max(root.validity.from);
    validity.until = validity.until.min(earlier(root.validity.until, MARGIN));
    if validity.until < now + FLOOR {
        return Err(IssueError::IssuerExpires { issuer: "root", until: utc(root.validity.until) });
    }
    let key = PrivateKey::generate()?;
    let certificate = profile::intermediate(&root.trust_domain, validity)?.signed_by(key.pair(), &root.issuer()?)?;
    let intermediate = Material::new(certificate.der().clone(), key).map_err(IssueError::Material)?;
    intermediate.save(dir, INTERMEDIATE)?;
    tracing::info!(until = %utc(validity.until), "made a new intermediate certificate");
    Ok(intermediate)
}

fn due(intermediate: &Material, root: &Material, now: SystemTime) -> bool {
    intermediate.validity.until <= now + RENEW_INTERMEDIATE_BEFORE && renewal_gains(intermediate.validity.until, root.validity.until, now)
}

/// At the root's own end a new intermediate would last no longer than the old one.
fn renewal_gains(current_until: SystemTime, root_until: SystemTime, now: SystemTime) -> bool {
    (now + INTERMEDIATE_LIFE).min(earlier(root_until, MARGIN)) > current_until + FLOOR
}

fn leaf_validity(issuer: Validity, ttl: Duration, now: SystemTime) -> Result<Validity, IssueError> {
    if now < issuer.from {
        return Err(IssueError::ClockBehind { now: utc(now), from: utc(issuer.from) });
    }
    let end = earlier(issuer.until, MARGIN);
    if end < now + ttl.min(FLOOR) {
        return Err(IssueError::IssuerExpires { issuer: "intermediate", until: utc(issuer.until) });
    }
    Ok(Validity { from: whole_seconds(earlier(now, LEAF_BACKDATE).max(issuer.from)), until: whole_seconds((now + ttl).min(end)) })
}

//! The authority itself: opened from the data directory (made there on first start), issues leaves, replaces its intermediate in time.

#[cfg(test)]
mod crash_tests;
mod current;
mod error;
mod files;
mod import;
mod material;
mod profile;
mod rotation;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use meshwright_durable as durable;
use meshwright_identity::{SpiffeId, TrustDomain};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use self::current::Current;
pub use self::error::{IssueError, OpenError};
use self::files::FOLDER;
pub use self::import::{ImportError, Imported, TakenRoot, import};
pub use self::material::InvalidMaterial;
pub(crate) use self::material::Material;
use self::profile::{LEAF_BACKDATE, MARGIN, RENEW_INTERMEDIATE_BEFORE, Validity};
pub use self::rotation::{NewRoot, RolloverStatus, RootStatus, abort_rollover, confirm_rollover, rotate};
use self::state::State;
use crate::CONTROL_PLANE_SERVICE_ACCOUNT;
use crate::fingerprint::Fingerprint;
use crate::leases::{Lease, Leases};
use crate::passphrase::Passphrase;
use crate::private_key::{KeyAlgorithm, PrivateKey};
use crate::rollover::Phase;
use crate::signing_request::SigningRequest;
use crate::store;
use crate::time::{earlier, unix_seconds, utc, whole_seconds};

/// Shortest life of a leaf; a shorter wish gets this.
pub const MIN_LEAF_TTL: Duration = Duration::from_secs(10);
/// Longest life of a leaf; a longer wish gets this.
pub const MAX_LEAF_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SERVER_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// When the issuer has less than this left (or less than what was asked), it refuses: such a leaf would be an outage soon.
const FLOOR: Duration = Duration::from_secs(60 * 60);
/// How often an intermediate is looked for again that is due and was not there.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How an authority is kept.
#[derive(Debug, Clone)]
pub struct AuthorityOptions {
    /// Keys on disk are encrypted with it; those that are not yet are on opening.
    pub passphrase: Option<Passphrase>,
    /// What new roots and intermediates have.
    pub algorithm: KeyAlgorithm,
    /// The longest life that leaves are given: a rollover waits for so long.
    pub leaf_ttl: Duration,
}

impl Default for AuthorityOptions {
    fn default() -> Self {
        Self { passphrase: None, algorithm: KeyAlgorithm::default(), leaf_ttl: MAX_LEAF_TTL }
    }
}

/// The mesh's certificate authority.
pub struct Authority {
    dir: PathBuf,
    trust_domain: TrustDomain,
    control_plane: SpiffeId,
    options: AuthorityOptions,
    current: RwLock<Current>,
    bundle: watch::Sender<Arc<str>>,
    /// When the last leaf ends that may be alive: seconds since 1970.
    leaves_until: AtomicU64,
    /// The same of those that this process does not know of.
    unknown_until: AtomicU64,
    looked: AtomicU64,
    leases: Leases,
}

/// A certificate that was just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Leaf and intermediate, PEM.
    pub chain_pem: String,
    /// Leaf and intermediate; and what is between that and the root, when there is something.
    pub chain: Vec<CertificateDer<'static>>,
    /// For logs: hexadecimal.
    pub serial: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// The control plane's own certificate and key, for its TLS.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Leaf, intermediate and every root: these are there for peers that know only a fingerprint.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKey,
    pub not_after: SystemTime,
}

impl Authority {
    /// [`Authority::open_with`] with [`AuthorityOptions::default`].
    ///
    /// # Errors
    /// As there.
    pub fn open(data_dir: &Path, trust_domain: &TrustDomain, root_namespace: &str, now: SystemTime) -> Result<Self, OpenError> {
        Self::open_with(data_dir, trust_domain, root_namespace, AuthorityOptions::default(), now)
    }

    /// Opens the authority kept in `data_dir`, or makes one when there is none yet. Nothing that exists is ever replaced, except an
    /// intermediate that nears its end.
    ///
    /// # Errors
    /// [`OpenError`], one for each way in which the directory cannot be used, saying what to do.
    pub fn open_with(
        data_dir: &Path,
        trust_domain: &TrustDomain,
        root_namespace: &str,
        options: AuthorityOptions,
        now: SystemTime,
    ) -> Result<Self, OpenError> {
        let control_plane = SpiffeId::for_service_account(trust_domain, root_namespace, CONTROL_PLANE_SERVICE_ACCOUNT)?;
        store::data_dir(data_dir)?;
        let dir = data_dir.join(FOLDER);
        store::private_dir(&dir)?;
        let _lock = store::lock(&dir)?;
        // Nobody else writes as long as this has the lock; and what is half-written may be a key.
        durable::remove_unfinished(&dir).map_err(store::io_error(&dir, "read"))?;
        let mut state = current::state(&dir, data_dir, trust_domain, &options, now)?;
        let current = Current::load(&dir, state.clone(), &options, now)?;
        let leaves_until = current::begin(&dir, &mut state, &options, now)?;
        files::remove_others(&dir, &state.phase)?;
        Ok(Self {
            dir,
            trust_domain: trust_domain.clone(),
            control_plane,
            bundle: watch::Sender::new(current.bundle_pem().into()),
            current: RwLock::new(Current { state, ..current }),
            options,
            leaves_until: AtomicU64::new(leaves_until),
            unknown_until: AtomicU64::new(leaves_until),
            looked: AtomicU64::new(0),
            leases: Leases::default(),
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
    pub fn trust_bundle_pem(&self) -> String {
        self.bundle.borrow().to_string()
    }

    /// [`Authority::trust_bundle_pem`] whenever it changes.
    #[must_use]
    pub fn trust_bundles(&self) -> watch::Receiver<Arc<str>> {
        self.bundle.subscribe()
    }

    /// Every root that a peer's chain may end in.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.read().roots.iter().map(|root| root.certificate.clone()).collect()
    }

    /// The root that leaves are signed under.
    #[must_use]
    pub fn root_certificate(&self) -> CertificateDer<'static> {
        self.read().signer.certificate.clone()
    }

    /// The root that leaves are signed under.
    #[must_use]
    pub fn root_fingerprint(&self) -> Fingerprint {
        self.read().state.phase.signer()
    }

    /// Where a rollover of the root stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.read().state.phase.clone()
    }

    /// When the root and the intermediate in use end.
    #[must_use]
    pub fn expiries(&self) -> (SystemTime, SystemTime) {
        let current = self.read();
        (current.signer.validity.until, current.intermediate.validity.until)
    }

    /// The newest leaf of each identity that this process has issued and that is alive.
    #[must_use]
    pub fn leases(&self, now: SystemTime) -> BTreeMap<SpiffeId, Lease> {
        self.leases.living(now)
    }

    /// The longest life that leaves are given.
    #[must_use]
    pub fn leaf_ttl(&self) -> Duration {
        self.options.leaf_ttl
    }

    /// A leaf for `identity` with the key of the signing request, which may ask for no other name. `ttl` is brought within
    /// [`MIN_LEAF_TTL`] and [`AuthorityOptions::leaf_ttl`].
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
        let key = request.key_for(identity)?;
        let ttl = ttl.min(self.options.leaf_ttl).clamp(MIN_LEAF_TTL, MAX_LEAF_TTL);
        self.renew_intermediate_if_due(now)?;
        // Held until the leaf is signed: the root that signs cannot change in between, and whoever changes it sees how long this leaf lives.
        let current = self.read();
        let until = unix_seconds(now + ttl).saturating_add(1);
        self.leaves_until.fetch_max(until, Ordering::SeqCst);
        let issued = current.leaf(key, identity, ttl, now)?;
        self.leases.note(identity, Lease { from: now, until: issued.not_after });
        Ok(issued)
    }

    /// A fresh certificate and key for the control plane's own TLS. Whoever shows it takes a new one as soon as the root that signs is
    /// another, so a rollover does not wait for its end.
    ///
    /// # Errors
    /// [`IssueError`] when the issuer is at its end.
    pub fn server_identity(&self, now: SystemTime) -> Result<ServerIdentity, IssueError> {
        let key = PrivateKey::generate(KeyAlgorithm::default())?;
        self.renew_intermediate_if_due(now)?;
        let current = self.read();
        let issued = current.leaf(key.pair(), &self.control_plane, SERVER_TTL, now)?;
        let mut chain = issued.chain;
        // Before the root itself: some verifiers try only the first certificate of a name (BoringSSL).
        chain.extend(current.cross.iter().cloned());
        chain.push(current.signer.certificate.clone());
        let others = current.roots.iter().filter(|root| root.certificate != current.signer.certificate);
        chain.extend(others.map(|root| root.certificate.clone()));
        Ok(ServerIdentity { chain, key, not_after: issued.not_after })
    }

    /// Whether `id` may be issued at all: of this trust domain, a workload's, and not the control plane's own.
    pub(crate) fn check_identity(&self, id: &SpiffeId) -> Result<(), IssueError> {
        if *id.trust_domain() != self.trust_domain {
            return Err(IssueError::TrustDomain { id: id.clone(), expected: self.trust_domain.clone() });
        }
        check_path(id)
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The intermediate is replaced when it nears its end. When that fails the old one serves for as long as it is good.
    fn renew_intermediate_if_due(&self, now: SystemTime) -> Result<(), IssueError> {
        if !self.is_due(&self.read(), now) {
            return Ok(());
        }
        let mut current = self.write();
        if !self.is_due(&current, now) {
            return Ok(());
        }
        self.looked.store(unix_seconds(now), Ordering::SeqCst);
        match self.renew_intermediate(&current, now) {
            Ok(renewed) => current.intermediate = renewed,
            Err(error) if current.intermediate.valid_at(now) => {
                tracing::warn!(%error, until = %utc(current.intermediate.validity.until), "the intermediate certificate could not be renewed; the old one serves on");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_due(&self, current: &Current, now: SystemTime) -> bool {
        let looked = unix_seconds(now).saturating_sub(self.looked.load(Ordering::SeqCst)) < LOOK_AGAIN.as_secs();
        let until = current.intermediate.validity.until;
        until <= now + RENEW_INTERMEDIATE_BEFORE
            && files::renewal_gains(until, current.signer.validity.until, now)
            && !(looked && current.intermediate.valid_at(now))
    }

    /// A newer one from disk (another process may have made it) or from the root. The root's key is in memory only for this long.
    fn renew_intermediate(&self, current: &Current, now: SystemTime) -> Result<Material, IssueError> {
        let _lock = store::lock(&self.dir)?;
        let signer = current.state.phase.signer();
        let (names, root) = files::named_root(&self.dir, signer, self.options.passphrase.as_ref()).map_err(Box::new)?;
        let renewed = files::usable_intermediate(&self.dir, &names, &root, &self.trust_domain, &self.options, now);
        Ok(renewed.map_err(Box::new)?)
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

/// What a token needs to know of the authority in `data_dir`: its trust domain and the fingerprint of the root that signs. No key is read.
pub(crate) fn describe(data_dir: &Path) -> Result<(TrustDomain, Fingerprint), OpenError> {
    let state = State::load(&data_dir.join(FOLDER))?.ok_or_else(|| OpenError::NoAuthority(data_dir.to_owned()))?;
    Ok((state.trust_domain.clone(), state.phase.signer()))
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

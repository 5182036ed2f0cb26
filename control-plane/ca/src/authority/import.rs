//! Authorities that were made elsewhere: a root, with its key or without, and an intermediate. Everything is tried out before any of it is
//! kept: what they would sign must be accepted by the verifier that peers use.

use std::path::Path;
use std::time::{Duration, SystemTime};

use meshwright_identity::{SpiffeId, TrustDomain};
use rustls::RootCertStore;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::UnixTime;

use super::error::{IssueError, OpenError};
use super::files::{self, FOLDER, Names};
use super::material::{InvalidMaterial, Material};
use super::state::State;
use super::{AuthorityOptions, MIN_LEAF_TTL, profile};
use crate::fingerprint::Fingerprint;
use crate::passphrase::Passphrase;
use crate::private_key::{KeyAlgorithm, KeyError, PrivateKey};
use crate::rollover::Phase;
use crate::store::{self, StoreError};
use crate::time::{unix_seconds, utc};
use crate::tls::provider;

/// What is plugged in, PEM. A passphrase decrypts keys that come encrypted; how they are kept is [`AuthorityOptions`]' to say.
#[derive(Debug, Default)]
pub struct Imported {
    /// The root's certificate, and its key when it is to be kept here.
    pub root: Vec<u8>,
    /// The intermediate's certificate, then those between it and the root, then its key.
    pub intermediate: Option<Vec<u8>>,
    pub passphrase: Option<Passphrase>,
}

/// A root with its key, for a rollover.
#[derive(Debug)]
pub struct TakenRoot {
    pub pem: Vec<u8>,
    pub passphrase: Option<Passphrase>,
}

/// Why nothing was plugged in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the {what}: {source}")]
    Invalid { what: &'static str, source: InvalidMaterial },
    #[error("the {what} is valid from {from} to {until} and the clock says {now}")]
    Validity { what: &'static str, from: String, until: String, now: String },
    #[error("the root has no key and there is no intermediate: nothing could sign")]
    NoKey,
    #[error("there is a root with the fingerprint {0} already: use `meshwright ca rotate --root` to replace it")]
    OtherRoot(Fingerprint),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<IssueError> for ImportError {
    fn from(error: IssueError) -> Self {
        Self::Open(error.into())
    }
}

/// Plugs in an authority, or another intermediate (or the key) of the root that is there. A running control plane takes up a new
/// intermediate when its own nears its end, and at its next start.
///
/// # Errors
/// [`ImportError`]; nothing has changed then.
pub fn import(
    data_dir: &Path,
    trust_domain: &TrustDomain,
    imported: &Imported,
    options: &AuthorityOptions,
    now: SystemTime,
) -> Result<Fingerprint, ImportError> {
    let invalid = |what| move |source| ImportError::Invalid { what, source };
    let mut root = Material::parse(&imported.root, imported.passphrase.as_ref()).map_err(invalid("root"))?;
    root.check_signed_by(&root).map_err(invalid("root"))?;
    check(&root, "root", trust_domain, now)?;
    let read = |pem: &Vec<u8>| Material::parse(pem, imported.passphrase.as_ref());
    let intermediate = imported.intermediate.as_ref().map(read).transpose().map_err(invalid("intermediate"))?;
    if let Some(intermediate) = &intermediate {
        intermediate.check_signed_by(&root).map_err(invalid("intermediate"))?;
        check(intermediate, "intermediate", trust_domain, now)?;
        try_out(&root, intermediate, trust_domain, now).map_err(invalid("intermediate"))?;
    }
    store::data_dir(data_dir)?;
    let dir = data_dir.join(FOLDER);
    store::private_dir(&dir)?;
    let _lock = store::lock(&dir)?;
    let names = existing(&dir, &root, trust_domain)?;
    if let Some(stored) = files::load_root(&dir, &names, options.passphrase.as_ref())? {
        root = root.with_key_of(stored);
    }
    let has_intermediate = intermediate.as_ref().map_or_else(|| dir.join(&names.intermediate).exists(), Material::has_key);
    if !root.has_key() && !has_intermediate {
        return Err(ImportError::NoKey);
    }
    if root.has_key() {
        let made = files::make_unsaved_intermediate(&root, trust_domain, options, now)?;
        try_out(&root, &made, trust_domain, now).map_err(invalid("root"))?;
    }
    files::save_root(&dir, &names, &root, options.passphrase.as_ref())?;
    if let Some(intermediate) = &intermediate {
        intermediate.save(&dir, &names.intermediate, options.passphrase.as_ref())?;
    }
    // The state last: without it the directory has no authority yet, and the same import can be run again.
    if State::load(&dir)?.is_none() {
        State::new(trust_domain.clone(), Phase::Stable { root: root.fingerprint() }, options.leaf_ttl.as_secs()).save(&dir)?;
    }
    Ok(root.fingerprint())
}

/// The names of the root's files; refused when there is another root.
fn existing(dir: &Path, root: &Material, trust_domain: &TrustDomain) -> Result<Names, ImportError> {
    let Some(state) = State::load(dir)? else {
        return match files::root_certificate(dir, &Names::first())? {
            Some(found) if found != root.fingerprint() => Err(ImportError::OtherRoot(found)),
            _ => Ok(Names::first()),
        };
    };
    if state.trust_domain != *trust_domain {
        let (found, expected) = (state.trust_domain, trust_domain.clone());
        return Err(OpenError::OtherTrustDomain { dir: dir.to_owned(), found, expected }.into());
    }
    if state.phase.kept().contains(&root.fingerprint()) {
        return Ok(Names::of(dir, root.fingerprint())?);
    }
    Err(ImportError::OtherRoot(state.phase.signer()))
}

fn check(material: &Material, what: &'static str, trust_domain: &TrustDomain, now: SystemTime) -> Result<(), ImportError> {
    if material.trust_domain.as_ref().is_some_and(|found| found != trust_domain) {
        return Err(ImportError::Invalid { what, source: InvalidMaterial::TrustDomain });
    }
    if !material.valid_at(now) {
        let (from, until) = (utc(material.validity.from), utc(material.validity.until));
        return Err(ImportError::Validity { what, from, until, now: utc(now) });
    }
    Ok(())
}

impl TakenRoot {
    pub(super) fn into_material(
        self,
        trust_domain: &TrustDomain,
        options: &AuthorityOptions,
        now: SystemTime,
    ) -> Result<Material, OpenError> {
        let refused = |source| OpenError::Issue(IssueError::Material(source));
        let root = Material::parse(&self.pem, self.passphrase.as_ref()).map_err(refused)?;
        root.check_signed_by(&root).map_err(refused)?;
        if root.trust_domain.as_ref().is_some_and(|found| found != trust_domain) {
            return Err(refused(InvalidMaterial::TrustDomain));
        }
        let made = files::make_unsaved_intermediate(&root, trust_domain, options, now)?;
        try_out(&root, &made, trust_domain, now).map_err(refused)?;
        Ok(root)
    }
}

/// Signs a leaf that nobody gets and has it verified for both roles: path lengths, name constraints and key usages all show here.
fn try_out(root: &Material, intermediate: &Material, trust_domain: &TrustDomain, now: SystemTime) -> Result<(), InvalidMaterial> {
    let refused = |error: &dyn std::fmt::Display| InvalidMaterial::Chain(error.to_string());
    let id = SpiffeId::for_service_account(trust_domain, "trial", "trial").map_err(|error| refused(&error))?;
    let key = PrivateKey::generate(KeyAlgorithm::default()).map_err(|error: KeyError| refused(&error))?;
    let validity = profile::Validity { from: now, until: now + MIN_LEAF_TTL };
    let issuer = intermediate.issuer().map_err(|_| InvalidMaterial::OtherKey)?;
    let params = profile::leaf(&id, validity).map_err(|error| refused(&error))?;
    let leaf = params.signed_by(key.pair(), &issuer).map_err(|error| refused(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(root.certificate.clone()).map_err(|error| refused(&error))?;
    let between: Vec<_> = std::iter::once(&intermediate.certificate).chain(&intermediate.parents).cloned().collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(now)));
    let parsed = ParsedCertificate::try_from(leaf.der()).map_err(|error| refused(&error))?;
    let algorithms = provider().signature_verification_algorithms.all;
    rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &between, at, algorithms)
        .map_err(|error| refused(&error))?;
    let chain = [vec![leaf.der().clone()], between.clone()].concat();
    if let Some(why) = crate::inspect::too_long(&chain, std::slice::from_ref(&root.certificate)) {
        return Err(refused(&why));
    }
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build().map_err(|error| refused(&error))?;
    clients.verify_client_cert(leaf.der(), &between, at).map_err(|error| refused(&error)).map(|_| ())
}

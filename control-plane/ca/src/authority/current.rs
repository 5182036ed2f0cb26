//! What the authority has in memory: the state, the roots of the bundle without their keys, the intermediate that signs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::PublicKeyData;
use rustls_pki_types::CertificateDer;

use super::error::{IssueError, OpenError};
use super::files::{self, Names};
use super::material::{Material, to_pem};
use super::profile::{self, Validity};
use super::state::State;
use super::{AuthorityOptions, Issued, leaf_validity};
use crate::rollover::Phase;
use crate::store;
use crate::time::{unix_seconds, utc};

/// A root without its key.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) validity: Validity,
}

#[derive(Debug)]
pub(super) struct Current {
    pub(super) state: State,
    /// Of the bundle.
    pub(super) roots: Vec<Root>,
    /// The one of them that leaves are signed under.
    pub(super) signer: Root,
    pub(super) intermediate: Material,
    /// The signer, signed by the other root of the bundle: peers that know only that one accept the control plane.
    pub(super) cross: Option<CertificateDer<'static>>,
}

/// The state on disk, or the one that a directory without a state has; a directory with nothing gets a root.
pub(super) fn state(
    dir: &Path,
    data_dir: &Path,
    trust_domain: &TrustDomain,
    options: &AuthorityOptions,
    now: SystemTime,
) -> Result<State, OpenError> {
    let first = Names::first();
    let found = match State::load(dir)? {
        Some(state) => state,
        None => match files::load_root(dir, &first, options.passphrase.as_ref())? {
            Some(root) => {
                let named = root.trust_domain.clone().unwrap_or_else(|| trust_domain.clone());
                State::new(named, Phase::Stable { root: root.fingerprint() }, 0)
            }
            None if dir.join(&first.intermediate).exists() => return Err(OpenError::RootMissing(dir.to_owned())),
            None => {
                let root = files::make_root(trust_domain, options, now)?;
                files::save_root(dir, &first, &root, options.passphrase.as_ref())?;
                let state = State::new(trust_domain.clone(), Phase::Stable { root: root.fingerprint() }, options.leaf_ttl.as_secs());
                state.save(dir)?;
                state
            }
        },
    };
    if found.trust_domain != *trust_domain {
        let (found, expected) = (found.trust_domain, trust_domain.clone());
        return Err(OpenError::OtherTrustDomain { dir: data_dir.to_owned(), found, expected });
    }
    Ok(found)
}

/// When the last leaf of earlier processes ends, by how long they may have let leaves live; and what the next process needs to know.
pub(super) fn begin(dir: &Path, state: &mut State, options: &AuthorityOptions, now: SystemTime) -> Result<u64, OpenError> {
    let ttl = options.leaf_ttl.as_secs();
    let until = state.leaves_until.max(unix_seconds(now + Duration::from_secs(ttl.max(state.leaf_ttl))).saturating_add(1));
    if state.leaf_ttl != ttl {
        (state.leaf_ttl, state.leaves_until) = (ttl, until);
        state.save(dir)?;
    }
    Ok(until)
}

impl Current {
    pub(super) fn load(dir: &Path, state: State, options: &AuthorityOptions, now: SystemTime) -> Result<Self, OpenError> {
        let passphrase = options.passphrase.as_ref();
        let (names, signer) = files::named_root(dir, state.phase.signer(), passphrase)?;
        if !signer.valid_at(now) {
            let (from, until) = (utc(signer.validity.from), utc(signer.validity.until));
            return Err(OpenError::RootValidity { path: dir.join(&names.root), from, until, now: utc(now) });
        }
        files::encrypt(&signer, dir, &names.root, options)?;
        let (mut roots, mut cross) = (vec![Root::of(&signer)], None);
        for other in state.phase.bundle().into_iter().filter(|root| *root != signer.fingerprint()) {
            let (names, other) = files::named_root(dir, other, passphrase)?;
            files::encrypt(&other, dir, &names.root, options)?;
            roots.push(Root::of(&other));
            if other.has_key() && matches!(state.phase, Phase::Sign { .. }) {
                cross = profile::cross(&signer, &other)?;
            }
        }
        // The same roots are the same bytes in every phase: nothing is sent again that proxies have.
        roots.sort_by(|one, other| one.certificate.cmp(&other.certificate));
        let intermediate = files::usable_intermediate(dir, &names, &signer, &state.trust_domain, options, now)?;
        Ok(Self { state, roots, signer: Root::of(&signer), intermediate, cross })
    }

    pub(super) fn bundle_pem(&self) -> String {
        self.roots.iter().map(|root| to_pem(&root.certificate)).collect()
    }

    pub(super) fn leaf(&self, key: &impl PublicKeyData, identity: &SpiffeId, ttl: Duration, now: SystemTime) -> Result<Issued, IssueError> {
        let validity = leaf_validity(self.intermediate.validity, ttl, now)?;
        let params = profile::leaf(identity, validity)?;
        let serial = params.serial_number.as_ref().map(|serial| store::hex(serial.as_ref())).unwrap_or_default();
        let leaf = params.signed_by(key, &self.intermediate.issuer()?)?;
        let mut chain = vec![leaf.der().clone(), self.intermediate.certificate.clone()];
        chain.extend(self.intermediate.parents.iter().cloned());
        let chain_pem = chain.iter().map(to_pem).collect();
        Ok(Issued { chain_pem, chain, serial, not_before: validity.from, not_after: validity.until })
    }
}

impl Root {
    fn of(material: &Material) -> Self {
        Self { certificate: material.certificate.clone(), validity: material.validity }
    }
}

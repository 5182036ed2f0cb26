//! The authority's directory: which file is which root's, what is made when, what is removed. Every function is called under its lock.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use meshwright_identity::TrustDomain;

use super::error::{IssueError, OpenError};
use super::material::{self, LoadError, Material};
use super::profile::{self, INTERMEDIATE_LIFE, MARGIN, RENEW_INTERMEDIATE_BEFORE, ROOT_LIFE};
use super::{AuthorityOptions, FLOOR};
use crate::fingerprint::Fingerprint;
use crate::passphrase::Passphrase;
use crate::private_key::PrivateKey;
use crate::rollover::Phase;
use crate::store;
use crate::time::{earlier, utc};

pub(super) const FOLDER: &str = "ca";
/// The first root's file, and its intermediate's. Those of later ones have the root's fingerprint in their names.
const ROOT: &str = "root";
const INTERMEDIATE: &str = "intermediate";

/// Where a root and its intermediate are.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) root: String,
    pub(super) intermediate: String,
}

impl Names {
    pub(super) fn first() -> Self {
        Self { root: format!("{ROOT}.pem"), intermediate: format!("{INTERMEDIATE}.pem") }
    }

    pub(super) fn of_new(root: Fingerprint) -> Self {
        Self { root: format!("{ROOT}-{root}.pem"), intermediate: format!("{INTERMEDIATE}-{root}.pem") }
    }

    /// Of a root that must be there.
    pub(super) fn of(dir: &Path, root: Fingerprint) -> Result<Self, OpenError> {
        let own = Self::of_new(root);
        if dir.join(&own.root).exists() {
            return Ok(own);
        }
        match root_certificate(dir, &Self::first())? {
            Some(found) if found == root => Ok(Self::first()),
            _ => Err(OpenError::NamedRootMissing { dir: dir.to_owned(), root }),
        }
    }
}

/// The fingerprint of the certificate in a root's file, which says nothing of its key.
pub(super) fn root_certificate(dir: &Path, names: &Names) -> Result<Option<Fingerprint>, OpenError> {
    let path = dir.join(&names.root);
    let Some(content) = store::read(&path)? else { return Ok(None) };
    let certificate = material::certificate(&content).map_err(|source| OpenError::Root { path, source })?;
    Ok(Some(Fingerprint::of(&certificate)))
}

pub(super) fn load_root(dir: &Path, names: &Names, passphrase: Option<&Passphrase>) -> Result<Option<Material>, OpenError> {
    let root = Material::load(dir, &names.root, passphrase).map_err(|error| match error {
        LoadError::Store(error) => OpenError::Store(error),
        LoadError::Invalid { path, source } => OpenError::Root { path, source },
    })?;
    if let Some(root) = &root {
        root.check_signed_by(root).map_err(|source| OpenError::Root { path: dir.join(&names.root), source })?;
    }
    Ok(root)
}

/// Of a root that must be there.
pub(super) fn named_root(dir: &Path, root: Fingerprint, passphrase: Option<&Passphrase>) -> Result<(Names, Material), OpenError> {
    let names = Names::of(dir, root)?;
    let loaded = load_root(dir, &names, passphrase)?.filter(|loaded| loaded.fingerprint() == root);
    loaded.map(|loaded| (names, loaded)).ok_or(OpenError::NamedRootMissing { dir: dir.to_owned(), root })
}

pub(super) fn load_intermediate(
    dir: &Path,
    names: &Names,
    root: &Material,
    passphrase: Option<&Passphrase>,
) -> Result<Option<Material>, OpenError> {
    let invalid = |path: PathBuf, source| OpenError::Intermediate { path, source };
    let intermediate = Material::load(dir, &names.intermediate, passphrase).map_err(|error| match error {
        LoadError::Store(error) => OpenError::Store(error),
        LoadError::Invalid { path, source } => invalid(path, source),
    })?;
    if let Some(intermediate) = &intermediate {
        let path = dir.join(&names.intermediate);
        if !intermediate.has_key() {
            return Err(invalid(path, material::InvalidMaterial::Sections));
        }
        intermediate.check_signed_by(root).map_err(|source| invalid(path, source))?;
    }
    Ok(intermediate)
}

pub(super) fn make_root(trust_domain: &TrustDomain, options: &AuthorityOptions, now: SystemTime) -> Result<Material, IssueError> {
    let key = PrivateKey::generate(options.algorithm)?;
    let params = profile::root(trust_domain, profile::authority_validity(now, ROOT_LIFE))?;
    let certificate = params.self_signed(key.pair())?;
    Material::new(certificate.der().clone(), key).map_err(IssueError::Material)
}

pub(super) fn save_root(dir: &Path, names: &Names, root: &Material, passphrase: Option<&Passphrase>) -> Result<(), IssueError> {
    root.save(dir, &names.root, passphrase)?;
    tracing::info!(fingerprint = %root.fingerprint(), until = %utc(root.validity.until), "a new root certificate");
    Ok(())
}

/// The intermediate to sign with: the one on disk, or a new one when that nears its end. What was not encrypted and should be is now.
pub(super) fn usable_intermediate(
    dir: &Path,
    names: &Names,
    root: &Material,
    trust_domain: &TrustDomain,
    options: &AuthorityOptions,
    now: SystemTime,
) -> Result<Material, OpenError> {
    match load_intermediate(dir, names, root, options.passphrase.as_ref())? {
        // Without the root's key nothing better can be made; how long this one lasts is the metrics' to tell.
        Some(intermediate) if !root.has_key() || !due(&intermediate, root, now) => {
            encrypt(&intermediate, dir, &names.intermediate, options)?;
            Ok(intermediate)
        }
        _ => Ok(make_intermediate(dir, names, root, trust_domain, options, now)?),
    }
}

pub(super) fn encrypt(material: &Material, dir: &Path, name: &str, options: &AuthorityOptions) -> Result<(), OpenError> {
    if options.passphrase.is_some() && material.has_key() && !material.encrypted {
        material.save(dir, name, options.passphrase.as_ref())?;
        tracing::info!(name, "the private key on disk is encrypted from now on");
    }
    Ok(())
}

fn make_intermediate(
    dir: &Path,
    names: &Names,
    root: &Material,
    trust_domain: &TrustDomain,
    options: &AuthorityOptions,
    now: SystemTime,
) -> Result<Material, IssueError> {
    let intermediate = make_unsaved_intermediate(root, trust_domain, options, now)?;
    intermediate.save(dir, &names.intermediate, options.passphrase.as_ref())?;
    tracing::info!(until = %utc(intermediate.validity.until), "made a new intermediate certificate");
    Ok(intermediate)
}

pub(super) fn make_unsaved_intermediate(
    root: &Material,
    trust_domain: &TrustDomain,
    options: &AuthorityOptions,
    now: SystemTime,
) -> Result<Material, IssueError> {
    let mut validity = profile::authority_validity(now, INTERMEDIATE_LIFE);
    validity.from = validity.from.max(root.validity.from);
    validity.until = validity.until.min(earlier(root.validity.until, MARGIN));
    if validity.until < now + FLOOR {
        return Err(IssueError::IssuerExpires { issuer: "root", until: utc(root.validity.until) });
    }
    let key = PrivateKey::generate(options.algorithm)?;
    let certificate = profile::intermediate(trust_domain, validity)?.signed_by(key.pair(), &root.issuer()?)?;
    Material::new(certificate.der().clone(), key).map_err(IssueError::Material)
}

pub(super) fn due(intermediate: &Material, root: &Material, now: SystemTime) -> bool {
    intermediate.validity.until <= now + RENEW_INTERMEDIATE_BEFORE && renewal_gains(intermediate.validity.until, root.validity.until, now)
}

/// At the root's own end a new intermediate would last no longer than the old one.
pub(super) fn renewal_gains(current_until: SystemTime, root_until: SystemTime, now: SystemTime) -> bool {
    (now + INTERMEDIATE_LIFE).min(earlier(root_until, MARGIN)) > current_until + FLOOR
}

/// Removes roots and intermediates, keys and all, that the phase does not keep: retired, aborted, or never announced.
pub(super) fn remove_others(dir: &Path, phase: &Phase) -> Result<(), OpenError> {
    let kept: Vec<Names> = phase.kept().into_iter().map(|root| Names::of(dir, root)).collect::<Result<_, _>>()?;
    let mut removed = false;
    for entry in std::fs::read_dir(dir).map_err(store::io_error(dir, "read"))? {
        let path = entry.map_err(store::io_error(dir, "read"))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let ours = name.ends_with(".pem") && (name.starts_with(ROOT) || name.starts_with(INTERMEDIATE));
        if ours && !kept.iter().any(|names| names.root == name || names.intermediate == name) {
            store::remove(&path)?;
            tracing::info!(name, "removed");
            removed = true;
        }
    }
    if removed {
        store::sync_dir(dir)?;
    }
    Ok(())
}

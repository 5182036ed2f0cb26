use std::path::PathBuf;

use meshwright_identity::{InvalidSpiffeId, SpiffeId, TrustDomain};

use super::material::InvalidMaterial;
use crate::fingerprint::Fingerprint;
use crate::private_key::KeyError;
use crate::rollover::RolloverError;
use crate::signing_request::RefusedRequest;
use crate::store::StoreError;

/// Why the authority's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{}` cannot be used: {source}; restore it from a backup, or give another data directory to start a new mesh", .path.display())]
    Root { path: PathBuf, source: InvalidMaterial },
    #[error("`{}` cannot be used: {source}; restore it from a backup, or remove it to have the root sign a new one", .path.display())]
    Intermediate { path: PathBuf, source: InvalidMaterial },
    #[error("`{}` has an intermediate or a state but no `root.pem`; restore it from a backup, or give another data directory to start a new mesh", .0.display())]
    RootMissing(PathBuf),
    #[error("`{}` lacks the file of the root {root} that its `state.json` names; restore it from a backup", .dir.display())]
    NamedRootMissing { dir: PathBuf, root: Fingerprint },
    #[error("`{}` is not a state that this version knows: {reason}; restore it from a backup", .path.display())]
    State { path: PathBuf, reason: String },
    #[error("`{}` has no certificate authority yet; start the control plane on it once, or plug one in with `meshwright ca import`", .0.display())]
    NoAuthority(PathBuf),
    #[error("`{}` belongs to the mesh of trust domain `{found}`; this one is `{expected}`: give it a data directory of its own", .dir.display())]
    OtherTrustDomain { dir: PathBuf, found: TrustDomain, expected: TrustDomain },
    #[error("the root certificate in `{}` is valid from {from} to {until} and the clock says {now}", .path.display())]
    RootValidity { path: PathBuf, from: String, until: String, now: String },
    #[error("the root namespace does not make an identity: {0}")]
    RootNamespace(#[from] InvalidSpiffeId),
    #[error(transparent)]
    Rollover(#[from] RolloverError),
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
    #[error("the root's key is kept elsewhere: plug in an intermediate with `meshwright ca import`")]
    NoRootKey,
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

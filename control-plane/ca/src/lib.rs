//! The mesh's certificate authority: a root and an intermediate kept on disk, leaves for SPIFFE identities, single-use join tokens, and
//! the service by which sidecars join and renew (server and client), and beside it the one by which they report on keys of tokens.
//!
//! It does not decide who may have which identity beyond what a join token or a valid certificate says, does not watch anything, and
//! keeps no clock of its own: every call that needs the time is given it.

mod audit;
mod authority;
mod bundle_verifier;
pub mod client;
mod fingerprint;
mod inspect;
mod join_token;
mod jwt;
mod key_service;
mod leases;
mod passphrase;
mod peer;
mod private_key;
mod rate;
mod rollover;
mod service;
mod signing_request;
mod store;
mod time;
mod tls;
mod token_store;

pub use audit::{AuditLog, AuditRecord};
pub use authority::{
    Authority, AuthorityOptions, ImportError, Imported, InvalidMaterial, IssueError, Issued, MAX_LEAF_TTL, MIN_LEAF_TTL, NewRoot,
    OpenError, RolloverStatus, RootStatus, ServerIdentity, TakenRoot, abort_rollover, confirm_rollover, import, rotate,
};
pub use fingerprint::Fingerprint;
pub use inspect::{CertificateReport, ChainReport, InspectError, inspect};
pub use join_token::{InvalidJoinToken, JoinToken};
pub use jwt::{InvalidJwt, JwtIssuer};
pub use key_service::{KeyServer, UnknownKeys, key_service};
pub use leases::Lease;
pub use passphrase::{Passphrase, PassphraseError};
pub use peer::{InvalidPeer, PeerCertificates};
pub use private_key::{KeyAlgorithm, KeyError, PrivateKey};
pub use rate::{Rate, Rates};
pub use rollover::{Blocker, Facts, Observed, ObservedProxy, Phase, RolloverError};
pub use service::{Clock, DenyList, IdentityOptions, IdentityServer, Module, ModuleProvider, Refusal, identity_service};
pub use signing_request::RefusedRequest;
pub use store::StoreError;
pub use time::utc;
pub use tls::{ServerCertificate, TlsError, public_tls_config, server_tls_config};
pub use token_store::{CreateTokenError, RedeemError, TokenStore, create_join_token};

/// The service account of the control plane, in whatever namespace is the root namespace. Never issued on request or by token, so that
/// nobody else can pass for the control plane.
pub const CONTROL_PLANE_SERVICE_ACCOUNT: &str = "meshwright-control-plane";

mod proto {
    #![allow(
        missing_debug_implementations,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::as_conversions,
        reason = "generated from the protocol's definition"
    )]
    tonic::include_proto!("meshwright.v1alpha1");
}

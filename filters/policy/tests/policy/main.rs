//! The policy core from the outside: wire format in, decisions out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod decisions;
mod denied;
mod documented;
mod edits;
mod equivalence;
mod evaluations;
mod extremes;
mod fields;
mod hardening;
mod jwks;
mod keys;
mod locations;
mod partial;
mod reference;
mod refusals;
mod robustness;
mod support;
mod tokens;
mod unknown_keys;
mod wire;

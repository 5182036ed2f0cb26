//! The certificate authority from outside: what it issues and refuses, what it keeps on disk, join tokens, and the service over real TLS.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names what it wants and fails on all else")]

mod data_directory;
mod denied;
mod inspecting;
mod issuing;
mod join_tokens;
mod key_reports;
mod peers;
mod plugged_in;
mod proofs;
mod rollover;
mod served;
mod service;
mod signing_requests;
mod support;
mod verifiers;

//! The project's own module, as it is built for Envoy, driven through the host: what it decides, refuses and records.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod access_log;
mod authz;
mod fuzz;
mod handover;
mod jwt;
mod support;

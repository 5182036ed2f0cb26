//! The real Envoy as the client.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

mod content;
mod https;
mod listening;
mod proxy;
#[path = "../support/serving.rs"]
mod serving;
mod updates;
mod warming;

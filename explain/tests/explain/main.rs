//! Cases in, answers out, by both engines.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod agreement;
mod answers;
mod batch;
mod denied;
mod stories;
mod support;
mod tokens;

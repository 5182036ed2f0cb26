//! Logs replayed: what flips, what is undecided and why, what is no record.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

mod current;
mod logs;
mod support;

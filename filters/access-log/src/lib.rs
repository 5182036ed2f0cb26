//! The proxy-wasm role `access-log`: as an Envoy access logger, it writes one JSON record per request or connection to Envoy's log.
//!
//! Everything but [`AccessLog`] is pure: attributes in, record out. It decides nothing and changes nothing about a stream.

mod config;
mod details;
mod flags;
mod record;
mod root;
mod text;
mod trace;

pub use root::AccessLog;

/// What stands before each record, so that a reader of Envoy's log finds it.
pub const PREFIX: &str = "meshwright-access ";

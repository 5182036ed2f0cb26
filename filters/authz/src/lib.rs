//! The proxy-wasm role `authz`: shows requests and connections to `meshwright-policy`, and does in the proxy what it decides.
//!
//! It knows Envoy and no policy: what is read from the host, when, and what is done about a verdict is here; the verdict is not.
//! Whatever goes wrong on the way ends in a denial.

mod alike;
mod connection;
mod crypto;
mod engine;
mod headers;
mod host;
mod http;
mod open;
mod peer;
mod properties;
mod raw;
mod recent;
mod records;
mod root;
mod tally;
mod tcp;
mod unknown_keys;
mod usual;

pub use root::Authz;

//! What Meshwright says to Envoy: typed builders of xDS resources over `envoy-types`, and the bootstrap.
//!
//! Everything here is a pure function of its arguments and encodes to the same bytes every time. No mesh knowledge: which listeners a proxy
//! has, and why, is `translate`'s business. No I/O.

pub mod allocator;
pub mod bootstrap;
pub mod cluster;
pub mod endpoint;
pub mod ext_authz;
pub mod filter;
pub mod hcm;
pub mod listener;
pub mod metadata;
pub mod names;
pub mod route;
pub mod secret;
pub mod source;
pub mod tcp;
pub mod tls;
pub mod wasm;
mod well_known;

pub use bootstrap::{Admin, BootstrapParams, ControlPlaneAddress, bootstrap};
/// The generated messages that the builders return.
pub use envoy_types::pb;
pub use metadata::{InvalidNodeMetadata, NodeMetadata};

//! The control plane, assembled: documents from a directory, certificates from the mesh's own authority, keys of token issuers, xDS to the
//! proxies, and the admin API. Every piece of logic is in the packages that it puts together; here is who hands what to whom.

mod admin;
mod board;
mod bundle_endpoint;
mod connections;
mod credentials;
mod denials;
mod foreign_bundles;
mod key_sources;
mod lineage;
mod metrics;
mod module;
mod options;
mod pacing;
mod publisher;
mod receipts;
mod refusals;
mod run;
mod service;
mod trust;

pub use meshwright_sources::Guard;
pub use options::{BundleEndpointOptions, Ready, ServerOptions, WebCertificate};
pub use run::run;

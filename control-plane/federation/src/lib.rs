//! SPIFFE federation (SPIFFE Federation section 5): the bundles of other trust domains, fetched from where the Mesh document says and kept as
//! last known good across failures and restarts; and our own, numbered, as others fetch it.
//!
//! `plan` decides what is fetched when, and which answer replaces which; it knows no network, file or clock. Each trust domain's bundle is
//! its own: nothing here puts two together, and an answer is authenticated by what is already known of its own domain.

mod client;
mod fetcher;
mod plan;
mod publication;
mod report;

pub use client::FetchError;
pub use fetcher::{FederatedBundles, Federation, OpenError};
pub use publication::{Publication, PublicationError};
pub use report::DomainReport;

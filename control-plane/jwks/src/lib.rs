//! The keys of token issuers: fetched from where documents say, checked, and kept as last known good across failures and restarts.
//!
//! `plan` decides what is fetched when and knows no network, file or clock; `fetcher` does it. A set is replaced only by one that the
//! policy's own parser takes. It hands out key sets and never looks at a token.

mod client;
mod discovery;
mod error;
mod fetcher;
mod key_set;
mod plan;
mod report;
mod wanted;

pub use discovery::jwks_uri;
pub use error::{FetchError, Outcome};
pub use fetcher::{Fetcher, Keys, OpenError};
pub use report::{Report, SourceReport};

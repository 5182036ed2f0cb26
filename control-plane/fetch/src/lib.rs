//! What is fetched over HTTP for the mesh: one bounded request to addresses that were checked, and the last good answers on disk. Knows
//! nothing of what is in an answer; when something is fetched the callers say, in the pace that all of them keep.

mod client;
mod error;
mod pace;
mod resolver;
mod store;

pub use client::{Client, tls_versions};
pub use error::GetError;
pub use pace::{retry_after, set, sleep_until};
pub use store::{Kept, Store, StoreError};

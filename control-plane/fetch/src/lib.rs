//! What is fetched over HTTP for the mesh: one bounded request to addresses that were checked, and the last good answers on disk. Knows
//! nothing of what is in an answer, and decides nothing about when.

mod client;
mod error;
mod resolver;
mod store;

pub use client::{Client, tls_versions};
pub use error::GetError;
pub use store::{Kept, Store, StoreError};

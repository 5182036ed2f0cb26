//! The bookshop demo and the launcher it stands on, which the end-to-end tests use too.

pub mod client;
pub mod keys;
pub mod launcher;

//! SPIFFE identities: parsing and printing, nothing else. No certificates, no matching, no I/O.
//!
//! Source of every rule here: the SPIFFE ID specification, sections 2.1 to 2.3.

mod spiffe_id;
mod trust_domain;

pub use spiffe_id::{InvalidSpiffeId, SpiffeId};
pub use trust_domain::{InvalidTrustDomain, TrustDomain};

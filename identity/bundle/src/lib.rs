//! Trust bundles: the roots that vouch for the identities of one trust domain, and of no other. Read from PEM and from SPIFFE's JSON (SPIFFE
//! Trust Domain and Bundle sections 3 and 4), checked, and written as both. Pure: fetching them is somebody else's, and there is no way to
//! put two bundles together.

mod bundle;
mod json;
mod root;

use std::collections::BTreeMap;

pub use bundle::{InvalidBundle, TrustBundle};
pub use root::InvalidRoot;

/// The bundle of each trust domain.
pub type Bundles = BTreeMap<meshwright_identity::TrustDomain, TrustBundle>;

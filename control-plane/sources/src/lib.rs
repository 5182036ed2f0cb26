//! Where documents come from: a directory, watched. Each change gives a new state; a document that is wrong is quarantined alone, and its
//! last good version stays. What documents mean is `meshwright_config`'s business.

mod directory;
mod loaded;
mod scan;
mod store;

pub use directory::{DirectorySource, load_once, load_paths};
pub use loaded::{Checked, DocumentState, DocumentStatus, Loaded};
pub use scan::SourceError;

//! Where documents come from: a directory, watched. Each change gives a new state; a document that is wrong is quarantined alone, and its
//! last good version stays. What documents mean is `meshwright_config`'s business.

mod directory;
mod guard;
mod last_good;
mod loaded;
mod parsed;
mod request;
mod scan;
mod store;
mod watched;

pub use directory::{DirectorySource, load_once, load_paths};
pub use guard::{Class, Guard, Held};
pub use last_good::LastGoodError;
pub use loaded::{Checked, DocumentState, DocumentStatus, InForce, Loaded, differences};
pub use request::SourceHandle;
pub use scan::SourceError;

//! Files in which tests are written: found, read and parsed, with errors that have file, line and field; and the JUnit report of what came of
//! them. What the tests are about is the caller's.

mod error;
mod junit;
mod load;
mod parse;
mod short;

pub use error::{FileError, LoadError, Wrong};
pub use junit::{JunitError, Tested, Verdict, junit};
pub use load::{Kind, load};
pub use parse::parse;
pub use short::{ShortForm, read_short};

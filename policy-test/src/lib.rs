//! Tests of policies, written as files beside them: given this workload, these requests get these decisions. `meshwright-explain` decides, with
//! the filter module's own bytes or with the library; this reads the files, mints the tokens, compares, counts which rules were tried, and
//! reports.
//!
//! It decides nothing itself, and prints nothing.

mod case;
mod check;
mod coverage;
mod keys;
mod load;
mod mesh;
mod report;
mod run;
mod table;
mod wire;

pub use check::Failure;
pub use coverage::{Coverage, RuleCoverage};
pub use load::{Suite, load};
pub use meshwright_test_files::{FileError, LoadError};
pub use report::{failed, github, human, json, junit, sarif};
pub use run::{CaseResult, Outcome, run};
pub use wire::schema;

//! Tests for proxy-wasm filters, written as files: a scenario says which plugin, which world, which exchange, and what must come of it.
//! `meshwright-wasm-host` runs the filter as Envoy would; this reads the files, compares, and reports.
//!
//! It decides nothing about Envoy's behaviour, and prints nothing.
//!
//! ```
//! use std::path::Path;
//! use meshwright_filter_test::Scenario;
//!
//! let scenarios = Scenario::parse(Path::new("hello.yaml"), r"
//! request: {path: /}
//! matrix:
//!   get: {}
//!   post: {request: {method: POST}, expect: {client: {status: 405}}}
//! ").unwrap();
//! assert_eq!(scenarios.iter().map(Scenario::name).collect::<Vec<_>>(), ["hello.yaml::get", "hello.yaml::post"]);
//! ```

mod against;
mod answer;
mod build;
mod check;
mod failure;
mod load;
mod matches;
mod module;
mod read;
mod report;
mod run;
mod scenario;
mod wire;

pub use against::run_against;
pub use failure::Failure;
pub use load::load;
pub use meshwright_filter_envoy::{EnvoyError, Options as EnvoyOptions, find as find_envoy};
pub use meshwright_test_files::{FileError, LoadError};
pub use meshwright_wasm_host::{Inspection, LogLevel};
pub use module::{Compile, ModuleError, load_module, read_module};
pub use report::{failed, human, json, junit};
pub use run::{CaseResult, run_all};
pub use scenario::{Scenario, schema};

//! `make bench-xds`: Meshwright's control plane under the workloads W1 to W7, at its largest, and how its cost grows. The server has one core,
//! the clients another. Nothing here is part of the clients, which drive any server.

mod cases;
mod curves;
mod edits;
mod floor;
mod mesh;
mod report;
mod server;

use std::path::PathBuf;

pub use cases::Case;
pub use floor::Floor;
pub use report::{Row, Section, document, rows_json};

/// What every case needs.
#[derive(Debug, Clone)]
pub struct Setting {
    pub binary: PathBuf,
    pub module: PathBuf,
    /// Small meshes and short times, to see that everything runs.
    pub quick: bool,
    /// Proxies with certificates over mutual TLS, as sidecars; plaintext without.
    pub tls: bool,
}

impl Setting {
    fn fewer(&self, number: usize, by: usize) -> usize {
        if self.quick { number.checked_div(by).unwrap_or(number).max(1) } else { number }
    }
}

pub(crate) fn progress(text: &str) {
    eprintln!("bench-xds: {text}");
}

//! The bookshop demo, and what it stands on: a launcher for whole meshes on one machine, which the end-to-end tests use too.

#![expect(clippy::indexing_slicing, reason = "to index a JSON value gives null, never a panic")]

pub mod bookshop;
pub mod client;
pub mod keys;
pub mod launcher;
pub mod report;
pub mod steps;

use std::path::PathBuf;
use std::time::Instant;

use bookshop::{Bookshop, Network};
use launcher::Environment;
use report::Report;

/// What `meshwright demo` may be told.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The `meshwright` binary that the demo's processes run.
    pub binary: PathBuf,
    pub envoy: Option<PathBuf>,
    pub module: PathBuf,
    /// Where it writes; a fresh folder.
    pub folder: PathBuf,
    /// Columns of the table.
    pub width: u16,
}

/// A demo that has run.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    pub mesh: Bookshop,
}

/// Starts the bookshop and tries everything; the mesh still runs afterwards. `say` prints a line of progress.
///
/// # Errors
/// When the mesh does not start or a step cannot be tried at all.
pub async fn run(options: DemoOptions, say: &dyn Fn(&str)) -> anyhow::Result<Outcome> {
    let DemoOptions { binary, envoy, module, folder, width: _ } = options;
    let begun = Instant::now();
    let environment = Environment { binary, envoy, module, folder };
    say("starting the bookshop: a control plane, seven sidecars with an Envoy each, six apps");
    let mut mesh = Bookshop::start(environment, Network::EXAMPLE, &|what| say(&format!("  {what} is ready"))).await?;
    say(&format!("the mesh is up after {:.1} s; running the steps", begun.elapsed().as_secs_f32()));
    let mut report = Report::default();
    steps::run(&mut mesh, &mut report, &|title| say(&format!("  {title}"))).await?;
    say(&format!("done after {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(Outcome { report, mesh })
}

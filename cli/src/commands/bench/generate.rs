use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use meshwright_workloads::{Mesh, Shape, Workload};
use serde_json::json;

use crate::output::{self, Format, counted};

/// So many files are written between two lines of progress.
const PROGRESS: usize = 2_000;

/// Write the YAML of a mesh of some size, and the proxies that go with it.
///
/// DIR gets a file for each service, with its workloads, and common policies: Istio's kinds, but for the `Mesh` in `mesh.yaml`; and
/// `proxies.jsonl`, a line for each proxy, as `xds-load` reads it. The same size and seed give the same bytes. W1 to W7 are the workloads
/// that `make bench-xds` measures.
///
/// Example: meshwright bench generate --workload w2 --out mesh/
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// A size with a name: w1 to w7.
    #[arg(long, value_name = "NAME", required_unless_present = "services")]
    workload: Option<Workload>,
    /// How many services.
    #[arg(long, value_name = "N", conflicts_with = "workload")]
    services: Option<usize>,
    /// How many endpoints each service has.
    #[arg(long, value_name = "N", default_value = "2", conflicts_with = "workload")]
    endpoints: usize,
    /// How many proxies there are; each is that of an endpoint [default: all].
    #[arg(long, value_name = "N")]
    proxies: Option<usize>,
    /// Give each service a `Sidecar` that names what it calls.
    #[arg(long, conflicts_with = "workload")]
    scoped: bool,
    /// Which mesh of that size.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// A directory that does not exist yet or is empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Generate {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mesh = Mesh::new(self.shape(), self.seed);
        let is_used = fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some());
        anyhow::ensure!(!is_used, "`{}` is not empty: name a new directory", self.out.display());
        let mut files = 0_usize;
        for (file, text) in mesh.files() {
            write(&self.out.join(file), &text)?;
            files = files.saturating_add(1);
            if files.checked_rem(PROGRESS) == Some(0) {
                output::progress(&format!("{files} files"));
            }
        }
        let mut lines = String::new();
        let mut proxies = 0_usize;
        for proxy in mesh.proxies() {
            lines.push_str(&serde_json::to_string(&proxy)?);
            lines.push('\n');
            proxies = proxies.saturating_add(1);
        }
        write(&self.out.join("proxies.jsonl"), &lines)?;
        let services = mesh.services().len();
        match self.output {
            Format::Json => output::json(&json!({"services": services, "files": files, "proxies": proxies, "directory": self.out})),
            Format::Text => {
                let [services, files, proxies] =
                    [(services, "service"), (files, "file"), (proxies, "proxy")].map(|(number, one)| counted(number, one));
                output::line(&format!("{services} in {files}, {proxies}: {}", self.out.display()));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn shape(&self) -> Shape {
        let shape = match (self.workload, self.services) {
            (Some(workload), _) => workload.shape(),
            (None, services) => {
                let services = services.unwrap_or_default();
                Shape { scoped: self.scoped, ..Shape::new(services, self.endpoints, services.saturating_mul(self.endpoints)) }
            }
        };
        Shape { proxies: self.proxies.unwrap_or(shape.proxies), ..shape }
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("`{}` cannot be written", file.display()))
}

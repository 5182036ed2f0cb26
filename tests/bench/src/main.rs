//! `make bench`: what policy costs in one Envoy worker. Three configurations take turns in one run, so that the machine's mood touches all
//! alike: no filter, Envoy's own jwt_authn (with its token cache) and rbac, and our module. Writes docs/benchmarks.md.

mod cases;
mod envoy;
mod load;
mod report;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::keys::Issuer;
use meshwright_test_support as support;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::envoy::Envoy;
use crate::report::{Measured, Sample};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(5);
const HOUR: i64 = 3600;
/// The worker has one core for itself, the load the other.
const ENVOY_CORE: usize = 0;
const LOAD_CORE: usize = 1;

fn main() -> anyhow::Result<()> {
    support::install_crypto();
    pin(LOAD_CORE)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let (binary, module) = (support::envoy()?, support::module()?);
    let issuer = Issuer::new(cases::ISSUER)?;
    let bearer = format!("Bearer {}", issuer.token("ada", &cases::group(), HOUR)?);
    let headers = vec![("authorization".to_owned(), bearer)];
    let folder = tempfile::Builder::new().prefix("mw-bench-").tempdir()?;

    let mut envoys = Vec::new();
    for (index, case) in cases::all(&issuer, &module)?.into_iter().enumerate() {
        eprintln!("bench: starting Envoy: {}", case.name);
        let home = folder.path().join(index.to_string());
        envoys.push((Measured::new(case.name), Envoy::start(&binary, &case, &home, ENVOY_CORE).await?));
    }
    for (measured, envoy) in &envoys {
        eprintln!("bench: warming up: {}", measured.name());
        load::run(envoy.address(), CONNECTIONS, WARM_UP, &headers).await.with_context(|| measured.name())?;
    }
    for round in 1..=ROUNDS {
        for (measured, envoy) in &mut envoys {
            eprintln!("bench: round {round} of {ROUNDS}: {}", measured.name());
            let before = envoy.cpu()?;
            let done = load::run(envoy.address(), CONNECTIONS, ROUND, &headers).await?;
            measured.add(Sample::new(&done, envoy.cpu()?.saturating_sub(before)));
        }
    }
    let version = envoy::version(&binary).await?;
    let measured: Vec<Measured> = envoys.into_iter().map(|(measured, _)| measured).collect();
    let text = report::markdown(&measured, &version, ROUNDS, ROUND, CONNECTIONS)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
    std::fs::write(&file, &text).context("docs/benchmarks.md cannot be written")?;
    eprintln!("{text}bench: written to docs/benchmarks.md");
    Ok(())
}

fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("a benchmark needs two cores")
}

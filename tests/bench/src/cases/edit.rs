//! A policy edit while requests are served. The filter comes by ECDS from a file, and the edit is a new file in its place.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::StatusCode;

use crate::bench::{Bench, CONNECTIONS};
use crate::bootstrap::{Content, discovered, resource};
use crate::filters::{self, Filter};
use crate::floor;
use crate::latency::Latencies;
use crate::load::{Answered, Bearer, Load, status_of};
use crate::measured::Range;
use crate::policies::{self, Policies};
use crate::report::{Section, Table, Target};
use crate::rounds::Contender;

const POLICIES: usize = 10_000;
const VERSION: &str = "/version-";
const NAME: &str = "policy";
const RELOADS: &str = "extension_config_discovery\\.http_filter\\..*policy\\.config_reload";
/// Longest wait for an edit to have its effect.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long requests are measured before the first edit.
const BEFORE: Duration = Duration::from_secs(4);
const EDITS: usize = 5;
/// What the module may take to be configured, in milliseconds.
const MOST: f64 = 50.0;
/// How much slower requests may be while it is.
const MOST_SLOWER: f64 = 2.0;

/// An Envoy whose policy can be edited.
struct Edited {
    contender: Contender,
    file: PathBuf,
    /// The two contents of the file; they differ in one policy.
    contents: [String; 2],
    edits: usize,
}

const OURS: &str = "meshwright";
const NATIVE: &str = "rbac";
const FLOOR: &str = "a module that reads it";

/// When an edit was made, and when a request was decided by it.
#[derive(Clone, Copy)]
struct Window {
    begun: Instant,
    ended: Instant,
}

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Section> {
    let both = [0, 1].map(|version| policies::many(POLICIES - 1, Some(&only(version))));
    let native = [0, 1].map(|version| both.get(version).map(|policies| filters::rbac(&policies.native)));
    let ours = [0, 1].map(|version| both.get(version).map(|policies| filters::authz(bench.module(), &policies.ours)));
    let module = floor(bench, &both)?;
    let floor = [0, 1].map(|version| both.get(version).map(|policies| filters::authz(&module, &policies.ours)));
    let mut idle = Table::new(&["configuration", "worker CPU for one edit, ms", "target", "met"]);
    let mut loaded = Table::new(&[
        "configuration",
        "edit to effect, ms",
        "requests",
        "p50, µs",
        "p99, µs",
        "slowest, ms",
        "p99 ÷ p99 before",
        "target",
        "met",
    ]);
    let all = [(NATIVE, None, native), (OURS, Some(bench.module()), ours), (FLOOR, Some(module.as_path()), floor)];
    for (name, module, versions) in all {
        let mut edited = Edited::start(bench, name, module, versions).await?;
        eprintln!("bench: policy-edit: {name}: edits without load");
        let mut worker = Vec::new();
        for _ in 0..EDITS {
            worker.push(edited.alone().await?.as_secs_f64() * 1e3);
        }
        let worker = Range::of(worker);
        let [target, met] = if name == OURS { Target::AtMost(MOST).cells(worker.median) } else { [String::new(), String::new()] };
        idle.row([name.to_owned(), worker.cell(1), target, met]);
        eprintln!("bench: policy-edit: {name}: edits under load");
        edited.under_load(bench, &mut loaded).await?;
    }
    Ok(Section { title: format!("An edit of {POLICIES} rules"), text: TEXT.to_owned(), tables: vec![idle, loaded], rows: Vec::new() })
}

const TEXT: &str = "The policies of the case above come by ECDS from a file; an edit replaces the file with one in which one policy differs. Configure time in the worker is\n\
    the CPU time of the worker's thread (`schedstat`) from the edit until a request is decided by it, while nothing else is asked of the worker. Under load,\n\
    edits follow one another; a request counts as during an edit when it was under way between the new file and the first request that was decided by\n\
    it. All requests are allowed by the first policies, so that no search of a list is measured. Parsing on Envoy's main thread shares the worker's core, as in a sidecar that is given one core.\n\n\
    The module compiles what the edit changes, and uses again what it compiled before of all else. The last configuration has a module in its place that is given the same bytes and\n\
    looks at one of them: what it takes, and how long requests wait meanwhile, is Envoy's own. On the main thread Envoy reads the file, and tries each configuration in a VM made for that, which knows nothing of before, so that\n\
    ours compiles all of it there: that takes time from the worker where the two have one core, and holds no request up by itself.";

/// The file of a module that tells the two versions apart and does nothing else.
fn floor(bench: &Bench, both: &[Policies; 2]) -> anyhow::Result<PathBuf> {
    let [first, second] = both.each_ref().map(|policies| policies.ours.to_string().find(VERSION).context("a policy has a version"));
    let (first, second) = (first?, second?);
    anyhow::ensure!(first == second, "both versions are in one place");
    let file = bench.folder().join("floor.wasm");
    std::fs::write(&file, floor::configured(first.saturating_add(VERSION.len()))?)?;
    Ok(file)
}

/// The path that anyone may GET in one version, and nobody in the other.
fn only(version: usize) -> String {
    format!("{VERSION}{version}")
}

impl Edited {
    async fn start(bench: &Bench, name: &'static str, module: Option<&Path>, versions: [Option<Filter>; 2]) -> anyhow::Result<Self> {
        let file = bench.folder().join(format!("{name}.json"));
        let [Some(first), Some(second)] = versions else { anyhow::bail!("an edit has two versions") };
        let contents = [resource(NAME, 0, &first.typed_config).to_string(), resource(NAME, 1, &second.typed_config).to_string()];
        std::fs::write(&file, &contents[0])?;
        let filters = vec![discovered(NAME, &file, &first.typed_config)];
        let content = match module {
            Some(module) => bench.ours(module, filters),
            None => Content { filters, ..Content::default() },
        };
        let contender = bench.start(name, &content).await?;
        let edited = Self { contender, file, contents, edits: 0 };
        edited.effective().await?;
        Ok(edited)
    }

    /// Puts the other version in the place of this one.
    fn replace(&mut self) -> anyhow::Result<Instant> {
        self.edits = self.edits.saturating_add(1);
        let content = self.contents.get(self.edits % 2).context("there are two versions")?;
        let new = self.file.with_extension("new");
        std::fs::write(&new, content)?;
        let begun = Instant::now();
        std::fs::rename(&new, &self.file)?;
        Ok(begun)
    }

    /// Returns when a request is decided by the present version.
    async fn effective(&self) -> anyhow::Result<()> {
        let path = only(self.edits % 2);
        let asked = async {
            while status_of(self.contender.envoy.address(), &path).await? != StatusCode::OK {}
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, asked).await.context("an edit has no effect")?
    }

    /// One edit, and the worker's CPU time for it.
    async fn alone(&mut self) -> anyhow::Result<Duration> {
        let envoy = &self.contender.envoy;
        let (reloads, before) = (envoy.stat(RELOADS).await?, envoy.worker_cpu()?);
        self.replace()?;
        let envoy = &self.contender.envoy;
        // The main thread answers this; the worker is left alone until there is something to see.
        let reloaded = async {
            while envoy.stat(RELOADS).await? == reloads {}
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, reloaded).await.context("Envoy does not take the edit")??;
        self.effective().await?;
        Ok(envoy.worker_cpu()?.saturating_sub(before))
    }

    /// Requests before and during edits.
    async fn under_load(&mut self, bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
        let load = Load {
            connections: CONNECTIONS,
            path: policies::path(1),
            headers: Vec::new(),
            bearer: Bearer::None,
            expected: StatusCode::OK,
            differing: false,
        };
        let (address, before) = (self.contender.envoy.address(), bench.shortened(BEFORE));
        let quiet = load.run(address, before).await?;
        let busy = tokio::spawn(async move { load.run(address, before).await });
        let mut windows = Vec::new();
        while !busy.is_finished() {
            let begun = self.replace()?;
            self.effective().await?;
            windows.push(Window { begun, ended: Instant::now() });
        }
        let during: Latencies =
            busy.await??.answered.iter().filter(|one| windows.iter().any(|window| window.has(one))).map(|one| one.nanoseconds).collect();
        let effect = Range::of(windows.iter().map(|window| window.ended.duration_since(window.begun).as_secs_f64() * 1e3));
        let quiet = quiet.latencies();
        let ratio = during.percentile(99) / quiet.percentile(99);
        let is_ours = self.contender.name == OURS;
        let mut row = |what: &str, effect: String, latencies: &Latencies, ratio: Option<f64>| {
            let [target, met] = ratio.filter(|_| is_ours).map_or_else(Default::default, |ratio| Target::AtMost(MOST_SLOWER).cells(ratio));
            table.row([
                format!("{}, {what}", self.contender.name),
                effect,
                latencies.count().to_string(),
                format!("{:.0}", latencies.percentile(50)),
                format!("{:.0}", latencies.percentile(99)),
                format!("{:.1}", latencies.slowest() / 1e3),
                ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
                target,
                met,
            ]);
        };
        row("before", String::new(), &quiet, None);
        row("during", effect.cell(0), &during, Some(ratio));
        Ok(())
    }
}

impl Window {
    /// Whether a request was under way in it.
    fn has(&self, answered: &Answered) -> bool {
        answered.sent <= self.ended && answered.sent + Duration::from_nanos(answered.nanoseconds) >= self.begun
    }
}

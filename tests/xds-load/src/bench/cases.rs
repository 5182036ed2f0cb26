//! The workloads.

use std::time::Duration;

use meshwright_workloads::{POLICY_FILE, PolicyEdit, Shape, Workload, policy_yaml};

use super::edits::{Convergence, Edit, Editor};
use super::floor::Floor;
use super::mesh::Written;
use super::report::{Row, Section};
use super::server::Server;
use super::{Setting, curves, progress};
use crate::process::Usage;
use crate::stats::{Counts, percentile};
use crate::swarm::{Pace, Swarm};

const LONGEST: Duration = Duration::from_secs(120);
const FLOOR: &str = "\n\nThe last row is of a process in the server's place that decides nothing: as many connections and rounds, for each push one write of as many bytes and \
                     one\nread of an answer as long as an ACK. It is what the kernel takes.";
pub(crate) const MEGABYTE: f64 = 1_000_000.0;

/// What can be measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    W1,
    W2,
    /// W2 with proxies that come over mutual TLS, each with a certificate of its own.
    W2Tls,
    W3,
    W4,
    W5,
    W6,
    W7,
    /// 10 000 services with 100 000 endpoints, and one proxy.
    Large,
    /// The cost of a cold connect by the number of proxies.
    Proxies,
    /// The cost of a cold connect by the number of services.
    Services,
}

impl Case {
    /// # Errors
    /// When the control plane cannot be run, or clients do not get in sync.
    pub async fn run(self, setting: &Setting) -> anyhow::Result<Section> {
        match self {
            Self::W1 => flips(setting, Workload::W1, &[(Edit::Flip, 1)], 10, Duration::from_secs(1)).await,
            Self::W2 => flips(setting, Workload::W2, &[(Edit::Flip, 1)], 100, Duration::from_millis(100)).await,
            Self::W2Tls => {
                let setting = Setting { tls: true, ..setting.clone() };
                flips(&setting, Workload::W2, &[(Edit::Flip, 1)], 100, Duration::from_millis(100)).await
            }
            Self::W3 => flips(setting, Workload::W3, &[(Edit::Flip, 1), (Edit::Route, 3)], 10, Duration::from_secs(2)).await,
            Self::W4 => failover(setting).await,
            Self::W5 => flips(setting, Workload::W5, &[(Edit::Roll(5), 1)], 20, Duration::from_millis(500)).await,
            Self::W6 => policy(setting).await,
            Self::W7 => flips(setting, Workload::W7, &[(Edit::Flip, 1)], 100, Duration::from_millis(100)).await,
            Self::Large => curves::large(setting).await,
            Self::Proxies => curves::proxies(setting).await,
            Self::Services => curves::services(setting).await,
        }
    }
}

/// A server with all its clients in sync.
pub(crate) struct Connected {
    pub(crate) written: Written,
    pub(crate) server: Server,
    pub(crate) swarm: Swarm,
    /// Before the first client.
    pub(crate) idle: Usage,
    pub(crate) usage: Usage,
    pub(crate) received: Counts,
    pub(crate) times: Vec<Duration>,
}

impl Connected {
    pub(crate) async fn new(setting: &Setting, name: &str, shape: Shape) -> anyhow::Result<Self> {
        progress(&format!("{name}: {} services of {} endpoints, {} proxies", shape.services, shape.endpoints, shape.proxies));
        let written = Written::new(shape)?;
        let proxies = written.proxies(setting)?;
        let server = Server::start(setting, &written)?;
        let idle = server.usage()?;
        let swarm = Swarm::new(server.target()?, proxies, Pace::default());
        swarm.connect();
        let times = swarm.synced(LONGEST).await;
        anyhow::ensure!(times.len() == swarm.size(), "{} of {} clients in sync; {:?}", times.len(), swarm.size(), swarm.last_error());
        swarm.quiet(Duration::from_millis(200), LONGEST).await;
        let (usage, received) = (server.usage()?, swarm.counts());
        progress(&format!(
            "{name}: connected, {:.1} CPU s, {:.0} MB",
            (usage.cpu.saturating_sub(idle.cpu)).as_secs_f64(),
            megabytes(usage.peak_bytes)
        ));
        Ok(Self { written, server, swarm, idle, usage, received, times })
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.usage.cpu.saturating_sub(self.idle.cpu).as_secs_f64()
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        let proxies = number(self.swarm.size());
        let above = self.usage.peak_bytes.saturating_sub(self.idle.resident_bytes);
        let (cpu, rss) = (
            Row::new(format!("{name}-cold-connect-server-cpu-seconds"), self.cpu(), "s"),
            Row::new(format!("{name}-cold-connect-rss-mb"), megabytes(self.usage.peak_bytes), "MB"),
        );
        let is_w2 = name == "w2";
        let target = |row: Row, target: f64| if is_w2 { row.at_most(target) } else { row };
        vec![
            Row::new(format!("{name}-startup-seconds"), self.server.startup.as_secs_f64(), "s"),
            Row::new(format!("{name}-idle-rss-mb"), megabytes(self.idle.resident_bytes), "MB"),
            target(cpu, 15.0),
            target(rss, 400.0),
            target(Row::new(format!("{name}-cold-connect-rss-mb-per-proxy"), megabytes(above) / proxies, "MB"), 0.1),
            Row::new(format!("{name}-cold-connect-p99-seconds"), percentile(&self.times, 99).as_secs_f64(), "s"),
            Row::new(format!("{name}-cold-connect-mb"), float(self.received.bytes) / MEGABYTE, "MB"),
            Row::new(format!("{name}-cold-connect-messages"), float(self.received.messages), "messages"),
            Row::new(format!("{name}-distinct-contents"), number(self.swarm.distinct()), "resources"),
        ]
    }
}

async fn flips(
    setting: &Setting,
    workload: Workload,
    kinds: &[(Edit, usize)],
    edits: usize,
    interval: Duration,
) -> anyhow::Result<Section> {
    let name = &format!("{}{}", workload.name(), if setting.tls { "-tls" } else { "" });
    let connected = Connected::new(setting, name, shape(setting, workload)).await?;
    let mut rows = connected.rows(name);
    let edits = setting.fewer(edits, 5).max(3);
    progress(&format!("{name}: {edits} edits, one each {} ms", interval.as_millis()));
    let mut editor = Editor::new(&connected.written, &connected.swarm, &connected.server, 0);
    // A flip adds the service's third endpoint first; only later ones replace it. Both are one endpoint resource.
    let convergence = editor.run(kinds, edits, interval).await?;
    rows.extend(edit_rows(&format!("{name}-endpoint-flip"), &convergence, (name == "w2").then_some((250.0, 15.0))));
    let mut text = described(&connected, &convergence);
    if name == "w2" {
        let (connections, received) = (connected.swarm.size(), &convergence.received);
        let message = received.bytes.checked_div(received.messages).unwrap_or_default();
        drop(connected);
        progress("w2: what the kernel alone takes");
        let floor = Floor::new(connections, usize::try_from(message)?).measure(edits, interval).await?;
        rows.push(Row::new("w2-flip-floor-us-per-push", floor, "µs"));
        text.push_str(FLOOR);
    }
    let over = if setting.tls { ", over mutual TLS" } else { "" };
    Ok(Section { title: format!("{}{over}", title(workload)), text, rows })
}

async fn failover(setting: &Setting) -> anyhow::Result<Section> {
    let workload = Workload::W4;
    let name = workload.name();
    let connected = Connected::new(setting, name, shape(setting, workload)).await?;
    let mut rows = connected.rows(name);
    let Connected { written, server, swarm, received, .. } = connected;
    let address = server.address;
    progress("w4: kill -9 and restart");
    server.kill()?;
    let before = swarm.counts();
    swarm.begin();
    let server = Server::again(setting, &written, address)?;
    let times = swarm.synced(LONGEST).await;
    anyhow::ensure!(times.len() == swarm.size(), "after the restart {} of {} in sync; {:?}", times.len(), swarm.size(), swarm.last_error());
    swarm.quiet(Duration::from_millis(500), LONGEST).await;
    let again = swarm.counts().since(&before);
    let usage = server.usage()?;
    rows.extend([
        Row::new("w4-restart-bytes-ratio", float(again.bytes) / float(received.bytes).max(1.0), "of the cold connect").at_most(0.01),
        Row::new("w4-restart-resources-resent", float(again.resources), "resources").at_most(0.0),
        Row::new("w4-restart-in-sync-seconds", percentile(&times, 100).as_secs_f64(), "s").at_most(15.0),
        Row::new("w4-restart-server-cpu-seconds", usage.cpu.as_secs_f64(), "s"),
        Row::new("w4-restart-rss-mb", megabytes(usage.peak_bytes), "MB"),
    ]);
    let text = format!(
        "{} proxies connect; the server is killed with SIGKILL and started again on the same files. Nothing has changed, so nothing should be sent: each\n\
         proxy comes back with the versions that it has.",
        swarm.size()
    );
    Ok(Section { title: title(workload), text, rows })
}

async fn policy(setting: &Setting) -> anyhow::Result<Section> {
    let workload = Workload::W6;
    let name = workload.name();
    let connected = Connected::new(setting, name, shape(setting, workload)).await?;
    let mut rows = connected.rows(name);
    progress("w6: an edit that changes nothing");
    let (before, spent) = (connected.swarm.counts(), connected.server.usage()?.cpu);
    connected.written.save(POLICY_FILE, &policy_yaml(PolicyEdit { sequence: 0, annotation: 1 }))?;
    // Longer than any edit may take to arrive.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let none = connected.swarm.counts().since(&before);
    let cpu = connected.server.usage()?.cpu.saturating_sub(spent);
    rows.push(Row::new("w6-noop-edit-bytes", float(none.bytes), "bytes").at_most(0.0));
    rows.push(Row::new("w6-noop-edit-server-cpu-ms", cpu.as_secs_f64() * 1000.0, "ms"));
    let mut editor = Editor::new(&connected.written, &connected.swarm, &connected.server, 1);
    let edits = setting.fewer(10, 3);
    progress(&format!("w6: {edits} edits of the mesh's policy"));
    let convergence = editor.run(&[(Edit::Policy, 1)], edits, Duration::from_secs(2)).await?;
    rows.extend(
        edit_rows("w6-policy-edit", &convergence, None)
            .into_iter()
            .map(|row| if row.case == "w6-policy-edit-p99-ms" { row.at_most(1000.0) } else { row }),
    );
    Ok(Section { title: title(workload), text: described(&connected, &convergence), rows })
}

fn edit_rows(name: &str, convergence: &Convergence, targets: Option<(f64, f64)>) -> Vec<Row> {
    let mut p99 = Row::new(format!("{name}-p99-ms"), convergence.milliseconds(99), "ms");
    let mut push = Row::new(format!("{name}-cpu-us-per-push"), convergence.cpu_microseconds_per_push(), "µs");
    if let Some((latency, cpu)) = targets {
        (p99, push) = (p99.at_most(latency), push.at_most(cpu));
    }
    vec![
        Row::new(format!("{name}-p50-ms"), convergence.milliseconds(50), "ms"),
        p99,
        push,
        Row::new(format!("{name}-bytes"), float(convergence.received.bytes), "bytes"),
        Row::new(format!("{name}-messages"), float(convergence.received.messages), "messages"),
        Row::new(format!("{name}-not-arrived"), number(convergence.missing()), "edits × proxies").at_most(0.0),
    ]
}

fn described(connected: &Connected, convergence: &Convergence) -> String {
    let shape = connected.written.mesh.shape();
    format!(
        "{} services of {} endpoints, {} proxies; {} edits, {} of them to arrive.",
        shape.services, shape.endpoints, shape.proxies, convergence.edits, convergence.expected
    )
}

fn shape(setting: &Setting, workload: Workload) -> Shape {
    if setting.quick { workload.shape().divided(10) } else { workload.shape() }
}

fn title(workload: Workload) -> String {
    format!("{}: {}", workload.name().to_uppercase(), workload.title())
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    float(bytes) / MEGABYTE
}

/// Exact up to what any counter here reaches.
pub(crate) fn float(number: u64) -> f64 {
    let (high, low) = (u32::try_from(number >> 32).unwrap_or(u32::MAX), u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX));
    f64::from(high).mul_add(4_294_967_296.0, f64::from(low))
}

pub(crate) fn number(number: usize) -> f64 {
    float(u64::try_from(number).unwrap_or(u64::MAX))
}

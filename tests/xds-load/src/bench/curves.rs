//! How cost grows with proxies and with services, and the largest mesh.

use std::time::Duration;

use meshwright_workloads::Shape;

use super::cases::{Connected, MEGABYTE, float, megabytes, number};
use super::mesh::Written;
use super::report::{Row, Section};
use super::server::Server;
use super::{Setting, progress};
use crate::swarm::{Pace, Swarm};

const LONGEST: Duration = Duration::from_secs(120);

pub(crate) async fn proxies(setting: &Setting) -> anyhow::Result<Section> {
    let (services, sizes) = if setting.quick { (20, [50, 100].to_vec()) } else { (100, vec![500, 1000, 2000, 4000, 8000]) };
    let mut rows = Vec::new();
    let endpoints = sizes.last().copied().unwrap_or_default() / services + 1;
    for &proxies in &sizes {
        cost(setting, &format!("proxies-{proxies}"), Shape::new(services, endpoints, proxies), &mut rows).await?;
    }
    let text = format!(
        "A cold connect to {services} services of {endpoints} endpoints, so many of which have a proxy: the mesh is the same for all, since each \
         further\nendpoint would be one more for every proxy to be told of, and that is not what a proxy costs. Each doubling should at most double the \
         CPU."
    );
    Ok(Section { title: "Cost by the number of proxies".to_owned(), text, rows: with_growth(&sizes, rows) })
}

pub(crate) async fn services(setting: &Setting) -> anyhow::Result<Section> {
    let sizes = if setting.quick { vec![100, 200] } else { vec![100, 200, 400, 800, 1600, 3200, 6400, 10_000] };
    let mut rows = Vec::new();
    for &services in &sizes {
        cost(setting, &format!("services-{services}"), Shape::new(services, 2, 50), &mut rows).await?;
    }
    let text =
        "A cold connect of 50 proxies, each of which is given every service; the cheapest of two or three. Each doubling should at most double the CPU."
            .to_owned();
    Ok(Section { title: "Cost by the number of services".to_owned(), text, rows: with_growth(&sizes, rows) })
}

/// A run that takes less CPU is made so often: what else the machine did is a part of it that counts, and long ones take long.
const RUNS: [(Duration, usize); 2] = [(Duration::from_secs(4), 3), (Duration::from_secs(12), 2)];

/// What one size costs.
struct Cost {
    /// Of the start and of the connect together: a service costs both.
    cpu: Duration,
    peak_bytes: u64,
    received_bytes: u64,
}

impl Cost {
    async fn measure(setting: &Setting, name: &str, shape: Shape) -> anyhow::Result<Self> {
        let connected = Connected::new(setting, name, shape).await?;
        Ok(Self { cpu: connected.usage.cpu, peak_bytes: connected.usage.peak_bytes, received_bytes: connected.received.bytes })
    }
}

/// Of several runs the cheapest.
async fn cost(setting: &Setting, name: &str, shape: Shape, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let mut least = Cost::measure(setting, name, shape).await?;
    let runs = RUNS.into_iter().find(|(cpu, _)| least.cpu < *cpu && !setting.quick).map_or(1, |(_, runs)| runs);
    for _ in 1..runs {
        let again = Cost::measure(setting, name, shape).await?;
        if again.cpu < least.cpu {
            least = again;
        }
    }
    rows.push(Row::new(format!("{name}-server-cpu-seconds"), least.cpu.as_secs_f64(), "s"));
    rows.push(Row::new(format!("{name}-rss-mb"), megabytes(least.peak_bytes), "MB"));
    rows.push(Row::new(format!("{name}-mb"), float(least.received_bytes) / MEGABYTE, "MB"));
    Ok(())
}

/// The most that a doubling does to the CPU, taken from each step to the next; a step need not be one doubling.
fn with_growth(sizes: &[usize], mut rows: Vec<Row>) -> Vec<Row> {
    let cpu: Vec<f64> = rows.iter().filter(|row| row.case.ends_with("cpu-seconds")).map(|row| row.value.max(0.05)).collect();
    let steps = sizes.windows(2).zip(cpu.windows(2)).filter_map(|(sizes, cpu)| match (sizes, cpu) {
        ([few, many], [less, more]) => Some((more / less).powf((number(*many) / number(*few)).log2().recip())),
        _ => None,
    });
    let growth = steps.fold(0.0, f64::max);
    let name = rows.first().and_then(|row| row.case.split('-').next()).unwrap_or_default().to_owned();
    rows.push(Row::new(format!("{name}-largest-growth-per-doubling"), growth, "×").at_most(2.0));
    rows
}

pub(crate) async fn large(setting: &Setting) -> anyhow::Result<Section> {
    let services = setting.fewer(10_000, 10);
    let shape = Shape::new(services, 10, 1);
    progress(&format!("large: {services} services of 10 endpoints"));
    let written = Written::new(shape)?;
    let proxies = written.proxies(setting)?;
    let server = Server::start_on(setting, &written, &[0, 1])?;
    let swarm = Swarm::new(server.target()?, proxies, Pace::default());
    swarm.connect();
    let times = swarm.synced(LONGEST).await;
    let complete = server.started.elapsed();
    anyhow::ensure!(times.len() == swarm.size(), "the proxy is not in sync; {:?}", swarm.last_error());
    let usage = server.usage()?;
    let rows = vec![
        Row::new("large-first-snapshot-seconds", complete.as_secs_f64(), "s").at_most(2.0),
        Row::new("large-startup-seconds", server.startup.as_secs_f64(), "s"),
        Row::new("large-server-cpu-seconds", usage.cpu.as_secs_f64(), "s"),
        Row::new("large-rss-mb", megabytes(usage.peak_bytes), "MB").at_most(1000.0),
        Row::new("large-mb", float(swarm.counts().bytes) / MEGABYTE, "MB"),
    ];
    let text = format!(
        "{services} services with {} endpoints, one proxy that is given all of them. The time is from the start of the process, on both cores, until the proxy\n\
         has acknowledged everything.",
        number(services) * 10.0
    );
    Ok(Section { title: "The largest mesh".to_owned(), text, rows })
}

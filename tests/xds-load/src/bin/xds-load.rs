//! `xds-load`: clients of any delta ADS server, and what it cost them and it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use meshwright_workloads::ProxyLine;
use meshwright_xds_load::{Counts, Pace, Swarm, Target, percentile, pin_to, usage};
use serde_json::{Value, json};

/// Load an xDS server with delta ADS clients that behave like Envoy 1.40.
///
/// Connects all clients, waits until each has acknowledged everything that it asked for, and prints what that took. Then, if asked, breaks
/// all streams off, so that clients come back with the versions that they hold; and stays for some time, counting what is pushed.
///
/// Exit codes: 0 all clients got in sync; 1 some did not, or something failed; 2 the command line is wrong.
#[derive(Debug, Parser)]
#[command(
    name = "xds-load",
    after_help = "Examples:\n  meshwright bench generate --workload w2 --out mesh/\n  \
                  xds-load --server 127.0.0.1:15010 --proxies mesh/proxies.jsonl --reconnect --output json\n  \
                  xds-load --server 127.0.0.1:15010 --clients 500 --node-id 'sidecar~10.0.0.1~app-{i}.demo~demo.svc.cluster.local'"
)]
struct Arguments {
    /// The ADS server
    #[arg(long, value_name = "ADDRESS")]
    server: SocketAddr,
    /// One client a line, as JSON: `{"id", "cluster", "metadata", "certificate", "key"}`; the last two are PEM files
    #[arg(long, value_name = "FILE", conflicts_with_all = ["node_id", "metadata"])]
    proxies: Option<PathBuf>,
    /// How many clients; with --proxies the first so many of the file
    #[arg(long, value_name = "N")]
    clients: Option<usize>,
    /// Node id without --proxies; `{i}` is the client's number
    #[arg(long, value_name = "TEXT", default_value = "client-{i}")]
    node_id: String,
    /// Node metadata without --proxies, as a JSON object; `{i}` is the client's number
    #[arg(long, value_name = "JSON", default_value = "{}")]
    metadata: String,
    /// Roots that the server's certificate is verified with, a PEM file; plaintext without
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name that the server's certificate must have
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    server_name: String,
    /// The clients' certificate, a PEM file, where the file of --proxies names none
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of --certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Every so many clients one is slow
    #[arg(long, value_name = "N", requires = "ack_delay_ms")]
    slow_each: Option<usize>,
    /// How late slow clients acknowledge
    #[arg(long, value_name = "MS", requires = "slow_each")]
    ack_delay_ms: Option<u64>,
    /// Connections that are made at the same time
    #[arg(long, value_name = "N", default_value = "256")]
    connecting: usize,
    /// Break every stream off once and let clients come back
    #[arg(long)]
    reconnect: bool,
    /// Stay for so many seconds after that
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    stay: u64,
    /// Longest wait for all clients, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    timeout: u64,
    /// The server's process, to see what it spends
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Run on these cores
    #[arg(long, value_name = "CORE", value_delimiter = ',')]
    cores: Vec<usize>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // The one process-wide choice that rustls asks for; nobody has made another before.
    let _first = rustls::crypto::ring::default_provider().install_default();
    if !arguments.cores.is_empty() {
        pin_to(&arguments.cores)?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let target = Target::new(arguments.server, &arguments.server_name, arguments.ca.as_deref())?;
    let slow = arguments.slow_each.zip(arguments.ack_delay_ms.map(Duration::from_millis));
    let swarm = Swarm::new(target, proxies(arguments)?, Pace { connecting: arguments.connecting, slow });
    let timeout = Duration::from_secs(arguments.timeout);
    let mut phases = vec![phase(arguments, "connect", &swarm, timeout, Swarm::connect).await?];
    if arguments.reconnect {
        phases.push(phase(arguments, "reconnect", &swarm, timeout, Swarm::reconnect).await?);
    }
    if arguments.stay > 0 {
        let before = swarm.counts();
        tokio::time::sleep(Duration::from_secs(arguments.stay)).await;
        phases.push(json!({"phase": "stay", "seconds": arguments.stay, "received": swarm.counts().since(&before).json()}));
    }
    let complete = phases.iter().all(|phase| phase.get("synced").is_none_or(|synced| *synced == swarm.size()));
    let answer =
        json!({"clients": swarm.size(), "distinct_contents": swarm.distinct(), "phases": phases, "last_error": swarm.last_error()});
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Format::Json => writeln!(out, "{answer:#}")?,
        Format::Text => {
            for phase in &phases {
                writeln!(out, "{phase}")?;
            }
        }
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn phase(arguments: &Arguments, name: &str, swarm: &Swarm, timeout: Duration, begin: fn(&Swarm)) -> anyhow::Result<Value> {
    eprintln!("xds-load: {name}: {} clients", swarm.size());
    let before: Counts = swarm.counts();
    let spent = arguments.pid.map(usage).transpose()?;
    begin(swarm);
    let times = swarm.synced(timeout).await;
    let milliseconds = |percent| u64::try_from(percentile(&times, percent).as_millis()).unwrap_or(u64::MAX);
    let mut answer = json!({
        "phase": name, "synced": times.len(), "p50_ms": milliseconds(50), "p99_ms": milliseconds(99), "last_ms": milliseconds(100),
        "received": swarm.counts().since(&before).json(),
    });
    if let (Some(pid), Some(before), Some(fields)) = (arguments.pid, spent, answer.as_object_mut()) {
        let after = usage(pid)?;
        fields.insert("server_cpu_seconds".to_owned(), after.cpu.saturating_sub(before.cpu).as_secs_f64().into());
        fields.insert("server_rss_bytes".to_owned(), after.resident_bytes.into());
        fields.insert("server_peak_rss_bytes".to_owned(), after.peak_bytes.into());
    }
    Ok(answer)
}

fn proxies(arguments: &Arguments) -> anyhow::Result<Vec<ProxyLine>> {
    let mut proxies = match &arguments.proxies {
        Some(file) => read(file)?,
        None => (0..arguments.clients.unwrap_or(1)).map(|index| from_template(arguments, index)).collect::<Result<_, _>>()?,
    };
    proxies.truncate(arguments.clients.unwrap_or(usize::MAX));
    anyhow::ensure!(!proxies.is_empty(), "there are no clients");
    for proxy in &mut proxies {
        if let (None, Some(certificate), Some(key)) = (&proxy.certificate, &arguments.certificate, &arguments.key) {
            proxy.certificate = Some(certificate.display().to_string());
            proxy.key = Some(key.display().to_string());
        }
    }
    Ok(proxies)
}

fn read(file: &Path) -> anyhow::Result<Vec<ProxyLine>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
    let line = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("`{}` line {}", file.display(), index.saturating_add(1)))
    };
    text.lines().enumerate().map(line).collect()
}

fn from_template(arguments: &Arguments, index: usize) -> anyhow::Result<ProxyLine> {
    let filled = |text: &str| text.replace("{i}", &index.to_string());
    let metadata = serde_json::from_str(&filled(&arguments.metadata)).context("--metadata is not JSON")?;
    Ok(ProxyLine { id: filled(&arguments.node_id), cluster: String::new(), metadata, certificate: None, key: None })
}

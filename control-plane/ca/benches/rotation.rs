//! 10 000 identities that rotate within 60 seconds: each renewal is a new connection of mutual TLS, a new key and a signing request, as a
//! sidecar does it. Prints the CPU time of a signature alone, of a whole renewal (both ends: they are one process here), and latencies.
//!
//! `cargo bench -p meshwright-ca --bench rotation`; `-- --quick` does 200 in 2 seconds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark, not a part of anything"
)]
#![expect(dead_code, reason = "the tests' helpers are used in part")]

#[path = "../tests/ca/served.rs"]
mod served;
#[path = "../tests/ca/support.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use meshwright_ca::client::{self, Credentials};
use meshwright_ca::{Authority, KeyAlgorithm, PrivateKey};
use meshwright_identity::SpiffeId;
use serde_json::json;
use tokio::sync::Semaphore;

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

fn credentials(authority: &Authority, n: usize, now: SystemTime) -> Credentials {
    let id = SpiffeId::parse(&format!("spiffe://shop.example/ns/load/sa/w{n}")).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
    let issued = authority.issue(&key.signing_request().unwrap(), &id, support::HOUR, now).unwrap();
    let control_plane = authority.control_plane_identity().to_string();
    let stored = json!({"version": 1, "chain_pem": issued.chain_pem, "key_pem": key.pem(), "trust_bundle_pem": authority.trust_bundle_pem(),
        "control_plane": control_plane});
    Credentials::from_stored(&stored.to_string(), now).unwrap()
}

fn signatures(authority: &Authority) {
    let request = PrivateKey::generate(KeyAlgorithm::default()).unwrap().signing_request().unwrap();
    let (count, now) = (20_000_u32, SystemTime::now());
    let id = support::orders();
    let begun = cpu();
    for _ in 0..count {
        authority.issue(&request, &id, support::HOUR, now).unwrap();
    }
    println!("CPU per signature (request checked, leaf signed): {:?}", (cpu() - begun) / count);
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (count, within) = if quick { (200, Duration::from_secs(2)) } else { (10_000, Duration::from_secs(60)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let served = served::serve(served::module(Vec::new())).await;
        signatures(&served.authority);
        let now = SystemTime::now();
        let workloads: Vec<_> = (0..count).map(|n| credentials(&served.authority, n, now)).collect();
        let (begun, cpu_begun) = (Instant::now(), cpu());
        // Connections at once: more would only wait for the two cores.
        let places = Arc::new(Semaphore::new(64));
        let mut due = tokio::time::interval(within / u32::try_from(count).unwrap());
        let mut renewals = Vec::new();
        for workload in workloads {
            due.tick().await;
            let (address, places, asked) = (served.address.clone(), Arc::clone(&places), Instant::now());
            renewals.push(tokio::spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                client::renew(&address, &workload, SystemTime::now()).await.expect("renewed");
                asked.elapsed()
            }));
        }
        let mut latencies = Vec::new();
        for renewal in renewals {
            latencies.push(renewal.await.unwrap());
        }
        let (wall, used) = (begun.elapsed(), cpu() - cpu_begun);
        latencies.sort();
        let share = |percent: usize| latencies[(count * percent / 100).min(count - 1)];
        println!("{count} renewals in {wall:.1?}, {:.1} a second", f64::from(u32::try_from(count).unwrap()) / wall.as_secs_f64());
        println!("CPU per renewal, both ends: {:?}", used / u32::try_from(count).unwrap());
        println!("latency p50 {:?}, p99 {:?}, longest {:?}", share(50), share(99), share(100));
    });
}

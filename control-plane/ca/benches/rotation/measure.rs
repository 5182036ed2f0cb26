//! One authority, its signatures, and a rotation of many identities at an even pace.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_ca::client::{self, Credentials};
use meshwright_ca::{Authority, AuthorityOptions, KeyAlgorithm, PrivateKey};
use meshwright_identity::SpiffeId;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{cpu, served, support};

/// Names of threads; the kernel keeps 15 bytes.
const AUTHORITY: &str = "authority";
const SIDECARS: &str = "sidecars";
/// Connections at once: more would only wait for the two cores.
const AT_ONCE: usize = 128;
/// A certificate's part that is signed has about so many bytes.
const SIGNED: usize = 400;

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) identities: u32,
    pub(crate) within: Duration,
    pub(crate) signatures: u32,
}

/// Durations are of processor time, except latencies and `wall`.
pub(crate) struct Measured {
    pub(crate) identities: u32,
    pub(crate) within: Duration,
    /// The library's signature alone, by a key of that kind.
    pub(crate) bare: Duration,
    /// A request checked, a leaf made and signed.
    pub(crate) issue: Duration,
    /// Of one renewal.
    pub(crate) control_plane: Duration,
    pub(crate) sidecar: Duration,
    pub(crate) wall: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn measure(algorithm: KeyAlgorithm, plan: Plan) -> Measured {
    let (authority_side, sidecar_side) = (runtime(AUTHORITY), runtime(SIDECARS));
    let options = AuthorityOptions { algorithm, ..AuthorityOptions::default() };
    let served = authority_side.block_on(served::serve_with(served::module(Vec::new()), Duration::ZERO, options));
    let (bare, issue) = signatures(&served.authority, algorithm, plan.signatures);
    let now = SystemTime::now();
    let workloads: Vec<_> = (0..plan.identities).map(|n| credentials(&served.authority, n, now)).collect();
    let begun = (cpu::of_threads(AUTHORITY), cpu::of_threads(SIDECARS), Instant::now());
    let mut latencies = sidecar_side.block_on(renewals(&served.address, workloads, plan));
    let wall = begun.2.elapsed();
    let each = |name, before| (cpu::of_threads(name) - before) / plan.identities;
    let (control_plane, sidecar) = (each(AUTHORITY, begun.0), each(SIDECARS, begun.1));
    latencies.sort();
    let share = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let (p50, p99) = (share(50), share(99));
    drop(served);
    authority_side.shutdown_background();
    Measured { identities: plan.identities, within: plan.within, bare, issue, control_plane, sidecar, wall, p50, p99 }
}

/// Threads that ended would take their times with them.
fn runtime(name: &str) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).thread_name(name).thread_keep_alive(Duration::from_secs(3600)).enable_all().build().unwrap()
}

fn credentials(authority: &Authority, n: u32, now: SystemTime) -> Credentials {
    let id = SpiffeId::parse(&format!("spiffe://shop.example/ns/load/sa/w{n}")).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
    let issued = authority.issue(&key.signing_request().unwrap(), &id, support::HOUR, now).unwrap();
    let control_plane = authority.control_plane_identity().to_string();
    let stored = json!({"version": 1, "chain_pem": issued.chain_pem, "key_pem": key.pem(), "trust_bundle_pem": authority.trust_bundle_pem(),
        "control_plane": control_plane});
    Credentials::from_stored(&stored.to_string(), now).unwrap()
}

/// Of a signature alone, and of issuing; in turns, so that both see the same machine.
fn signatures(authority: &Authority, algorithm: KeyAlgorithm, count: u32) -> (Duration, Duration) {
    const ROUNDS: u32 = 10;
    let request = PrivateKey::generate(KeyAlgorithm::default()).unwrap().signing_request().unwrap();
    let key = KeyPair::generate_for(match algorithm {
        KeyAlgorithm::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
    });
    let (key, message, id, now) = (key.unwrap(), [7; SIGNED], support::orders(), SystemTime::now());
    let (mut bare, mut issue) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let begun = cpu::of_this_thread();
        (0..count / ROUNDS).for_each(|_| drop(key.sign(&message).unwrap()));
        let between = cpu::of_this_thread();
        (0..count / ROUNDS).for_each(|_| drop(authority.issue(&request, &id, support::HOUR, now).unwrap()));
        bare += between - begun;
        issue += cpu::of_this_thread() - between;
    }
    (bare / count, issue / count)
}

/// How long each took, from when it was due.
async fn renewals(address: &str, workloads: Vec<Credentials>, plan: Plan) -> Vec<Duration> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (begun, pace) = (Instant::now(), plan.within / plan.identities);
    let mut asked = Vec::new();
    for (n, workload) in (0..).zip(workloads) {
        let due = begun + pace * n;
        tokio::time::sleep_until(due).await;
        let (address, places) = (address.to_owned(), Arc::clone(&places));
        asked.push(tokio::spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            client::renew(&address, &workload, SystemTime::now()).await.expect("renewed");
            due.elapsed()
        }));
    }
    let mut latencies = Vec::new();
    for renewal in asked {
        latencies.push(renewal.await.unwrap());
    }
    latencies
}

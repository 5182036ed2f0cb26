//! `make bench-ca`: identities that rotate. Each renewal is a new connection of mutual TLS, a new key and a signing request, as a sidecar
//! does it. Writes docs/identity-benchmarks.md and target/bench/ca.json.
//!
//! `cargo bench -p meshwright-ca --bench rotation`; `-- --quick` does 200 of each kind and prints, but writes no document.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark, not a part of anything"
)]
#![expect(dead_code, reason = "the tests' helpers are used in part")]

mod cpu;
mod measure;
mod report;
#[path = "../../tests/ca/served.rs"]
mod served;
#[path = "../../tests/ca/support.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use meshwright_ca::KeyAlgorithm;

use crate::measure::{Plan, measure};

/// Key of the authority, and how many identities rotate within what time: the first is what a large mesh has to bear.
const PLANS: [(&str, KeyAlgorithm, Plan); 3] = [
    ("P-256", KeyAlgorithm::EcdsaP256, Plan { identities: 10_000, within: Duration::from_secs(60), signatures: 10_000 }),
    ("P-384", KeyAlgorithm::EcdsaP384, Plan { identities: 2_000, within: Duration::from_secs(12), signatures: 2_000 }),
    ("Ed25519", KeyAlgorithm::Ed25519, Plan { identities: 2_000, within: Duration::from_secs(12), signatures: 10_000 }),
];
const QUICK: Plan = Plan { identities: 200, within: Duration::from_secs(2), signatures: 500 };

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let load = report::load();
    let mut results = Vec::new();
    for (name, algorithm, plan) in PLANS {
        eprintln!("{name}: {} identities", if quick { QUICK } else { plan }.identities);
        results.push((name, measure(algorithm, if quick { QUICK } else { plan })));
    }
    let rows = report::rows(&results);
    println!("{}", report::table(&rows));
    if !quick {
        std::fs::create_dir_all(root.join("target/bench")).unwrap();
        std::fs::write(root.join("target/bench/ca.json"), report::json(&rows)).unwrap();
        std::fs::write(root.join("docs/identity-benchmarks.md"), report::document(&rows, &load)).unwrap();
    }
}

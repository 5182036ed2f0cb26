//! A million records decided once more: records a second, processor time, and the most memory that was held. `make bench-replay`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run says so by panicking")]

use std::io::{self, Read, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use meshwright_replay::{Mesh, Options, Tally, replay};
use serde_json::{Value, json};

const RECORDS: u64 = 1_000_000;
/// Different ones, which come again and again.
const DIFFERENT: u64 = 20_000;
const THREADS: usize = 2;
const WORKLOADS: usize = 10;
/// Rules of each workload.
const RULES: [usize; 3] = [10, 100, 500];

/// The same lines until there are as many as wanted, without holding them all.
struct Repeated {
    lines: Vec<u8>,
    at: usize,
    left: u64,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.lines.len() {
            self.left -= 1;
            self.at = 0;
        }
        if self.left == 0 {
            return Ok(0);
        }
        let length = (self.lines.len() - self.at).min(buffer.len());
        buffer.get_mut(..length).unwrap().copy_from_slice(self.lines.get(self.at..self.at + length).unwrap());
        self.at += length;
        Ok(length)
    }
}

/// Every tenth rule denies, every twentieth looks at a header. The candidate has the rules but the last of each workload.
fn documents(rules: usize) -> String {
    let mut text = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: mesh.test}\n".to_owned();
    for workload in 0..WORKLOADS {
        let app = format!("app-{workload}");
        let entry = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"namespace": "shop", "name": app},
            "spec": {"address": "10.0.0.9", "serviceAccount": app, "labels": {"app": app}}});
        text += &format!("---\n{entry}\n");
        for (action, denies) in [("DENY", true), ("ALLOW", false)] {
            let own = (0..rules).filter(|rule| (rule % 10 == 0) == denies);
            let rules: Vec<Value> = own.map(rule).collect();
            let policy = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": {"namespace": "shop", "name": format!("{app}-{}", action.to_lowercase())},
                "spec": {"selector": {"matchLabels": {"app": app}}, "action": action, "rules": rules}});
            text += &format!("---\n{policy}\n");
        }
    }
    text
}

fn rule(number: usize) -> Value {
    let mut rule = json!({
        "from": [{"source": {"principals": [format!("mesh.test/ns/shop/sa/caller-{number}")]}}],
        "to": [{"operation": {"methods": ["GET", "POST"], "paths": [format!("/api/{number}/*")]}}],
    });
    if number % 20 == 5 {
        let when = json!([{"key": "request.headers[x-tenant]", "values": ["a"]}]);
        rule.as_object_mut().unwrap().insert("when".to_owned(), when);
    }
    rule
}

fn lines(rules: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..DIFFERENT {
        let number = usize::try_from(number).unwrap();
        let (rule, workload) = (number % rules, number % WORKLOADS);
        let mut record = json!({
            "time": "2026-01-01T00:00:00.000Z", "protocol": "http", "direction": "inbound", "namespace": "shop",
            "workload": format!("app-{workload}"), "request_id": format!("6f1c2a9e-77aa-4bd4-9d7c-{number:012}"),
            "source_principal": format!("spiffe://mesh.test/ns/shop/sa/caller-{rule}"), "source_address": "10.0.0.1:40000",
            "destination_principal": format!("spiffe://mesh.test/ns/shop/sa/app-{workload}"), "destination_service": "app.shop.mesh",
            "destination_address": "10.0.0.9:8080", "method": "GET", "host": "app.shop.mesh", "path": format!("/api/{rule}/items/{number}?page=2"),
            "response_flags": "", "policy_version": "0123456789ab", "bytes_received": 0, "bytes_sent": 512, "duration_ms": 3,
        });
        // As the policies of `documents` decide it; one that looks at a header has matched.
        let (denies, place) = (rule % 10 == 0, if rule % 10 == 0 { rule / 10 } else { rule - rule / 10 - 1 });
        let policy = format!("shop/app-{workload}-{}", if denies { "deny" } else { "allow" });
        let decision = if denies {
            json!({"verdict": "DENY", "policy": policy, "rule": place, "reason": "deny_rule_matched", "status": 403})
        } else {
            json!({"verdict": "ALLOW", "policy": policy, "rule": place, "reason": "allow_rule_matched", "status": 200, "upstream_address": "127.0.0.1:9080"})
        };
        record.as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
        serde_json::to_writer(&mut lines, &record).unwrap();
        lines.push(b'\n');
    }
    lines
}

/// A line of what the kernel says of this process.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.trim_matches([':', ' ', '\t']).split(' ').next().unwrap().trim().parse().unwrap()
}

/// Seconds of processor time, by all threads, those that have ended too (proc(5), `stat`: fields 14 and 15, in hundredths).
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit(") ").next().unwrap().split(' ').skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn mesh(rules: usize) -> Mesh {
    let file: PathBuf = std::env::temp_dir().join(format!("meshwright-replay-bench-{}.yaml", std::process::id()));
    std::fs::write(&file, documents(rules)).unwrap();
    let mesh = Mesh::load(std::slice::from_ref(&file)).unwrap();
    std::fs::remove_file(&file).unwrap();
    mesh
}

fn measured(rules: usize, against: bool) -> (Tally, f64, f64) {
    let (current, candidate) = (mesh(rules), mesh(rules - 1));
    let mut log = Repeated { lines: lines(rules), at: 0, left: RECORDS / DIFFERENT };
    let current = against.then_some(&current);
    let options = Options { candidate: &candidate, current, same_tokens: false, threads: NonZeroUsize::new(THREADS).unwrap() };
    let (start, before) = (Instant::now(), processor());
    let tally = replay(&mut log, options).unwrap();
    (tally, start.elapsed().as_secs_f64(), processor() - before)
}

fn main() {
    let mut out = std::io::stdout().lock();
    let bytes = lines(10).len() / usize::try_from(DIFFERENT).unwrap();
    writeln!(out, "{RECORDS} records of {bytes} bytes, {WORKLOADS} workloads, {THREADS} threads").unwrap();
    writeln!(out, "rules  against  records/s  wall s  CPU s  flips    undecided  most memory MiB").unwrap();
    for rules in RULES {
        for against in [false, true] {
            let (tally, wall, processor) = measured(rules, against);
            assert_eq!((tally.records, tally.bad, tally.drifted), (RECORDS, 0, 0), "the log is of these policies");
            let rate = f64::from(u32::try_from(RECORDS).unwrap()) / wall;
            let memory = status("VmHWM") / 1024;
            writeln!(
                out,
                "{rules:<6} {against:<8} {rate:<10.0} {wall:<7.1} {processor:<6.1} {:<8} {:<10} {memory}",
                tally.flipped, tally.undecided
            )
            .unwrap();
        }
    }
}

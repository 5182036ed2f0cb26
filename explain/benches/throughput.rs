//! Cases a second, of one core, by each engine: whole lines in, whole lines out. `cargo bench -p meshwright-explain`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run says so by panicking")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use meshwright_explain::{Explainer, NativeEngine, WasmEngine};
use serde_json::{Value, json};

const CASES: usize = 20_000;
const ROUNDS: usize = 5;
/// As many rules as a busy workload has.
const POLICIES: usize = 20;

fn documents() -> String {
    let mut text = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: mesh.test}\n".to_owned();
    for index in 0..POLICIES {
        let action = if index % 4 == 0 { "DENY" } else { "ALLOW" };
        let rules = json!([{
            "from": [{"source": {"principals": [format!("mesh.test/ns/shop/sa/caller-{index}")]}}],
            "to": [{"operation": {"methods": ["GET"], "paths": [format!("/api/{index}/*")]}}],
        }]);
        let document = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"namespace": "shop", "name": format!("p{index}")}, "spec": {"action": action, "rules": rules}});
        text += &format!("---\n{document}\n");
    }
    text
}

fn lines() -> Vec<u8> {
    let documents = documents();
    let mut lines = Vec::new();
    for index in 0..CASES {
        let case = json!({
            "id": format!("case-{index}"), "documents": documents,
            "workload": {"namespace": "shop", "name": "cart-1", "serviceAccount": "cart", "labels": {"app": "cart"}},
            "connection": {"protocol": "http", "port": 8080, "destinationIp": "10.0.0.2", "sourceIp": "10.0.0.1",
                "tls": {"principal": format!("spiffe://mesh.test/ns/shop/sa/caller-{}", index % POLICIES)}, "sni": null},
            "request": {"method": "GET", "path": format!("/api/{}/items/{index}", index % (POLICIES + 5)), "host": "cart.shop",
                "headers": [["user-agent", "bench"], ["accept", "*/*"], ["x-request-id", format!("{index}")]], "remoteIp": null},
            "now": "2026-01-01T00:00:00Z",
        });
        serde_json::to_writer(&mut lines, &case).unwrap();
        lines.push(b'\n');
    }
    lines
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn round(explainer: &mut Explainer, lines: &[u8]) -> Duration {
    let mut output = Vec::with_capacity(lines.len());
    let start = Instant::now();
    explainer.batch(lines, &mut output, || 0).unwrap();
    let elapsed = start.elapsed();
    let last: Value = serde_json::from_slice(output.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_ne!(last.get("decision"), Some(&json!("error")), "{last}");
    elapsed
}

fn main() {
    let module = std::env::var("MESHWRIGHT_FILTERS_WASM")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/wasm32-wasip1/filter/meshwright_filters.wasm").to_owned());
    let wasm = WasmEngine::from_file(module.as_ref()).unwrap_or_else(|error| panic!("{error}; `make module` builds it"));
    let lines = lines();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{CASES} cases, {POLICIES} policies, {} bytes a line, {ROUNDS} rounds", lines.len() / CASES).unwrap();
    let mut engines = [("native", Explainer::new(Box::new(NativeEngine))), ("wasm", Explainer::new(Box::new(wasm)))];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((_, explainer), rates) in engines.iter_mut().zip(&mut rates) {
            let cases = f64::from(u32::try_from(CASES).unwrap());
            rates.push(cases / round(explainer, &lines).as_secs_f64());
        }
    }
    for ((name, _), rates) in engines.iter().zip(rates) {
        let (least, most) = rates.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
        writeln!(out, "{name}: {:.0} cases/s (median; {least:.0} to {most:.0})", median(rates)).unwrap();
    }
}

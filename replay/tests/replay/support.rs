//! Meshes and logs in few words.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use meshwright_replay::{Mesh, Options, Tally, replay};
use serde_json::{Value, json};

pub(crate) const WEB: &str = "spiffe://mesh.test/ns/shop/sa/web";

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: mesh.test}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-1, namespace: shop}
spec: {address: 10.0.0.9, serviceAccount: cart, labels: {app: cart}}
---
";

pub(crate) const TOKENS: &str = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {jwtRules: [{issuer: \"https://issuer.test\", jwksUri: \"https://issuer.test/keys\", outputClaimToHeaders: [{header: x-user, claim: sub}]}]}
---
";

pub(crate) const STRICT: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
";

/// With these documents beside the smallest ones.
pub(crate) fn mesh(more: &str) -> Mesh {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("mesh.yaml");
    std::fs::write(&file, format!("{MESH}{more}")).unwrap();
    Mesh::load(&[file]).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn policy(name: &str, action: &str, rules: &Value) -> String {
    let document = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": name},
        "spec": {"action": action, "rules": rules}});
    format!("{document}\n---\n")
}

/// A mesh of which `provider` is asked where one of the rules matches.
pub(crate) fn custom(provider: &str, rules: &Value) -> Mesh {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("mesh.yaml");
    let port = json!({"name": provider, "envoyExtAuthzGrpc": {"service": "auth.mesh", "port": 9000}});
    let mesh = MESH.replace("trustDomain: mesh.test", &format!("trustDomain: mesh.test, extensionProviders: [{port}]"));
    let service = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: auth, namespace: shop}\n\
                   spec: {hosts: [\"auth.mesh\"], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 9000, name: grpc, protocol: GRPC}], \
                   workloadSelector: {labels: {app: auth}}}\n---\n";
    let policy = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": "asks"},
        "spec": {"action": "CUSTOM", "provider": {"name": provider}, "rules": rules}});
    std::fs::write(&file, format!("{mesh}{service}{policy}\n")).unwrap();
    Mesh::load(&[file]).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn paths(paths: &[&str]) -> Value {
    json!({"to": [{"operation": {"paths": paths}}]})
}

pub(crate) fn when(key: &str, value: &str) -> Value {
    json!({"when": [{"key": key, "values": [value]}]})
}

/// `GET /a` of the web, allowed by `shop/now` rule 0; `more` is written over it, and null takes away.
pub(crate) fn record(more: &Value) -> Value {
    let mut record = json!({
        "time": "2026-01-01T00:00:00.000Z", "protocol": "http", "direction": "inbound", "namespace": "shop", "workload": "cart-1",
        "source_principal": WEB, "source_address": "10.0.0.1:5", "destination_address": "10.0.0.9:8080",
        "method": "GET", "host": "cart.shop", "path": "/a?b=c", "status": 200, "response_flags": "",
        "verdict": "ALLOW", "policy": "shop/now", "rule": 0, "reason": "allow_rule_matched",
        "bytes_received": 0, "bytes_sent": 0, "duration_ms": 1,
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    record
}

/// Denied, since no ALLOW rule matched.
pub(crate) fn denied(more: &Value) -> Value {
    let mut all = json!({"verdict": "DENY", "policy": null, "rule": null, "reason": "no_allow_rule_matched"});
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    record(&all)
}

pub(crate) fn log(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

pub(crate) fn options(candidate: &Mesh) -> Options<'_> {
    Options { candidate, current: None, same_tokens: false, threads: NonZeroUsize::new(2).unwrap() }
}

pub(crate) fn run(log: &str, options: Options<'_>) -> Tally {
    replay(&mut log.as_bytes(), options).unwrap()
}

/// `[flipped, unchanged, undecided]`
pub(crate) fn counts(tally: &Tally) -> [u64; 3] {
    [tally.flipped, tally.unchanged, tally.undecided]
}

/// Each kind of flip, as people read it.
pub(crate) fn flips(tally: &Tally) -> Vec<String> {
    tally.flips().iter().map(|flip| format!("{} {} -> {}", flip.count, flip.from, flip.to)).collect()
}

/// Each thing that was missing, with its rule and for how many records.
pub(crate) fn gaps(tally: &Tally) -> Vec<String> {
    let rule = |rule: &Option<(String, u32)>| rule.as_ref().map(|(policy, rule)| format!(" {policy} {rule}")).unwrap_or_default();
    tally.gaps().iter().map(|(gap, count, _)| format!("{count} {}{}", gap.attribute, rule(&gap.rule))).collect()
}

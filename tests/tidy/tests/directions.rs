//! Which package may depend on which (docs/ARCHITECTURE.md, "Packages"). A new package needs a row here.

#![expect(clippy::expect_used, reason = "a rule that cannot be checked has failed")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Every package and what of ours it may depend on. `*` is anything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("meshwright-identity", &[]),
    ("meshwright-bundle", &["identity"]),
    ("meshwright-expiry", &[]),
    ("meshwright-durable", &[]),
    ("meshwright-policy", &["identity"]),
    ("meshwright-handover", &[]),
    ("meshwright-authz", &["handover", "policy"]),
    ("meshwright-access-log", &["handover", "policy"]),
    ("meshwright-filters", &["authz", "access-log"]),
    ("meshwright-cores", &[]),
    ("meshwright-config", &["bundle", "cores", "expiry", "identity", "policy"]),
    ("meshwright-sources", &["config", "cores", "durable"]),
    ("meshwright-translate", &["config", "cores", "identity", "policy", "envoy-config", "xds"]),
    ("meshwright-xds", &[]),
    ("meshwright-ca", &["durable", "identity"]),
    ("meshwright-fetch", &["durable", "policy"]),
    ("meshwright-jwks", &["config", "fetch", "policy"]),
    ("meshwright-federation", &["bundle", "ca", "config", "fetch", "identity"]),
    (
        "meshwright-server",
        &["bundle", "config", "durable", "expiry", "sources", "translate", "xds", "ca", "jwks", "federation", "identity"],
    ),
    ("meshwright-envoy-config", &["identity"]),
    ("meshwright-sidecar", &["durable", "envoy-config", "expiry", "ca", "identity", "xds"]),
    ("meshwright-wasm-host", &[]),
    ("meshwright-test-files", &[]),
    ("meshwright-filter-test", &["filter-envoy", "test-files", "wasm-host"]),
    ("meshwright-filter-envoy", &["wasm-host"]),
    ("meshwright-policy-test", &["config", "explain", "policy", "sources", "test-files"]),
    ("meshwright-replay", &["config", "policy", "sources", "translate"]),
    ("meshwright-echo", &[]),
    ("meshwright-demo", &["*"]),
    ("meshwright", &["*"]),
    ("meshwright-explain", &["config", "identity", "policy", "sources", "translate", "wasm-host"]),
    ("meshwright-test-support", &["*"]),
    ("meshwright-e2e", &["*"]),
    ("meshwright-bench", &["*"]),
    ("meshwright-workloads", &[]),
    ("meshwright-xds-load", &["ca", "identity", "workloads"]),
    ("meshwright-fuzz", &["*"]),
    ("meshwright-test-filters", &[]),
    ("meshwright-strip", &[]),
    ("meshwright-tidy", &[]),
];

/// No I/O anywhere below these: what they need of the world they are given.
const PURE: &[&str] = &["meshwright-identity", "meshwright-bundle", "meshwright-expiry", "meshwright-policy", "meshwright-config"];
const IMPURE_LIBRARIES: &[&str] = &["tokio", "tonic", "kube", "proxy-wasm", "wasmtime", "hyper", "notify"];

fn metadata() -> Metadata {
    MetadataCommand::new().exec().expect("cargo metadata answers")
}

#[test]
fn dependencies_point_the_allowed_way() {
    let metadata = metadata();
    let rules: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("{name} has no row in ALLOWED"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            if let Some(ours) = dependency.name.strip_prefix("meshwright-")
                && !allowed.contains(&"*")
                && !allowed.contains(&ours)
            {
                wrong.push(format!("{name} must not depend on {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_packages_reach_no_io_library() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            (&node.id, normal.map(|d| &d.pkg).collect())
        })
        .collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages().into_iter().filter(|p| PURE.contains(&p.name.as_str())) {
        let mut seen = BTreeSet::new();
        let mut todo = vec![&package.id];
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(edges.get(id).into_iter().flatten());
            }
        }
        for reached in metadata.packages.iter().filter(|p| seen.contains(&p.id)) {
            if IMPURE_LIBRARIES.contains(&reached.name.as_str()) {
                wrong.push(format!("{} is pure and reaches {}", package.name, reached.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

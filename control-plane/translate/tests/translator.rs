//! After any edit the translator's snapshots are what `translate` makes from nothing, and what an edit does not concern is not made again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;

use meshwright_config::{Document, State, parse_file};
use meshwright_translate::{MeshInputs, NodeMetadata, Proxy, Translator, translate};
use meshwright_xds::{ResourceType, Snapshot};

/// Rules of one namespace for services of another, so that namespaces differ in what they see.
const MORE: &str = r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ledger, namespace: shop}
spec: {host: ledger.bank.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: edge}
spec: {host: "*.svc.cluster.local", trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: PERMISSIVE}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: shop}
spec: {workloadSelector: {labels: {app: orders}}, egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: bank}
spec: {egress: [{hosts: ["shop/catalog.shop.svc.cluster.local"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: meshwright.dev/v1alpha1
kind: IdentityDenyList
metadata: {name: denied, namespace: shop}
spec: {entries: [{spiffeId: spiffe://shop.local/ns/shop/sa/catalog}, {serial: "0b"}]}
"#;
/// What is written in some document, and what else could be.
const CHANGES: &[(&str, &str)] = &[
    ("targetPort: 8080", "targetPort: 8081"),
    ("10.1.0.1", "10.1.0.2"),
    ("pathNormalization: MERGE_SLASHES", "pathNormalization: BASE\n  proxyScope: {mode: ALLOWED}"),
    ("./*", "bank/*"),
    ("REGISTRY_ONLY", "ALLOW_ANY"),
    ("timeout: 1s", "timeout: 2s"),
    ("app: catalog, version: v2", "app: catalog, version: v1"),
    ("mode: STRICT", "mode: DISABLE"),
    ("maxConnections: 3", "maxConnections: 4"),
    ("simple: RANDOM", "simple: ROUND_ROBIN"),
    ("mode: PERMISSIVE", "mode: STRICT"),
    ("name: legacy-1, namespace: bank, labels: {app: legacy}", "name: legacy-1, namespace: bank, labels: {app: ledger}"),
    ("action: DENY", "action: ALLOW"),
    ("old.local", "older.local"),
    ("sa/catalog}, {serial: \"0b\"}", "sa/orders}"),
];

fn documents() -> Vec<[Option<Document>; 2]> {
    let texts = [include_str!("mesh.yaml"), MORE].join("\n---\n");
    let parse = |text: &str| parse_file("mesh.yaml", text).pop().map(|document| document.unwrap_or_else(|error| panic!("{error:?}")));
    let changed = |text: &str| CHANGES.iter().find(|(old, _)| text.contains(old)).map(|(old, new)| text.replace(old, new));
    texts.split("\n---\n").map(|text| [parse(text), changed(text).and_then(|text| parse(&text))]).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn proxies() -> Vec<Proxy> {
    let proxy = |namespace: &str, name: &str, outbound: bool, port: u16, tcp: &[&str]| {
        let metadata = NodeMetadata {
            namespace: namespace.to_owned(),
            workload: name.to_owned(),
            service_account: "unused".to_owned(),
            module_dir: "/run/meshwright".to_owned(),
            module_sha256: "00ff".to_owned(),
            outbound_address: outbound.then(|| address("127.0.0.1:15001")),
            apps: [(port, address("127.0.0.1:9003"))].into(),
            tcp: tcp.iter().map(|service| ((*service).to_owned(), address("127.0.0.1:15100"))).collect(),
            envoy_version: "1.40.0".to_owned(),
        };
        Proxy::new(format!("sidecar~{namespace}/{name}"), metadata)
    };
    vec![
        proxy("shop", "catalog-1", true, 8080, &[]),
        proxy("shop", "orders-1", true, 8080, &["ledger.bank.svc.cluster.local:5000"]),
        proxy("bank", "ledger-1", true, 5000, &[]),
        proxy("bank", "legacy-1", false, 8081, &["no.such.service:1"]),
        proxy("edge", "edge-1", true, 8080, &[]),
    ]
}

/// SplitMix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap()
}

fn check(translator: &mut Translator, step: &str) {
    let (state, inputs) = (Arc::clone(translator.state()), translator.inputs().clone());
    for proxy in proxies() {
        let expected = translate(&state, &proxy, &inputs).map(|resources| Snapshot::build(resources).unwrap());
        match (expected, translator.snapshot(&proxy)) {
            (Ok(expected), Ok(found)) => {
                let names = |snapshot: &Snapshot| -> Vec<String> {
                    let of_kind = |kind| snapshot.resources(kind).map(|it| format!("{} {}", it.name(), it.version())).collect::<Vec<_>>();
                    ResourceType::ALL.into_iter().flat_map(of_kind).collect()
                };
                assert_eq!(names(&expected), names(&found), "{step}: {}", proxy.node_id());
                assert_eq!(expected, *found, "{step}: {}", proxy.node_id());
            }
            (expected, found) => assert_eq!(expected.is_err(), found.is_err(), "{step}: {}", proxy.node_id()),
        }
    }
}

#[test]
fn after_any_edits_snapshots_are_what_they_would_be_from_nothing() {
    let documents = documents();
    let inputs = |number: usize| MeshInputs { trust_bundle_pem: format!("roots {}", number / 60), ..MeshInputs::default() };
    for seed in 1..=2 {
        let mut random = seed;
        // 0: as it is written; 1: changed, where there is a change; 2: not there.
        let mut chosen = vec![0_usize; documents.len()];
        let mut translator: Option<Translator> = None;
        for step in 0..80 {
            for _ in 0..=next(&mut random) % 3 {
                let place = next(&mut random) % documents.len();
                chosen[place] = next(&mut random) % 3;
            }
            let of = |(at, document): (&usize, &[Option<Document>; 2])| document.get(*at).cloned().flatten();
            let (state, _) = State::assemble(chosen.iter().zip(&documents).filter_map(of).collect::<Vec<Document>>());
            let state = Arc::new(state);
            match &mut translator {
                Some(translator) => translator.change(state, inputs(step)),
                None => translator = Some(Translator::new(state, inputs(step))),
            }
            let translator = translator.as_mut().unwrap();
            check(translator, &format!("seed {seed}, step {step}"));
            translator.settle();
        }
    }
}

#[test]
fn an_endpoint_that_moves_is_one_new_resource_and_nothing_else() {
    let documents = documents();
    let state = |text: &str| {
        let edited = parse_file("mesh.yaml", text).pop().unwrap().unwrap();
        let others = documents.iter().filter_map(|[document, _]| document.clone()).filter(|document| document.key() != edited.key());
        Arc::new(State::assemble(others.chain([edited.clone()]).collect::<Vec<_>>()).0)
    };
    let entry = |address: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: catalog-9, namespace: shop}}\n\
             spec: {{address: {address}, serviceAccount: catalog, labels: {{app: catalog, version: v1}}}}\n"
        )
    };
    let mut translator = Translator::new(state(&entry("10.9.0.1")), MeshInputs::default());
    let snapshots =
        |translator: &mut Translator| -> Vec<Arc<Snapshot>> { proxies().iter().map(|proxy| translator.snapshot(proxy).unwrap()).collect() };
    let before = snapshots(&mut translator);
    translator.change(state(&entry("10.9.0.1")), MeshInputs::default());
    let same = snapshots(&mut translator);
    assert!(before.iter().zip(&same).all(|(before, same)| Arc::ptr_eq(before, same)), "an edit that changes nothing makes nothing");
    translator.change(state(&entry("10.9.0.2")), MeshInputs::default());
    for (before, after) in before.iter().zip(snapshots(&mut translator)) {
        for kind in ResourceType::ALL {
            let changed: Vec<&str> = after
                .resources(kind)
                .filter(|now| before.get(kind, now.name()).is_none_or(|then| !Arc::ptr_eq(then, now)))
                .map(|it| it.name())
                .collect();
            if kind != ResourceType::Endpoint {
                assert_eq!(changed, Vec::<&str>::new(), "{}", kind.short_name());
                continue;
            }
            assert!(!changed.is_empty() && changed.iter().all(|name| name.ends_with("|catalog.shop.svc.cluster.local")), "{changed:?}");
            let known = after.changes_since(before, kind).unwrap();
            assert!(changed.iter().all(|name| known.iter().any(|it| **it == **name)), "{known:?}");
            assert!(known.len() <= 4, "{known:?}");
        }
    }
}

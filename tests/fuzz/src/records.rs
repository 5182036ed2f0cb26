//! What operators give to commands: access logs, tests of policies, cases, certificates; and what workloads send to the authority.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use meshwright_ca::client::Credentials;
use meshwright_ca::{Authority, inspect};
use meshwright_config::{State, parse_file};
use meshwright_explain::{Explainer, NativeEngine};
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_replay::{Mesh, Options, replay};
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
/// A workload whose policies look at all that a record has.
const MESH: &str = r#"apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: fuzz.example}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, namespace: shop}
spec: {address: 10.0.0.9, serviceAccount: a, labels: {app: a}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec:
  rules:
  - from: [{source: {principals: ["fuzz.example/ns/shop/sa/*"], notIpBlocks: ["10.1.0.0/16"]}}]
    to: [{operation: {methods: ["GET"], paths: ["/a/*"], hosts: ["h"]}}]
  - to: [{operation: {paths: ["/b"]}}]
    when: [{key: "request.headers[x]", values: ["y"]}, {key: "request.auth.claims[groups]", values: ["z"]}]
"#;

static DECIDING: LazyLock<Option<Mesh>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().ok()?;
    std::fs::write(folder.path().join("mesh.yaml"), MESH).ok()?;
    Mesh::load(&[folder.path().to_owned()]).ok()
});
static STATE: LazyLock<Arc<State>> =
    LazyLock::new(|| Arc::new(State::assemble(parse_file("mesh.yaml", MESH).into_iter().filter_map(Result::ok).collect()).0));
static AUTHORITY: LazyLock<Option<(Authority, TempDir)>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().ok()?;
    let domain = TrustDomain::parse("fuzz.example").ok()?;
    Some((Authority::open(dir.path(), &domain, "root", SystemTime::now()).ok()?, dir))
});

/// An access log: the same policies decide as they did. How many records are decided.
#[must_use]
pub fn access_log(bytes: &[u8]) -> u64 {
    let Some(mesh) = DECIDING.as_ref() else { return 0 };
    let options = |current| Options { candidate: mesh, current, same_tokens: true, threads: NonZeroUsize::MIN };
    let tally = replay(&mut &*bytes, options(Some(mesh)));
    assert!(tally.as_ref().is_ok_and(|tally| tally.flips().is_empty()), "nothing flips where nothing is changed");
    assert!(replay(&mut &*bytes, options(None)).is_ok(), "a log that can be read has a result");
    tally.map_or(0, |tally| tally.unchanged)
}

/// A file of policies' tests; not one that names documents of its own, which may be anywhere on the machine. Whether it can be run.
#[must_use]
pub fn policy_test(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    // A folder of its own: what others write must not be among its documents.
    let Ok(folder) = tempfile::tempdir() else { return false };
    let file = folder.path().join("fuzz_test.yaml");
    let written = std::fs::write(&file, text.as_bytes()).and_then(|()| std::fs::write(folder.path().join("mesh.yaml"), MESH));
    if text.contains("documents") || written.is_err() {
        return false;
    }
    match meshwright_policy_test::load(std::slice::from_ref(&file)) {
        Ok(suites) => {
            let outcome = meshwright_policy_test::run(&suites, &|| Box::new(NativeEngine), &|_| {});
            assert!(!meshwright_policy_test::human(&outcome, Duration::ZERO).is_empty(), "a result says something");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("fuzz_test.yaml"), "an error names the file: {error}");
            false
        }
    }
}

/// A case of `explain`: one answer, whatever it is. Whether it is a decision.
#[must_use]
pub fn explain_case(bytes: &[u8]) -> bool {
    let mut explainer = Explainer::for_mesh(Box::new(NativeEngine), Arc::clone(&STATE), BTreeMap::new());
    let answer = explainer.answer_line(bytes, NOW);
    assert_eq!(answer, explainer.answer_line(bytes, NOW), "the same case has the same answer");
    answer.error.is_none()
}

/// Certificates that are looked at, and an identity that was kept. Whether there are certificates.
#[must_use]
pub fn certificates(bytes: &[u8]) -> bool {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let domain = TrustDomain::parse("fuzz.example").ok();
    let report = inspect(bytes, Some(bytes), domain.as_ref(), now);
    match &report {
        Ok(report) => assert!(!report.certificates.is_empty(), "a chain that is read has a certificate"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
    let kept = Credentials::from_stored(&String::from_utf8_lossy(bytes), now);
    assert!(kept.is_err(), "what nobody signed is no identity");
    report.is_ok()
}

/// A signing request: refused, or of what it says only the key is taken. Whether a certificate is issued.
#[must_use]
pub fn signing_request(bytes: &[u8]) -> bool {
    let (Some((authority, _dir)), Ok(id)) = (AUTHORITY.as_ref(), SpiffeId::parse("spiffe://fuzz.example/ns/n/sa/a")) else { return false };
    let now = SystemTime::now();
    let issued = authority.issue(bytes, &id, Duration::from_secs(3600), now).ok();
    if let Some(issued) = &issued {
        let report = inspect(issued.chain_pem.as_bytes(), None, Some(id.trust_domain()), now).ok();
        let names = report.as_ref().and_then(|report| report.certificates.first()).map(|leaf| leaf.spiffe_ids.clone());
        assert_eq!(names, Some(vec![id.to_string()]), "whatever names it asks for");
        assert!(report.is_some_and(|report| report.problems.is_empty()), "what is issued is good");
    }
    issued.is_some()
}

//! Test files: what is wrong with one is said with file, line and field; what they expect is compared; what they leave open is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use meshwright_explain::{Engine, NativeEngine};
use meshwright_policy_test::{LoadError, Outcome, github, human, json, junit, load, run, sarif};

const MESH: &str = r#"apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: mesh.test}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-1, namespace: shop}
spec: {address: 10.0.0.9, serviceAccount: cart, labels: {app: cart}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {jwtRules: [{issuer: "https://issuer.test", jwksUri: "https://issuer.test/keys", outputClaimToHeaders: [{header: x-user, claim: sub}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  rules:
  - from: [{source: {principals: ["mesh.test/ns/shop/sa/web"]}}]
    to: [{operation: {methods: ["GET"]}}]
  - from: [{source: {requestPrincipals: ["https://issuer.test/*"]}}]
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mesh.yaml"), MESH).unwrap();
        std::fs::write(folder.path().join("cart_test.yaml"), test).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Without the folder's own name, which differs from run to run.
    fn clean(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn error(&self) -> String {
        let error = load(&[self.path()]).unwrap_err();
        assert!(matches!(error, LoadError::Wrong { .. }), "{error}");
        self.clean(&error.to_string())
    }

    fn outcome(&self) -> Outcome {
        let suites = load(&[self.path()]).unwrap_or_else(|error| panic!("{error}"));
        run(&suites, &|| -> Box<dyn Engine> { Box::new(NativeEngine) }, &|_| {})
    }
}

fn failures(test: &str) -> Vec<String> {
    let folder = Folder::new(test);
    let outcome = folder.outcome();
    outcome.results.iter().flat_map(|result| result.failures.iter().map(|failure| format!("{}: {failure}", result.line))).collect()
}

/// Files, and how their error starts.
const WRONG: &[(&str, &str)] = &[
    ("tests:\n- name: a\n  wrkload: shop/cart-1\n", "cart_test.yaml:3: tests[0].wrkload: unknown field `wrkload`"),
    ("tests:\n- name: a\n  workload: cart-1\n", "cart_test.yaml:3: tests[0].workload: found `cart-1` (allowed: `NAMESPACE/NAME`"),
    ("tests:\n- {name: a, workload: {namespace: shop, nam: x}}\n", "cart_test.yaml:2: tests[0].workload.nam: unknown field `nam`"),
    (
        "tests:\n\n- {name: a, workload: shop/crt, expect: deny}\n",
        "cart_test.yaml:3: tests[0].workload: no WorkloadEntry `shop/crt` (there are: shop/cart-1;",
    ),
    ("tests:\n- {name: a, workload: shop/cart-1}\n", "cart_test.yaml:2: tests[0].expect: missing"),
    ("tests:\n- {name: a, workload: shop/cart-1, expect: {}}\n", "cart_test.yaml:2: tests[0].expect: says nothing"),
    (
        "tests:\n- {name: a, workload: shop/cart-1, expect: yes}\n",
        "cart_test.yaml:2: tests[0].expect: found `yes` (allowed: `allow`, `deny` or `ask`",
    ),
    ("tests:\n- {workload: shop/cart-1, expect: deny}\n", "cart_test.yaml:2: tests[0].name: missing"),
    (
        "tests:\n- {name: a, workload: shop/cart-1, expect: deny}\n- {name: a, workload: shop/cart-1, expect: deny}\n",
        "cart_test.yaml:3: tests[1].name: found `a` twice",
    ),
    (
        "tests:\n- {name: a, workload: shop/cart-1, from: web, expect: deny}\n",
        "cart_test.yaml:2: tests[0].from: found `web` (allowed: `NAMESPACE/SERVICE-ACCOUNT`",
    ),
    ("tests:\n- {name: a, workload: shop/cart-1, port: 0, expect: deny}\n", "cart_test.yaml:2: tests[0].port: found 0"),
    ("tests:\n- {name: a, workload: shop/cart-1, now: today, expect: deny}\n", "cart_test.yaml:2: tests[0]: now: found `today`"),
    (
        "tests:\n- {name: a, workload: shop/cart-1, tcp: true, path: /x, expect: deny}\n",
        "cart_test.yaml:2: tests[0].path: found for a TCP connection",
    ),
    ("tests:\n- {name: a, workload: shop/cart-1, token: t, expect: deny}\n", "cart_test.yaml:2: tests[0].token: no token `t`"),
    (
        "tokens: {t: {issuer: i}}\ntests:\n- {name: a, workload: shop/cart-1, token: t, expect: deny}\n",
        "cart_test.yaml:3: tests[0].tokens.t.key: missing",
    ),
    ("keys: {k: HS256}\ntests: [{name: a}]\n", "cart_test.yaml:1: keys.k: unknown variant `HS256`"),
    ("issuers: {\"https://issuer.test\": [k]}\ntests: [{name: a}]\n", "cart_test.yaml: issuers.https://issuer.test: no key `k`"),
    (
        "keys: {k: ES256}\nissuers: {other: [k]}\ntests: [{name: a}]\n",
        "cart_test.yaml: issuers.other: no RequestAuthentication has this issuer (they have: https://issuer.test)",
    ),
    ("documents: [nowhere]\ntests: [{name: a}]\n", "cart_test.yaml: documents: the configuration directory `nowhere` does not exist"),
    (
        "tests:\n- name: a\n  workload: shop/cart-1\n  table:\n    columns: [path, expect]\n    rows:\n    - [/a, deny]\n    - [/a]\n",
        "cart_test.yaml:8: tests[0].table.rows[1]: found 1 values for 2 columns",
    ),
    (
        "tests:\n- name: a\n  workload: shop/cart-1\n  table:\n    columns: [pth, expect]\n    rows:\n    - [/a, deny]\n",
        "cart_test.yaml:7: tests[0].table.rows[0].pth: unknown field `pth`",
    ),
    (
        "tests:\n- name: a\n  workload: shop/cart-1\n  table: {columns: [expect], rows: []}\n",
        "cart_test.yaml:2: tests[0].table.rows: found none",
    ),
    (
        "tests:\n- name: a\n  workload: shop/cart-1\n  table: {columns: [expect, expect], rows: [[deny, deny]]}\n",
        "cart_test.yaml:2: tests[0].table.columns[0]: found `expect` twice",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (test, message) in WRONG {
        let found = Folder::new(test).error();
        assert!(found.starts_with(message), "{found}\n  should be\n{message}");
    }
}

#[test]
fn a_wrong_document_and_a_folder_without_tests_are_errors() {
    let folder = Folder::new("tests: [{name: a, workload: shop/cart-1, expect: deny}]\n");
    std::fs::write(folder.path().join("more.yaml"), "kind: Teapot\n").unwrap();
    assert!(folder.error().contains("documents: more.yaml:1"), "{}", folder.error());
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("mesh.yaml"), MESH).unwrap();
    assert!(matches!(load(&[empty.path().to_owned()]), Err(LoadError::None { .. })));
    assert!(matches!(load(&[empty.path().join("none")]), Err(LoadError::Unreadable { .. })));
}

#[test]
fn every_expectation_can_fail() {
    let test = "tests:\n- name: a\n  workload: shop/cart-1\n  from: shop/web\n  path: /b/../a?c\n  headers: {x-a: [one, two]}\n  table:\n    columns: [expect]\n    rows:\n";
    for (expected, found) in [
        ("{decision: deny}", "expect.decision: expected deny, found allow (allow_rule_matched, shop/readers rule 0)"),
        ("{decision: ask}", "expect.decision: expected ask, found allow (allow_rule_matched, shop/readers rule 0)"),
        ("{status: 403}", "expect.status: expected 403, found 200"),
        ("{policy: shop/other}", "expect.policy: expected shop/other, found shop/readers"),
        ("{rule: 1}", "expect.rule: expected 1, found 0"),
        ("{reason: no_allow_policy}", "expect.reason: expected no_allow_policy, found allow_rule_matched"),
        ("{path: /b}", "expect.path: expected /b, found /a"),
        ("{requestPrincipal: i/s}", "expect.requestPrincipal: expected i/s, found none"),
        ("{headers: {X-A: one}}", "expect.headers.X-A: expected \"one\", found \"one\", \"two\""),
        ("{headers: {x-a: null}}", "expect.headers.x-a: expected that the app does not receive it, found \"one\", \"two\""),
        ("{headers: {x-b: c}}", "expect.headers.x-b: expected \"c\", found that the app does not receive it"),
    ] {
        assert_eq!(failures(&format!("{test}    - [{expected}]\n")), [format!("10: {found}")]);
    }
    let met = "{decision: allow, status: 200, policy: shop/readers, rule: 0, reason: allow_rule_matched, path: /a, headers: {x-a: [one, two], x-b: null}}";
    assert_eq!(failures(&format!("{test}    - [{met}]\n    - [allow]\n")), [""; 0]);
}

#[test]
fn tokens_of_every_algorithm_are_taken_and_only_those_of_the_issuer() {
    let issuer = "https://issuer.test";
    let test = format!(
        "keys: {{r: RS256, s: RS256, e: ES256, d: EdDSA}}\nissuers: {{\"{issuer}\": [r, e, d]}}\ntokens:\n  \
         r: {{issuer: \"{issuer}\", claims: {{sub: ann}}}}\n  e: {{issuer: \"{issuer}\", key: e, claims: {{sub: ann}}}}\n  \
         d: {{issuer: \"{issuer}\", key: d, claims: {{sub: ann}}}}\n  s: {{issuer: \"{issuer}\", key: s}}\n  old: {{issuer: \"{issuer}\", expiresIn: -61}}\n  \
         skewed: {{issuer: \"{issuer}\", expiresIn: -59, claims: {{sub: x}}}}\n  endless: {{issuer: \"{issuer}\", claims: {{sub: x, exp: null}}}}\n  text: a.b\n\
         tests:\n- name: a\n  workload: shop/cart-1\n  method: POST\n  table:\n    columns: [token, expect, expect.reason, expect.headers.x-user, expect.headers.authorization]\n    rows:\n    \
         - [r, allow, allow_rule_matched, ann, null]\n    - [e, allow, allow_rule_matched, ann, null]\n    - [d, allow, allow_rule_matched, ann, null]\n    \
         - [s, deny, jwt_no_key, null, null]\n    - [old, deny, jwt_expired, null, null]\n    - [skewed, allow, allow_rule_matched, x, null]\n    \
         - [endless, allow, allow_rule_matched, x, null]\n    - [text, deny, jwt_bad_format, null, null]\n    - [null, deny, no_allow_rule_matched, null, null]\n"
    );
    assert_eq!(failures(&test), [""; 0]);
}

/// One that passes and one that fails; rule 0 always matches, rule 1 never does.
const HALF: &str = "tests:\n- {name: reads, workload: shop/cart-1, from: shop/web, expect: allow}\n- {name: 'writes, too', workload: shop/cart-1, from: shop/web, expect: deny}\n";

#[test]
fn rules_that_tests_leave_open_are_told() {
    let coverage = Folder::new(HALF).outcome().coverage;
    assert_eq!(coverage.rules.iter().map(|rule| rule.gap()).collect::<Vec<_>>(), [Some("never failed to match"), Some("never matched")]);
    assert_eq!(coverage.percent(), 50.0);
    let refused = "tokens: {bad: a.b}\ntests:\n- {name: a, workload: shop/cart-1, token: bad, expect: deny}\n";
    let coverage = Folder::new(refused).outcome().coverage;
    assert_eq!(
        coverage.rules.iter().map(|rule| rule.gap()).collect::<Vec<_>>(),
        [Some("was never tried"); 2],
        "no rule sees a refused token"
    );
    let folder = Folder::new(HALF);
    let everything =
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: all, namespace: other}\nspec: {rules: [{}]}\n";
    std::fs::write(folder.path().join("mesh.yaml"), format!("{MESH}{everything}")).unwrap();
    let outcome = folder.outcome();
    let found: Vec<_> = outcome.coverage.rules.iter().map(|rule| (rule.policy.as_str(), rule.always, rule.gap())).collect();
    assert_eq!(found[0], ("other/all", true, Some("was never tried")), "a policy of workloads that no test calls counts");
    assert_eq!(outcome.coverage.percent(), 40.0);
}

#[test]
fn reports_say_what_failed_and_where() {
    let folder = Folder::new(HALF);
    let outcome = folder.outcome();
    let text = folder.clean(&human(&outcome, Duration::ZERO));
    assert!(text.starts_with("FAILED cart_test.yaml:3: writes, too: GET / from spiffe://mesh.test/ns/shop/sa/web to shop/cart-1:8080\n  expect.decision: expected deny, found allow"), "{text}");
    assert!(text.ends_with("mesh.yaml:15: shop/readers rule 0 never failed to match\nmesh.yaml:15: shop/readers rule 1 never matched\ncoverage 50.0 %: 0 of 2 rules were seen to match and not to match\n1 passed, 1 failed in 0.00 s\n"), "{text}");
    let json = json(&outcome);
    assert_eq!((&json["passed"], &json["failed"], &json["coverage"]["percent"]), (&1.into(), &1.into(), &50.0.into()));
    assert_eq!((&json["cases"][1]["line"], &json["cases"][1]["failures"][0]["path"]), (&3.into(), &"expect.decision".into()));
    let junit = junit(&outcome).unwrap();
    assert!(
        junit.contains(r#"tests="2" skipped="0" failures="1""#) && junit.contains(r#"<failure message="expect.decision: expected deny"#),
        "{junit}"
    );
    let github = folder.clean(&github(&outcome, Duration::ZERO));
    assert!(
        github.starts_with("::error file=cart_test.yaml,line=3,title=writes%2C too::expect.decision: expected deny, found allow"),
        "{github}"
    );
    assert!(github.contains("::notice file=mesh.yaml,line=15,title=policy coverage::shop/readers rule 1 never matched\n"), "{github}");
}

/// SARIF 2.1.0, sections 3.13 (log), 3.14 (run), 3.18 (tool), 3.27 (result).
#[test]
fn sarif_has_what_its_specification_asks_for() {
    let folder = Folder::new(HALF);
    let sarif = sarif(&folder.outcome());
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let known: Vec<&str> = run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        assert!(
            known.contains(&result["ruleId"].as_str().unwrap()) && ["error", "note"].contains(&result["level"].as_str().unwrap()),
            "{result}"
        );
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with(".yaml") && place["region"]["startLine"].as_u64() > Some(0));
    }
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
}

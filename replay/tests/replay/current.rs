//! A candidate against the policies that were in force.

use meshwright_replay::Options;
use serde_json::json;

use crate::support::*;

fn against(log: &str, current: &str, candidate: &str) -> meshwright_replay::Tally {
    let (current, candidate) = (mesh(current), mesh(candidate));
    run(log, Options { current: Some(&current), ..options(&candidate) })
}

#[test]
fn what_the_decision_says_of_a_rule_holds_where_the_candidate_has_it_too() {
    let by_claim = when("request.auth.claims[groups]", "customer");
    let header = when("request.headers[x-a]", "1");
    let current = TOKENS.to_owned() + &policy("now", "ALLOW", &json!([by_claim, paths(&["/b"])])) + &policy("no", "DENY", &json!([header]));
    let candidate =
        TOKENS.to_owned() + &policy("next", "ALLOW", &json!([paths(&["/c"]), by_claim])) + &policy("never", "DENY", &json!([header]));
    let token = json!({"jwt_issuer": "https://issuer.test"});
    let by_path = json!({"rule": 1, "path": "/b"});
    let by_header = json!({"verdict": "DENY", "policy": "shop/no", "reason": "deny_rule_matched"});
    let tally = against(&log(&[record(&token), record(&by_path), record(&by_header), denied(&json!({}))]), &current, &candidate);
    assert_eq!((counts(&tally), tally.drifted), ([1, 3, 0], 0), "{:?}", gaps(&tally));
    assert_eq!(flips(&tally), ["1 allow by shop/now rule 1 (allow_rule_matched) -> deny (no_allow_rule_matched)"]);
}

#[test]
fn a_rule_that_the_current_policies_do_not_have_stays_open() {
    let current = policy("now", "ALLOW", &json!([paths(&["/a"])]));
    let candidate = policy("now", "ALLOW", &json!([paths(&["/a"])])) + &policy("no", "DENY", &json!([when("request.headers[x-a]", "1")]));
    let tally = against(&log(&[record(&json!({}))]), &current, &candidate);
    assert_eq!((counts(&tally), gaps(&tally)), ([0, 0, 1], vec!["1 request.headers[x-a] shop/no 0".to_owned()]));
}

#[test]
fn tokens_fare_as_recorded_only_under_the_same_rules() {
    let allow = policy("now", "ALLOW", &json!([paths(&["/a"])]));
    let other = TOKENS.replace("issuer: \"https://issuer.test\"", "issuer: \"https://issuer.test\", audiences: [shop]");
    let request = log(&[record(&json!({"jwt_issuer": "https://issuer.test"}))]);
    let with = |tokens: &str| tokens.to_owned() + &allow;
    assert_eq!(counts(&against(&request, &with(TOKENS), &with(TOKENS))), [0, 1, 0]);
    let tally = against(&request, &with(TOKENS), &with(&other));
    assert_eq!((counts(&tally), gaps(&tally)), ([0, 0, 1], vec!["1 token".to_owned()]));
    // Who checks none refuses none.
    assert_eq!(counts(&against(&request, &with(TOKENS), &allow)), [0, 1, 0]);
}

#[test]
fn another_path_normalization_makes_other_paths() {
    let allow = policy("now", "ALLOW", &json!([paths(&["/a"])]));
    let (current, candidate) = (mesh(&allow), mesh_with_none(&allow));
    let tally = run(&log(&[record(&json!({}))]), Options { current: Some(&current), ..options(&candidate) });
    assert_eq!(gaps(&tally), ["1 request.path shop/now 0"]);
}

fn mesh_with_none(more: &str) -> meshwright_replay::Mesh {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let mesh = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: mesh.test, pathNormalization: {normalization: NONE}}\n---\n";
    let workload = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: cart-1, namespace: shop}\nspec: {address: 10.0.0.9, labels: {app: cart}}\n---\n";
    std::fs::write(&file, format!("{mesh}{workload}{more}")).unwrap();
    meshwright_replay::Mesh::load(&[file]).unwrap()
}

#[test]
fn a_log_of_other_policies_is_noticed() {
    let current = policy("now", "ALLOW", &json!([paths(&["/b"])]));
    let candidate = policy("now", "ALLOW", &json!([paths(&["/a"])]));
    let tally = against(&log(&[record(&json!({})), record(&json!({"path": "/b"}))]), &current, &candidate);
    assert_eq!((tally.drifted, tally.first_drifted, counts(&tally)), (1, Some(1), [2, 0, 0]));
    assert!(meshwright_replay::human(&tally).contains("1 records say otherwise than the current policies decide"));
    let tokens = TOKENS.to_owned();
    let tally = against(&log(&[record(&json!({}))]), &(tokens.clone() + &current), &(tokens + &candidate));
    assert_eq!((tally.drifted, counts(&tally)), (1, [0, 0, 1]), "what becomes of its token is then not known");
}

#[test]
fn a_gateway_whose_routes_rewrite_logs_other_paths() {
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: shop}\nspec:\n  hosts: [\"cart.mesh\"]\n  http: [{rewrite: {uri: /x}, route: [{destination: {host: cart.mesh}}]}]\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: cart, namespace: shop}\nspec: {hosts: [\"cart.mesh\"], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: cart}}}\n---\n";
    let allow = policy("now", "ALLOW", &json!([paths(&["/a"])]));
    let request = log(&[record(&json!({"direction": "gateway"}))]);
    assert_eq!(counts(&run(&request, options(&mesh(&allow)))), [0, 1, 0]);
    let rewriting = mesh(&(route.to_owned() + &allow));
    let tally = run(&request, options(&rewriting));
    assert_eq!(gaps(&tally), ["1 request.path shop/now 0"]);
    assert_eq!(counts(&run(&log(&[record(&json!({}))]), options(&rewriting))), [0, 1, 0], "behind it nothing is rewritten");
}

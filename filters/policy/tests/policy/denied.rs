//! Peers that are denied as such: before tokens and rules, under every name that the mesh has, and whatever the policies say.

use std::collections::BTreeSet;

use meshwright_policy::{AuditRecord, Authentication, Fact, Peer, Policy, Reason, Verdict};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::support::{Fixture, decide, evaluate};

const ACCOUNTS: [&str; 6] = [
    "spiffe://mesh.test/ns/shop/sa/web",
    "spiffe://mesh.test/ns/shop/sa/web2",
    "spiffe://mesh.test/ns/shop2/sa/web",
    "spiffe://old.test/ns/shop/sa/web",
    "spiffe://other.test/ns/shop/sa/web",
    "spiffe://mesh.test/other/shop",
];
const SERIALS: [&str; 3] = ["1", "a0", "ff00000000000000000000000000000000000001"];

fn denying(identities: &[&str], serials: &[&str], authorization: &Value) -> Policy {
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test", "trust_domain_aliases": ["old.test"],
        "denied_peers": {"identities": identities, "serials": serials}, "authorization": authorization,
    });
    Policy::from_json(config.to_string().as_bytes()).unwrap()
}

fn peer(uri_sans: &[&str], serial: Option<&str>) -> Fixture {
    let mut fixture = Fixture::new();
    let uri_sans = uri_sans.iter().map(|san| (*san).to_owned()).collect();
    fixture.connection.peer = Peer::Authenticated { uri_sans, dns_sans: vec![], subject: None, serial: serial.map(str::to_owned) };
    fixture
}

fn reason(policy: &Policy, fixture: &Fixture) -> &'static str {
    decide(policy, fixture).reason.as_str()
}

#[test]
fn an_identity_is_denied_under_all_names_of_the_mesh_and_no_other() {
    let policy = denying(&["spiffe://old.test/ns/shop/sa/web", "spiffe://other.test/ns/x/*"], &[], &json!([]));
    for (san, denied) in [
        ("spiffe://mesh.test/ns/shop/sa/web", true),
        ("spiffe://old.test/ns/shop/sa/web", true),
        ("spiffe://other.test/ns/shop/sa/web", false),
        ("spiffe://mesh.test/ns/shop/sa/web2", false),
        ("spiffe://mesh.test/ns/shop/sa/web/", false),
        ("spiffe://other.test/ns/x/sa/a", true),
        ("spiffe://other.test/ns/x/", true),
        ("spiffe://other.test/ns/x", false),
        ("spiffe://other.test/ns/x2/sa/a", false),
        ("spiffe://mesh.test/ns/x/sa/a", false),
        ("", false),
        ("////////", false),
    ] {
        let expected = if denied { "peer_identity_denied" } else { "no_allow_policy" };
        assert_eq!(reason(&policy, &peer(&[san], None)), expected, "{san}");
        assert_eq!(reason(&policy, &peer(&["spiffe://a/b", san], None)), expected, "{san}, not the first name");
    }
    assert_eq!(reason(&policy, &Fixture::new()), "no_allow_policy", "plaintext has no identity");
}

#[test]
fn a_serial_is_denied_whoever_shows_it_and_however_it_is_padded() {
    let policy = denying(&[], &["a0"], &json!([]));
    for (serial, expected) in [
        (Some("a0"), "peer_serial_denied"),
        (Some("00a0"), "peer_serial_denied"),
        (Some("a00"), "no_allow_policy"),
        (Some(""), "no_allow_policy"),
        (None, "peer_serial_unknown"),
    ] {
        assert_eq!(reason(&policy, &peer(&[], serial)), expected, "{serial:?}");
    }
    let both = denying(&[ACCOUNTS[0]], &["a0"], &json!([]));
    assert_eq!(reason(&both, &peer(&[ACCOUNTS[0]], None)), "peer_identity_denied", "that much is known");
    assert_eq!(reason(&policy, &Fixture::new()), "no_allow_policy", "plaintext has no certificate");
}

#[test]
fn a_denial_comes_before_tokens_and_rules_and_changes_nothing_else() {
    let rules = json!([
        {"namespace": "n", "name": "all", "action": "ALLOW", "rules": [{}]},
        {"namespace": "n", "name": "audit", "action": "AUDIT", "rules": [{}]},
        {"namespace": "n", "name": "ask", "action": "CUSTOM", "provider": "p", "rules": [{}]},
    ]);
    let policy = denying(&[ACCOUNTS[0]], &["a0"], &rules);
    let fixture = peer(&[ACCOUNTS[0]], Some("1"));
    let evaluation = evaluate(&policy, &fixture);
    assert_eq!((evaluation.decision.verdict, evaluation.decision.policy), (Verdict::Deny, None));
    assert_eq!((evaluation.decision.status(), evaluation.decision.body()), (403, "RBAC: access denied"));
    assert!(evaluation.custom.is_empty() && evaluation.audit.is_none() && evaluation.shadow.is_none());
    let record = AuditRecord::new("", evaluation, &fixture.connection, &Authentication::Anonymous).with_serial(&fixture.connection);
    assert_eq!((record.principal.as_deref(), record.serial.as_deref()), (Some(ACCOUNTS[0]), Some("1")));
    assert_eq!(evaluate(&policy, &peer(&[ACCOUNTS[1]], Some("1"))).decision.reason, Reason::AllowRule);
}

#[test]
fn an_empty_list_looks_at_nobody() {
    assert!(!denying(&[], &[], &json!([])).needs(Fact::Peer));
    assert!(denying(&[], &["1"], &json!([])).needs(Fact::Peer));
    assert!(denying(&[ACCOUNTS[0]], &[], &json!([])).needs(Fact::Peer));
}

fn requiring(mutual_tls: &Value) -> Policy {
    let config = json!({"version": 1, "protocol": "http", "trust_domain": "mesh.test", "mutual_tls": mutual_tls});
    Policy::from_json(config.to_string().as_bytes()).unwrap()
}

#[test]
fn who_has_no_certificate_is_refused_where_one_is_needed() {
    for (mutual_tls, needed, not_needed) in [
        (json!({"required": true}), vec![Some(80), Some(81), None], vec![]),
        (json!({"required": true, "except": [80]}), vec![Some(81), None], vec![Some(80)]),
        (json!({"except": [80]}), vec![Some(80), None], vec![Some(81)]),
        (json!({}), vec![], vec![Some(80), Some(81), None]),
    ] {
        let policy = requiring(&mutual_tls);
        let to = |port: Option<u16>, fixture: Fixture| match port {
            Some(port) => fixture.destination(&format!("127.0.0.1:{port}")),
            None => fixture,
        };
        let ports = needed.iter().map(|port| (*port, "mtls_required")).chain(not_needed.iter().map(|port| (*port, "no_allow_policy")));
        for (port, expected) in ports {
            assert_eq!(reason(&policy, &to(port, Fixture::new())), expected, "{mutual_tls} {port:?}");
            assert_eq!(reason(&policy, &to(port, peer(&[], None))), "no_allow_policy", "{mutual_tls} {port:?}: it has one");
            assert_eq!(evaluate(&policy, &to(port, Fixture::new())).decision, decide(&policy, &to(port, Fixture::new())));
        }
        assert_eq!(policy.needs(Fact::Peer), !needed.is_empty());
        assert_eq!(policy.needs(Fact::Destination), mutual_tls.get("except").is_some());
    }
    assert_eq!(decide(&requiring(&json!({"required": true})), &Fixture::new()).status(), 403);
}

#[test]
fn what_would_deny_nobody_is_refused() {
    for (field, entry) in [
        ("identities", "mesh.test/ns/shop/sa/web"),
        ("identities", "spiffe://mesh.test"),
        ("identities", "spiffe://mesh.test/*"),
        ("identities", "spiffe://mesh.test/ns/*"),
        ("identities", "spiffe://mesh.test/ns/shop/sa/*"),
        ("identities", "spiffe://mesh.test/ns/shop*"),
        ("identities", "*"),
        ("serials", ""),
        ("serials", "0a"),
        ("serials", "A0"),
        ("serials", "a:0"),
        ("surplus", "x"),
    ] {
        let config = json!({"version": 1, "protocol": "tcp", "trust_domain": "mesh.test", "denied_peers": {field: [entry]}});
        let error = Policy::from_json(config.to_string().as_bytes()).unwrap_err().to_string();
        let place =
            if field == "surplus" { "unknown field `surplus`".to_owned() } else { format!("denied_peers.{field}[0]: found `{entry}`") };
        assert!(error.contains(&place), "{error}");
    }
}

/// What the list means, said once more and slowly.
fn is_meant(entry: &str, san: &str) -> bool {
    let normal = |text: &str| text.replacen("spiffe://old.test/", "spiffe://mesh.test/", 1);
    match entry.strip_suffix('*') {
        Some(prefix) => normal(san).starts_with(&normal(prefix)),
        None => normal(san) == normal(entry),
    }
}

proptest! {
    #[test]
    fn exactly_who_is_listed_is_denied(
        listed in subsequence(ACCOUNTS.to_vec(), 0..=3),
        namespaces in subsequence(vec!["spiffe://mesh.test/ns/shop/*", "spiffe://other.test/ns/shop/*"], 0..=2),
        denied in subsequence(SERIALS.to_vec(), 0..=2),
        sans in subsequence(ACCOUNTS.to_vec(), 0..=2),
        serial in select(SERIALS.to_vec()),
    ) {
        let entries: Vec<&str> = listed.iter().chain(&namespaces).copied().collect();
        let policy = denying(&entries, &denied, &json!([{"namespace": "n", "name": "all", "action": "ALLOW", "rules": [{}]}]));
        let by_name = sans.iter().any(|san| entries.iter().any(|entry| is_meant(entry, san)));
        let by_serial = denied.iter().copied().collect::<BTreeSet<_>>().contains(serial);
        let expected = match (by_name, by_serial) {
            (true, _) => "peer_identity_denied",
            (false, true) => "peer_serial_denied",
            (false, false) => "allow_rule_matched",
        };
        let fixture = peer(&sans, Some(serial));
        prop_assert_eq!(reason(&policy, &fixture), expected);
        prop_assert_eq!(evaluate(&policy, &fixture).decision, decide(&policy, &fixture));
    }
}

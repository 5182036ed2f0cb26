//! Decisions about requests of which not everything is known: what is decided is what the full decision is, whatever the missing parts are.

use std::collections::{BTreeMap, BTreeSet};

use meshwright_policy::{Attribute, Decision, Knowledge, Partially, Peer, Policy, Reason, RuleRef, Verdict, decide_partially, trace};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::equivalence::{policies, request};
use crate::support::{Fixture, compile, decide, evaluate, one, with_request};

/// Everything that may be missing, each name as [`Attribute`] writes it.
const PARTS: &[&str] = &[
    "token",
    "source.principal",
    "source.ip",
    "remote.ip",
    "destination.ip",
    "destination.port",
    "connection.sni",
    "claims",
    "request.host",
    "request.method",
    "request.path",
    "request.headers[x-a]",
];

/// Claims are missing together; issuer and subject are known, as a log knows them.
fn is_missing(missing: &BTreeSet<&str>, attribute: Attribute<'_>) -> bool {
    match attribute {
        Attribute::Claim(path) => missing.contains("claims") && path != ["iss"] && path != ["sub"],
        other => missing.contains(other.to_string().as_str()),
    }
}

fn partially<'p>(policy: &'p Policy, fixture: &Fixture, missing: &BTreeSet<&str>) -> Partially<'p> {
    knowing(policy, fixture, missing, &Matched::new())
}

/// Rules and whether they match.
type Matched = BTreeMap<(String, u32), bool>;

fn knowing<'p>(policy: &'p Policy, fixture: &Fixture, missing: &BTreeSet<&str>, matched: &Matched) -> Partially<'p> {
    let missing = |attribute: Attribute<'_>| is_missing(missing, attribute);
    let rules = |rule: RuleRef<'_>| matched.get(&(rule.policy.to_owned(), rule.rule)).copied();
    with_request(policy, fixture, |request| decide_partially(policy, request, Knowledge { missing: &missing, rules: &rules }))
}

fn matched(policy: &Policy, fixture: &Fixture) -> Matched {
    with_request(policy, fixture, |request| {
        let fared = trace(policy, request);
        fared.iter().map(|rule| ((rule.rule.policy.to_owned(), rule.rule.rule), rule.failed.is_empty())).collect()
    })
}

/// `base` with the missing parts of `donor`.
fn completed(base: &Fixture, donor: &Fixture, missing: &BTreeSet<&str>) -> Fixture {
    let (mut all, from) = (base.clone(), donor.connection.clone());
    let has = |part: &str| missing.contains(part);
    let connection = &mut all.connection;
    if has("source.principal") {
        connection.peer = from.peer;
    }
    if has("source.ip") {
        connection.direct_ip = from.direct_ip;
    }
    if has("remote.ip") {
        connection.remote_ip = from.remote_ip;
    }
    if has("connection.sni") {
        connection.sni = from.sni;
    }
    // The two parts of one address: there is none, or both.
    if has("destination.ip") && has("destination.port") {
        connection.destination = from.destination;
    } else if let (Some(own), Some(other)) = (&mut connection.destination, from.destination) {
        if has("destination.ip") {
            own.set_ip(other.ip());
        } else if has("destination.port") {
            own.set_port(other.port());
        }
    }
    let named = [(":authority", "request.host"), (":method", "request.method"), (":path", "request.path"), ("X-A", "request.headers[x-a]")];
    for (name, part) in named {
        if let (true, Some(headers), Some(other)) = (has(part), &mut all.headers, &donor.headers) {
            headers.retain(|(known, _)| known != name);
            headers.extend(other.iter().filter(|(known, _)| known == name).cloned());
        }
    }
    if has("token") {
        all.claims = donor.claims.clone();
    } else if let (true, Some(claims), Some(other)) = (has("claims"), &mut all.claims, &donor.claims) {
        let (issuer, subject) = (claims["iss"].clone(), claims.get("sub").cloned());
        *claims = other.clone();
        claims["iss"] = issuer;
        match subject {
            Some(subject) => claims["sub"] = subject,
            None => drop(claims.as_object_mut().unwrap().remove("sub")),
        }
    }
    all
}

/// Also one whose token is refused.
fn any_request() -> impl Strategy<Value = Fixture> {
    (request(), prop::bool::weighted(0.15)).prop_map(
        |(fixture, refused)| {
            if refused { fixture.claims(json!({"iss": "https://nobody.test"})) } else { fixture }
        },
    )
}

fn whole(decision: &Decision<'_>) -> (Verdict, Option<String>, Option<u32>, Reason) {
    (decision.verdict, decision.policy.map(str::to_owned), decision.rule, decision.reason)
}

/// Some policies ask others, too.
fn with_custom(authorization: &Value, custom: bool) -> Value {
    let mut all = authorization.clone();
    if let (true, Some(first)) = (custom, all.as_array_mut().and_then(|list| list.first_mut())) {
        first["action"] = json!("CUSTOM");
        first["provider"] = json!("outside");
    }
    all
}

/// A policy, a request, what of it is missing, other requests to take that from, and which rules are known.
#[derive(Debug, Clone)]
struct Case {
    authorization: Value,
    custom: bool,
    base: Fixture,
    missing: Vec<&'static str>,
    donors: Vec<Fixture>,
    told: u16,
}

fn case(most_policies: usize, donors: usize) -> impl Strategy<Value = Case> {
    let told = prop_oneof![Just(0_u16), any::<u16>()];
    let of = (
        policies(most_policies),
        any::<bool>(),
        any_request(),
        subsequence(PARTS, 0..=6),
        prop::collection::vec(any_request(), donors),
        told,
    );
    of.prop_map(|(authorization, custom, base, missing, donors, told)| Case { authorization, custom, base, missing, donors, told })
}

fn holds(case: Case) -> Result<(), TestCaseError> {
    let Case { authorization, custom, base, missing, donors, told } = case;
    let policy = compile("http", &with_custom(&authorization, custom));
    let missing: BTreeSet<&str> = missing.into_iter().collect();
    let all: Vec<Fixture> = donors.iter().map(|donor| completed(&base, donor, &missing)).chain([base.clone()]).collect();
    // Some rules are known to match or not, as they do here; what is tried are the completions of which that is true.
    let known: Matched = matched(&policy, &base)
        .into_iter()
        .enumerate()
        .filter(|(index, _)| told & (1 << (index % 16)) != 0)
        .map(|(_, rule)| rule)
        .collect();
    let all = all.into_iter().filter(|completion| {
        let fared = matched(&policy, completion);
        known.iter().all(|(rule, matches)| fared.get(rule) == Some(matches))
    });
    let all: Vec<Fixture> = all.collect();
    let found = knowing(&policy, &base, &missing, &known);
    for completion in &all {
        // It cannot know which of them it was asked about.
        prop_assert_eq!(&knowing(&policy, completion, &missing, &known), &found, "what is missing was looked at: {:?}", completion);
        let full = evaluate(&policy, completion);
        let Partially::Decided { decision, exact, custom } = &found else { continue };
        prop_assert_eq!(full.decision.verdict, decision.verdict, "{} {:?}", authorization, completion);
        if *exact {
            prop_assert_eq!(whole(&full.decision), whole(decision), "{} {:?}", authorization, completion);
        }
        if decision.verdict == Verdict::Allow {
            let providers =
                |checks: &[meshwright_policy::CustomCheck<'_>]| checks.iter().map(|check| check.provider.to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(providers(&full.custom), providers(custom));
        }
    }
    if missing.is_empty() {
        let complete =
            matches!(&found, Partially::Decided { decision, exact: true, .. } if whole(decision) == whole(&decide(&policy, &base)));
        prop_assert!(complete, "nothing is missing");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    /// So many rules that they are found by an index.
    #[test]
    fn what_is_decided_of_many_rules_holds_too(case in case(30, 3)) {
        holds(case)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_decided_holds_for_every_completion(case in case(5, 8)) {
        holds(case)?;
    }

    #[test]
    fn what_no_rule_looks_at_may_be_missing(base in request(), part in select(&["request.path", "source.ip", "connection.sni"][..])) {
        let policy = one("http", "ALLOW", &json!([{"to": [{"operation": {"methods": ["GET"]}}]}]));
        let found = partially(&policy, &base, &[part].into());
        prop_assert!(matches!(found, Partially::Decided { exact: true, .. }), "no rule looks at it");
    }
}

fn verdict(found: &Partially<'_>) -> Option<(Verdict, bool)> {
    match found {
        Partially::Decided { decision, exact, .. } => Some((decision.verdict, *exact)),
        Partially::Undecided(_) => None,
    }
}

#[test]
fn what_could_change_nothing_is_not_asked_for() {
    let path = |path: &str| json!({"to": [{"operation": {"paths": [path]}}]});
    let header = json!({"when": [{"key": "request.headers[x-a]", "values": ["1"]}]});
    let both = |mut rule: Value| {
        rule["when"] = header["when"].clone();
        rule
    };
    let request = Fixture::new().header(":path", "/a").header(":method", "GET");
    let missing: BTreeSet<&str> = ["request.headers[x-a]"].into();
    let certain = |verdict, exact| Some((verdict, exact));
    for (action, rules, expected) in [
        ("ALLOW", json!([path("/a"), header]), certain(Verdict::Allow, true)),
        ("ALLOW", json!([header, path("/a")]), certain(Verdict::Allow, false)),
        ("ALLOW", json!([path("/b"), both(path("/b"))]), certain(Verdict::Deny, true)),
        ("ALLOW", json!([both(path("/a"))]), None),
        ("DENY", json!([path("/a"), header]), certain(Verdict::Deny, true)),
        ("DENY", json!([header, path("/a")]), certain(Verdict::Deny, false)),
        ("DENY", json!([both(path("/b"))]), certain(Verdict::Allow, true)),
        ("DENY", json!([header]), None),
    ] {
        assert_eq!(verdict(&partially(&one("http", action, &rules), &request, &missing)), expected, "{action} {rules}");
    }
    // A DENY rule that may match, where nothing would allow it anyway.
    let both = json!([
        {"namespace": "ns", "name": "d", "action": "DENY", "rules": [header]},
        {"namespace": "ns", "name": "a", "action": "ALLOW", "rules": [path("/b")]},
    ]);
    assert_eq!(verdict(&partially(&compile("http", &both), &request, &missing)), certain(Verdict::Deny, false));
}

#[test]
fn what_is_missing_is_named_with_its_rule() {
    let rules = json!([
        {"to": [{"operation": {"paths": ["/b"]}}], "when": [{"key": "source.ip", "values": ["10.0.0.1"]}]},
        {"from": [{"source": {"ipBlocks": ["10.0.0.1"]}}], "when": [{"key": "request.headers[x-a]", "values": ["1"]}, {"key": "request.auth.claims[g][h]", "notValues": ["1"]}]},
    ]);
    let policy = one("http", "ALLOW", &rules);
    let request = Fixture::new().header(":path", "/a").claims(json!({"sub": "me"}));
    let named = |missing: &[&str]| {
        let Partially::Undecided(open) = partially(&policy, &request, &missing.iter().copied().collect()) else { panic!("decided") };
        open.iter().map(|open| (open.rule, open.missing.to_string())).collect::<Vec<_>>()
    };
    let of_rule = |name: &str| (Some(("ns/name", 1)), name.to_owned());
    assert_eq!(
        named(&["source.ip", "request.headers[x-a]", "claims"]),
        [of_rule("source.ip"), of_rule("request.headers[x-a]"), of_rule("request.auth.claims[g][h]")]
    );
    assert_eq!(named(&["source.ip", "token"]).last(), Some(&(None, "token".to_owned())));
}

#[test]
fn a_token_of_which_nothing_is_known_may_be_refused() {
    let request = Fixture::new().header(":path", "/a");
    let unknown = |action: &str| {
        verdict(&partially(&one("http", action, &json!([{"to": [{"operation": {"paths": ["/a"]}}]}])), &request, &["token"].into()))
    };
    assert_eq!((unknown("ALLOW"), unknown("DENY")), (None, Some((Verdict::Deny, false))));
    let refused = Fixture::new().header(":path", "/a").claims(json!({"iss": "https://nobody.test"}));
    let found = verdict(&partially(&one("http", "ALLOW", &json!([{}])), &refused, &["request.path"].into()));
    assert_eq!(found, Some((Verdict::Deny, true)), "nothing else matters then");
    let plaintext = Fixture::new().tcp();
    assert_eq!(plaintext.connection.peer, Peer::Plaintext);
    assert_eq!(verdict(&partially(&one("tcp", "ALLOW", &json!([{}])), &plaintext, &["token"].into())), Some((Verdict::Allow, true)));
}

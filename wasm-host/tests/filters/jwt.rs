//! Tokens with real signatures, checked by the module inside the host.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_wasm_host::{Host, Outcome, Plugin};
use serde_json::{Value, json};

use crate::support::*;

fn admins_only() -> Plugin {
    authz(policy("ALLOW", json!([{"when": [{"key": "request.auth.claims[groups]", "values": ["admin"]}]}])))
}

/// The same of tokens that go on to the app.
fn forwarding(host: &Host) -> Plugin {
    let keep = json!({"issuer": ISSUER, "jwks": jwks(), "forwardOriginalToken": true});
    let rules = policy("ALLOW", json!([{"when": [{"key": "request.auth.claims[groups]", "values": ["admin"]}]}]));
    host.plugin("authz", config_of("http", keep, rules).to_string().as_bytes()).name("authz")
}

fn with_token(plugin: &Plugin, token: &str) -> Outcome {
    plugin.request(bearer(from_cart("/"), token)).run().unwrap()
}

#[test]
fn a_good_token_passes_and_its_claims_go_on() {
    let claims = claims(json!({"groups": ["staff", "admin"]}));
    for token in [es256(&claims), eddsa(&claims)] {
        let outcome = with_token(&admins_only(), &token);
        assert_eq!(app_got(&outcome, "x-user"), Some("alice"));
        assert_eq!(app_got(&outcome, "authorization"), None, "not forwarded unless the rule says so");
        let payload = URL_SAFE_NO_PAD.decode(app_got(&outcome, "x-payload").unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), claims);
        let record = decision(&outcome.report);
        assert_eq!((&record["jwt_issuer"], &record["jwt_subject"]), (&json!(ISSUER), &json!("alice")));
    }
}

#[test]
fn a_good_token_without_the_claim_is_forbidden() {
    let outcome = with_token(&admins_only(), &es256(&claims(json!({"groups": ["staff"]}))));
    assert_eq!(denied(&outcome), (403, "RBAC: access denied"));
    let outcome = admins_only().request(from_cart("/")).run().unwrap();
    assert_eq!(denied(&outcome), (403, "RBAC: access denied"), "no token is no claims");
}

#[test]
fn a_bad_token_is_unauthorized_whatever_the_policy() {
    let good = es256(&claims(json!({})));
    let (text, signature) = good.rsplit_once('.').unwrap();
    let stripped = format!("{text}.");
    let forged = {
        let header = good.split('.').next().unwrap();
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims(json!({"sub": "root"})).to_string()))
    };
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims(json!({})).to_string()));
    let expired = es256(&claims(json!({"exp": NOW - 3600})));
    let early = es256(&claims(json!({"nbf": NOW + 3600})));
    for (what, token, body) in [
        ("forged", forged, "Jwt verification fails"),
        ("stripped", stripped, "Jwt verification fails"),
        ("appended", format!("{good}A"), "Jwt"),
        ("alg none", none, "Jwt"),
        ("expired", expired, "Jwt is expired"),
        ("not yet", early, "Jwt not yet valid"),
        ("another issuer", es256(&claims(json!({"iss": "https://else.test"}))), "Jwt issuer is not configured"),
        ("no token", "x".to_owned(), "Jwt is not in the form"),
    ] {
        let outcome = with_token(&authz(json!([])), &token);
        let (status, got) = denied(&outcome);
        assert!(status == 401 && got.starts_with(body), "{what}: {status} {got}");
        let challenge = outcome.local_reply.as_ref().unwrap().headers.text("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer realm=\"https://example.test/\""), "{what}: {challenge}");
    }
}

#[test]
fn a_token_of_a_megabyte_is_refused() {
    for token in ["a".repeat(1 << 20), format!("{}.{}.AAAA", "e".repeat(1 << 19), "e".repeat(1 << 19))] {
        let outcome = with_token(&authz(json!([])), &token);
        assert_eq!(denied(&outcome).0, 401);
        assert_eq!(outcome.report.traps, []);
    }
}

#[test]
fn what_the_policy_writes_is_never_heard_from_the_client() {
    let request = || from_cart("/").header("x-user", "root").header("x-user", "root2").header("x-payload", "forged");
    let open = authz(policy("ALLOW", json!([{}])));
    let outcome = open.request(request()).run().unwrap();
    assert_eq!((app_got(&outcome, "x-user"), app_got(&outcome, "x-payload")), (None, None), "without a token they are removed");
    let outcome = open.request(bearer(request(), &es256(&claims(json!({}))))).run().unwrap();
    assert_eq!(app_got(&outcome, "x-user"), Some("alice"));

    let by_header = authz(policy("ALLOW", json!([{"when": [{"key": "request.headers[x-user]", "values": ["root"]}]}])));
    assert_eq!(denied(&by_header.request(request()).run().unwrap()).0, 403, "nor do rules see them");
}

#[test]
fn a_verified_token_is_remembered_until_it_expires() {
    let mut worker = authz(json!([])).start().unwrap();
    let token = es256(&claims(json!({})));
    let verified = |worker: &mut meshwright_wasm_host::Worker| {
        let outcome = worker.request(bearer(from_cart("/"), &token));
        (outcome.status(), outcome.report.hostcalls.get("proxy_call_foreign_function").copied().unwrap_or(0))
    };
    assert_eq!(verified(&mut worker), (Some(200), 1));
    for _ in 0..3 {
        assert_eq!(verified(&mut worker), (Some(200), 0), "the signature is not checked again");
    }
    worker.advance(std::time::Duration::from_secs(1800 + 3600));
    assert_eq!(verified(&mut worker), (Some(401), 0), "the past is not forgotten");
}

/// What a request costs whose token was seen before: a read of its headers, the time, and the record of the decision.
#[test]
fn a_known_token_costs_three_host_calls() {
    let mut worker = admins_only().start().unwrap();
    let token = es256(&claims(json!({"groups": ["admin"]})));
    let mut forwarding = forwarding(&HOST).start().unwrap();
    for (worker, more) in [(&mut forwarding, 0), (&mut worker, 3)] {
        worker.request(bearer(from_cart("/"), &token));
        let warm = worker.request(bearer(from_cart("/"), &token)).report;
        let expected = [("proxy_get_current_time_nanoseconds", 1), ("proxy_get_header_map_pairs", 1), ("proxy_set_property", 1)];
        let changes = ["proxy_remove_header_map_value", "proxy_replace_header_map_value"];
        let of_changes: u64 = changes.iter().filter_map(|name| warm.hostcalls.get(name)).sum();
        assert_eq!(of_changes, more, "one for each header that is set or removed");
        let others: Vec<(&str, u64)> =
            warm.hostcalls.iter().filter(|(name, _)| !changes.contains(name)).map(|(name, count)| (*name, *count)).collect();
        assert_eq!(others, expected);
    }
}

const PAGE: u64 = 64 * 1024;

/// Beside what the host's check of the signature takes.
#[test]
fn a_new_token_costs_so_many_instructions() {
    let mut worker = forwarding(&METERED).start().unwrap();
    let mut cost = |subject: &str| {
        let token = es256(&claims(json!({"groups": ["admin"], "sub": subject})));
        worker.request(bearer(from_cart("/"), &token)).report.cost
    };
    cost("first");
    let new = cost("other");
    assert!(new.fuel.unwrap() < 45_000, "{new:?}");
    assert!(new.memory < 20 * PAGE, "{new:?}");
}

/// About one instruction for each of the fuel: the same on every machine. What a request costs grows only on purpose.
#[test]
fn a_known_token_costs_few_instructions_and_a_known_request_fewer() {
    let mut worker = forwarding(&METERED).start().unwrap();
    let token = es256(&claims(json!({"groups": ["admin"]})));
    worker.request(bearer(from_cart("/"), &token));
    let again = worker.request(bearer(from_cart("/"), &token)).report.cost;
    assert!(again.fuel.unwrap() < 2_900, "{again:?}");
    let warm = worker.request(bearer(from_cart("/else"), &token)).report.cost;
    assert!(warm.fuel.unwrap() < 10_500, "{warm:?}");
    for cost in [again, warm] {
        assert_eq!(cost.allocations, 1, "for the headers");
        assert!(cost.memory < 20 * PAGE, "{cost:?}");
    }
}

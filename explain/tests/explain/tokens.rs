//! Tokens: who is taken for whom, at which time, and what the app is told.

use serde_json::{Value, json};

use crate::support::*;

fn documents() -> String {
    let rules = json!([{"from": [{"source": {"requestPrincipals": [format!("{ISSUER}/*")]}}]}]);
    mesh("") + &tokens(&json!({})) + &policy("users", "ALLOW", &rules)
}

fn with_headers(documents: &str, headers: &Value) -> Value {
    let mut case = case(documents);
    case["request"]["headers"] = headers.clone();
    case
}

fn bearer(claims: &Value) -> String {
    format!("Bearer {}", token(claims))
}

#[test]
fn a_verified_token_is_told_and_its_claims_reach_the_app() {
    let headers = json!([["x-user", "root"], ["Authorization", bearer(&json!({"sub": "alice"}))], ["a", "b"], ["X-User", "admin"]]);
    let answer = answer(&with_headers(&documents(), &headers));
    assert_eq!((&answer["decision"], &answer["status"]), (&json!("allow"), &json!(200)));
    assert_eq!(answer["requestPrincipal"], format!("{ISSUER}/alice"));
    assert_eq!(answer["requestHeaders"], json!([["a", "b"], ["x-user", "alice"]]));
}

#[test]
fn without_a_token_what_only_tokens_may_set_is_gone() {
    let answer = answer(&with_headers(&(mesh("") + &tokens(&json!({}))), &json!([["x-user", "root"], ["a", "b"]])));
    assert_eq!(
        (&answer["decision"], &answer["requestHeaders"], &answer["requestPrincipal"]),
        (&json!("allow"), &json!([["a", "b"]]), &Value::Null)
    );
}

#[test]
fn a_token_that_is_not_good_is_401_and_a_wrong_audience_403() {
    let documents = mesh("") + &tokens(&json!({"audiences": ["cart"]}));
    let forged = bearer(&json!({"sub": "alice", "aud": "cart"})).replace("Bearer e", "Bearer f");
    for (authorization, status, reason) in [
        (forged, 401, "jwt_header_bad_json"),
        (bearer(&json!({"aud": "cart", "exp": NOW - 3600})), 401, "jwt_expired"),
        (bearer(&json!({"aud": "cart", "nbf": NOW + 3600})), 401, "jwt_not_yet_valid"),
        (bearer(&json!({"aud": "other"})), 403, "jwt_audience_not_allowed"),
    ] {
        let answer = answer(&with_headers(&documents, &json!([["authorization", authorization]])));
        assert_eq!((&answer["decision"], &answer["status"], &answer["reason"]), (&json!("deny"), &json!(status), &json!(reason)));
        assert_eq!(answer["requestPrincipal"], Value::Null);
    }
}

#[test]
fn each_case_has_its_own_time_whatever_came_before() {
    let authorization = bearer(&json!({"sub": "alice", "nbf": NOW, "exp": NOW + 600}));
    let mut case = with_headers(&documents(), &json!([["authorization", authorization]]));
    for mut explainer in [native(), wasm()] {
        for (time, reason) in [
            ("2026-01-01T00:05:00Z", "allow_rule_matched"),
            ("2026-01-01T01:00:00Z", "jwt_expired"),
            ("2026-01-01T00:05:00Z", "allow_rule_matched"),
            ("2025-12-31T23:00:00Z", "jwt_not_yet_valid"),
            ("2026-01-01T02:05:00+02:00", "allow_rule_matched"),
        ] {
            case["now"] = json!(time);
            let answer = serde_json::to_value(explainer.answer_line(case.to_string().as_bytes(), 0)).unwrap();
            assert_eq!(answer["reason"], reason, "{time}");
        }
        case["now"] = Value::Null;
        let answer = serde_json::to_value(explainer.answer_line(case.to_string().as_bytes(), NOW + 60)).unwrap();
        assert_eq!(answer["reason"], "allow_rule_matched", "the machine's time, as the caller tells it");
    }
}

#[test]
fn a_token_in_a_parameter_or_cookie_is_taken_out_on_the_way() {
    let documents = mesh("") + &tokens(&json!({"fromParams": ["t"], "fromCookies": ["c"]}));
    let token = token(&json!({"sub": "alice"}));
    let mut case = case(&documents);
    case["request"]["path"] = json!(format!("/a?t={token}&b=1"));
    assert_eq!(answer(&case)["path"], "/a");
    case["request"]["path"] = json!("/a");
    case["request"]["headers"] = json!([["cookie", format!("a=1; c={token}")]]);
    assert_eq!(answer(&case)["requestHeaders"], json!([["cookie", "a=1"], ["x-user", "alice"]]));
}

#[test]
fn a_token_without_subject_is_nobodys_principal() {
    let answer = answer(&with_headers(&documents(), &json!([["authorization", bearer(&json!({}))]])));
    assert_eq!((&answer["decision"], &answer["requestPrincipal"]), (&json!("deny"), &Value::Null));
}

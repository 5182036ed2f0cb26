//! Peers that a deny list refuses: the same answer of both engines, before any token or rule, for as long as the entry says.

use meshwright_explain::Case;
use serde_json::{Value, json};

use crate::support::*;

const WEB: &str = "spiffe://mesh.test/ns/shop/sa/web";

fn list(entries: &Value) -> String {
    let document = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "IdentityDenyList", "metadata": {"namespace": "shop", "name": "list"},
        "spec": {"entries": entries}});
    format!("---\n{document}\n")
}

fn reason(mut case: Value, change: impl FnOnce(&mut Value)) -> String {
    change(&mut case);
    answer(&case)["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_list_decides_before_tokens_and_rules() {
    let rules = policy("all", "ALLOW", &json!([{}]));
    let documents = |entries| mesh("") + &rules + &tokens(&json!({})) + &list(&entries);
    let denying = documents(json!([{"spiffeId": "spiffe://mesh.test/ns/shop/*"}, {"serial": "0A:F0"}]));
    for case in [case(&denying), tcp_case(&denying)] {
        let tls = |principal: &'static str, serial: &'static str| {
            move |case: &mut Value| case["connection"]["tls"] = json!({"principal": principal, "serial": serial})
        };
        assert_eq!(reason(case.clone(), |_| ()), "peer_identity_denied");
        assert_eq!(reason(case.clone(), tls("spiffe://mesh.test/ns/bank/sa/web", "af")), "allow_rule_matched");
        assert_eq!(reason(case.clone(), tls("spiffe://mesh.test/ns/bank/sa/web", "00AF0")), "peer_serial_denied");
        assert_eq!(reason(case, |case| case["connection"]["tls"] = Value::Null), "allow_rule_matched", "plaintext has no identity");
    }
    let mut with_token = case(&denying);
    for token in [token(&json!({"sub": "ada"})), "nonsense".to_owned()] {
        with_token["request"]["headers"] = json!([["authorization", format!("Bearer {token}")]]);
        let answer = answer(&with_token);
        assert_eq!(
            (&answer["status"], &answer["reason"], &answer["requestPrincipal"]),
            (&json!(403), &json!("peer_identity_denied"), &Value::Null)
        );
    }
}

#[test]
fn an_entry_holds_until_its_time_and_the_order_of_questions_does_not_matter() {
    let documents =
        mesh("") + &list(&json!([{"spiffeId": WEB, "until": "2026-01-31T00:00:00Z"}, {"serial": "0b", "until": "2026-03-01T00:00:00Z"}]));
    let asked = [
        ("2026-01-30T23:59:59Z", "peer_identity_denied"),
        ("2026-01-31T00:00:00Z", "no_allow_policy"),
        ("2026-01-01T00:00:00Z", "peer_identity_denied"),
    ];
    for mut explainer in [native(), wasm()] {
        for (now, expected) in asked {
            let mut case = case(&documents);
            case["now"] = json!(now);
            let answer = serde_json::to_value(explainer.answer_line(case.to_string().as_bytes(), NOW)).unwrap();
            assert_eq!(answer["reason"], expected, "{now}");
        }
    }
}

#[test]
fn the_story_names_the_list_and_its_reason() {
    let documents = mesh("") + &list(&json!([{"spiffeId": WEB, "reason": "its key was in a backup"}]));
    let case = Case::from_json(case(&documents).to_string().as_bytes()).unwrap();
    let story = native().story(&case, NOW).to_string();
    assert!(story.starts_with("DENY 403: peer_identity_denied\n"), "{story}");
    assert!(story.contains(&format!("IdentityDenyList shop/list denies {WEB}: its key was in a backup")), "{story}");
}

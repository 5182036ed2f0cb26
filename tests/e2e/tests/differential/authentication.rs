//! RequestAuthentications as Envoy's jwt_authn filter, the way that Istio generates it. A field without a translation fails the test.

use serde_json::{Map, Value, json};

/// The filter; none when there is no JWT rule.
pub(crate) fn jwt_authn(documents: &[Value]) -> Option<Value> {
    let mut rules: Vec<&Value> = documents.iter().flat_map(|document| document["jwt_rules"].as_array().unwrap()).collect();
    // All that apply are one list, in the order of their issuers.
    rules.sort_by_key(|rule| rule["issuer"].as_str().unwrap());
    let providers: Map<String, Value> =
        rules.iter().enumerate().map(|(index, rule)| (format!("origins-{index}"), provider(rule.as_object().unwrap()))).collect();
    let named: Vec<Value> = (0..rules.len()).map(|index| json!({"provider_name": format!("origins-{index}")})).collect();
    let any = |list: &[Value]| json!({"requires_any": {"requirements": list}});
    let or_missing = |one: &Value| any(&[one.clone(), json!({"allow_missing": {}})]);
    let requires = match named.as_slice() {
        [] => return None,
        [only] => or_missing(only),
        // One rule whose tokens are good suffices; with none, each rule must find no token.
        several => {
            let each = json!({"requires_all": {"requirements": several.iter().map(or_missing).collect::<Vec<_>>()}});
            any(&several.iter().cloned().chain([each]).collect::<Vec<_>>())
        }
    };
    Some(json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": providers, "rules": [{"match": {"prefix": "/"}, "requires": requires}], "bypass_cors_preflight": true,
        },
    }))
}

fn provider(rule: &Map<String, Value>) -> Value {
    let mut provider = json!({
        "forward": false, "payload_in_metadata": "payload", "jwt_cache_config": {},
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]},
    });
    for (field, value) in rule {
        let (name, value) = match field.as_str() {
            "issuer" => ("issuer", value.clone()),
            "audiences" => ("audiences", value.clone()),
            "jwks" => ("local_jwks", json!({"inline_string": value})),
            "forwardOriginalToken" => ("forward", value.clone()),
            "outputPayloadToHeader" => ("forward_payload_header", value.clone()),
            "fromParams" => ("from_params", value.clone()),
            "fromCookies" => ("from_cookies", value.clone()),
            "fromHeaders" => {
                let header = |one: &Value| {
                    let prefix = one["prefix"].as_str().unwrap_or_default();
                    json!({"name": one["name"], "value_prefix": prefix})
                };
                ("from_headers", value.as_array().unwrap().iter().map(header).collect())
            }
            "outputClaimToHeaders" => {
                let claim = |one: &Value| json!({"header_name": one["header"], "claim_name": one["claim"]});
                ("claim_to_headers", value.as_array().unwrap().iter().map(claim).collect())
            }
            _ => panic!("no translation of {field}"),
        };
        provider[name] = value;
    }
    provider
}

//! The policies that are compared: for each, what our module is given and what Envoy's own filters are given. Both mean the same.

use serde_json::{Map, Value, json};

use crate::filters::ISSUER;

const CLAIM: &str = "groups";
pub(crate) const GROUP: &str = "customer";

/// The same policies in both languages.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    /// The module's configuration.
    pub(crate) ours: Value,
    /// `policies` of an RBAC filter.
    pub(crate) native: Value,
}

/// One policy: a valid token with the claim may GET /books*.
pub(crate) fn with_token(jwks: &str) -> Policies {
    let claim = json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, {"key": CLAIM}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": GROUP}}}},
    }});
    let native = json!({"ns[bench]-policy[books]-rule[0]": {
        "permissions": [permission("GET", json!({"prefix": "/books"}))],
        "principals": [{"and_ids": {"ids": [any_id([claim])]}}],
    }});
    let ours = json!({
        "version": 1, "protocol": "http", "trust_domain": "bench.local", "log_in_vm": true,
        "request_authentication": [{"namespace": "bench", "name": "tokens", "jwt_rules": [
            {"issuer": ISSUER, "jwks": jwks, "forwardOriginalToken": true},
        ]}],
        "authorization": [{"namespace": "bench", "name": "books", "action": "ALLOW", "rules": [{
            "to": [{"operation": {"methods": ["GET"], "paths": ["/books*"]}}],
            "when": [{"key": format!("request.auth.claims[{CLAIM}]"), "values": [GROUP]}],
        }]}],
    });
    Policies { ours, native }
}

/// What a request that policy `index` allows carries beside its path.
pub(crate) fn tenant(index: usize) -> String {
    format!("tenant-{}", index % 100)
}

/// A path that only policy `index` of [`many`] has.
pub(crate) fn path(index: usize) -> String {
    format!("/shelf-{index}/book")
}

/// `count` ALLOW policies of one rule each: a method and a path, exact and prefix in turn, and a header or a source in turn. `first` is the
/// path of one more before them, which anyone may GET.
pub(crate) fn many(count: usize, first: Option<&str>) -> Policies {
    let mut ours = Vec::new();
    let mut native = Map::new();
    let mut add = |number: usize, rule: Value, permission: Value, principal: Value| {
        // RBAC tries its policies in the order of their names, the module in the order of the list.
        let name = format!("p{number:06}");
        ours.push(json!({"namespace": "bench", "name": name, "action": "ALLOW", "rules": [rule]}));
        native.insert(format!("ns[bench]-policy[{name}]-rule[0]"), json!({"permissions": [permission], "principals": [principal]}));
    };
    if let Some(path) = first {
        let rule = json!({"to": [{"operation": {"methods": ["GET"], "paths": [path]}}]});
        add(0, rule, permission("GET", json!({"exact": path})), json!({"any": true}));
    }
    for index in 0..count {
        let (pattern, native_path) = match index % 2 {
            0 => (path(index), json!({"exact": path(index)})),
            _ => (format!("/shelf-{index}/*"), json!({"prefix": format!("/shelf-{index}/")})),
        };
        let mut rule = json!({"to": [{"operation": {"methods": ["GET"], "paths": [pattern]}}]});
        let alternatives = if index % 2 == 0 {
            add_field(&mut rule, "when", json!([{"key": "request.headers[x-tenant]", "values": [tenant(index)]}]));
            any_id([json!({"header": {"name": "x-tenant", "string_match": {"exact": tenant(index)}}})])
        } else {
            let other = format!("10.{}.{}.0", index / 256 % 256, index % 256);
            add_field(&mut rule, "from", json!([{"source": {"ipBlocks": ["127.0.0.0/8", format!("{other}/24")]}}]));
            any_id(
                [("127.0.0.0", 8), (&other, 24)]
                    .map(|(address, length)| json!({"direct_remote_ip": {"address_prefix": address, "prefix_len": length}})),
            )
        };
        add(index.saturating_add(1), rule, permission("GET", native_path), json!({"and_ids": {"ids": [alternatives]}}));
    }
    let ours = json!({"version": 1, "protocol": "http", "trust_domain": "bench.local", "log_in_vm": true, "authorization": ours});
    Policies { ours, native: Value::Object(native) }
}

/// The shape that Istio gives to an operation.
fn permission(method: &str, path: Value) -> Value {
    json!({"and_rules": {"rules": [
        {"or_rules": {"rules": [{"header": {"name": ":method", "string_match": {"exact": method}}}]}},
        {"or_rules": {"rules": [{"url_path": {"path": path}}]}},
    ]}})
}

fn any_id(ids: impl IntoIterator<Item = Value>) -> Value {
    json!({"or_ids": {"ids": ids.into_iter().collect::<Vec<_>>()}})
}

fn add_field(rule: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = rule {
        fields.insert(name.to_owned(), value);
    }
}

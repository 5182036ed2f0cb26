//! AuthorizationPolicies as Envoy's RBAC filter, the way that Istio generates it: one filter for each action, one entry for each rule.
//! A field without a translation fails the test.

use serde_json::{Map, Value, json};

/// The filter of one action; none when no policy has it.
pub(crate) fn rbac(policies: &[Value], action: &str) -> Option<Value> {
    let mut entries = Map::new();
    for policy in policies.iter().filter(|policy| policy["action"] == action) {
        let key = format!("ns[{}]-policy[{}]", policy["namespace"].as_str().unwrap(), policy["name"].as_str().unwrap());
        let rules = policy["rules"].as_array().cloned().unwrap_or_default();
        if rules.is_empty() {
            // A policy without rules is there and never matches.
            let never = json!({"permissions": [{"not_rule": {"any": true}}], "principals": [{"not_id": {"any": true}}]});
            entries.insert(key.clone(), never);
        }
        for (index, rule) in rules.iter().enumerate() {
            entries.insert(format!("{key}-rule[{index}]"), entry(rule));
        }
    }
    (!entries.is_empty()).then(|| {
        json!({
            "name": format!("rbac-{}", action.to_lowercase()),
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {"action": action, "policies": entries},
            },
        })
    })
}

/// RBAC asks for one of the permissions and one of the principals; `when` is a part of each alternative.
fn entry(rule: &Value) -> Value {
    let (mut when_rules, mut when_ids) = (Vec::new(), Vec::new());
    for condition in rule["when"].as_array().into_iter().flatten() {
        let key = condition["key"].as_str().unwrap();
        for (list, negated) in [(&condition["values"], false), (&condition["notValues"], true)] {
            let Some(values) = list.as_array() else { continue };
            match key {
                "destination.port" => when_rules.push(any_rule(values, negated, port)),
                "destination.ip" => when_rules.push(any_rule(values, negated, |value| json!({"destination_ip": cidr(value)}))),
                "connection.sni" => when_rules.push(any_rule(values, negated, |value| json!({"requested_server_name": text(value)}))),
                _ => when_ids.push(any_id(values, negated, |value| condition_id(key, value))),
            }
        }
    }
    let alternatives = |list: &Value, name: &str, field: &dyn Fn(&str, &[Value], bool) -> Value, when: &[Value]| -> Vec<Vec<Value>> {
        let fields = |one: &Value| {
            let given = one[name].as_object().unwrap().iter();
            let matched = given.map(|(key, values)| {
                let (key, negated) = positive(key);
                field(&key, values.as_array().unwrap(), negated)
            });
            matched.chain(when.iter().cloned()).collect()
        };
        list.as_array().map_or_else(|| vec![when.to_vec()], |list| list.iter().map(fields).collect())
    };
    let operation = |key: &str, values: &[Value], negated: bool| any_rule(values, negated, |value| operation_rule(key, value));
    let source = |key: &str, values: &[Value], negated: bool| any_id(values, negated, |value| source_id(key, value));
    let permissions = alternatives(&rule["to"], "operation", &operation, &when_rules);
    let principals = alternatives(&rule["from"], "source", &source, &when_ids);
    let all =
        |parts: Vec<Value>, and: &str, inner: &str| if parts.is_empty() { json!({"any": true}) } else { json!({and: {inner: parts}}) };
    json!({
        "permissions": permissions.into_iter().map(|parts| all(parts, "and_rules", "rules")).collect::<Vec<_>>(),
        "principals": principals.into_iter().map(|parts| all(parts, "and_ids", "ids")).collect::<Vec<_>>(),
    })
}

/// `notPaths` is `paths`, negated.
fn positive(key: &str) -> (String, bool) {
    match key.strip_prefix("not") {
        Some(rest) => (format!("{}{}", rest[..1].to_lowercase(), &rest[1..]), true),
        None => (key.to_owned(), false),
    }
}

fn any_rule(values: &[Value], negated: bool, one: impl Fn(&str) -> Value) -> Value {
    let any = json!({"or_rules": {"rules": values.iter().map(|value| one(value.as_str().unwrap())).collect::<Vec<_>>()}});
    if negated { json!({"not_rule": any}) } else { any }
}

fn any_id(values: &[Value], negated: bool, one: impl Fn(&str) -> Value) -> Value {
    let any = json!({"or_ids": {"ids": values.iter().map(|value| one(value.as_str().unwrap())).collect::<Vec<_>>()}});
    if negated { json!({"not_id": any}) } else { any }
}

fn operation_rule(field: &str, value: &str) -> Value {
    match field {
        "hosts" => json!({"header": header(":authority", value, true)}),
        "methods" => json!({"header": header(":method", value, false)}),
        "ports" => port(value),
        "paths" if value.contains('{') => {
            let template = value.replace("{**}", "**").replace("{*}", "*");
            json!({"uri_template": {
                "name": "template",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
                    "path_template": template,
                },
            }})
        }
        "paths" => json!({"url_path": {"path": text(value)}}),
        _ => panic!("no translation of operation.{field}"),
    }
}

fn source_id(field: &str, value: &str) -> Value {
    match field {
        "principals" => condition_id("source.principal", value),
        "namespaces" => condition_id("source.namespace", value),
        "requestPrincipals" => condition_id("request.auth.principal", value),
        "ipBlocks" => condition_id("source.ip", value),
        "remoteIpBlocks" => condition_id("remote.ip", value),
        _ => panic!("no translation of source.{field}"),
    }
}

fn condition_id(key: &str, value: &str) -> Value {
    let bracketed = |prefix: &str| key.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(']'));
    match key {
        // Nobody has a certificate here: only that no name of a peer ever matches is compared.
        "source.principal" => json!({"authenticated": {"principal_name": text(value)}}),
        "source.namespace" => json!({"authenticated": {"principal_name": {"contains": format!("/ns/{}/", value.trim_matches('*'))}}}),
        "source.ip" => json!({"direct_remote_ip": cidr(value)}),
        "remote.ip" => json!({"remote_ip": cidr(value)}),
        "request.auth.principal" => request_principal(value),
        "request.auth.audiences" => claim(&["aud"], value),
        "request.auth.presenter" => claim(&["azp"], value),
        _ => match (bracketed("request.headers["), bracketed("request.auth.claims[")) {
            (Some(name), _) => json!({"header": header(name, value, false)}),
            _ if key.starts_with("experimental.") => told(key, value),
            (_, Some(path)) => claim(&path.split("][").collect::<Vec<_>>(), value),
            _ => panic!("no translation of {key}"),
        },
    }
}

/// `v` is exact, `v*` a prefix, `*v` a suffix, `*` anything but nothing.
fn text(value: &str) -> Value {
    match (value, value.strip_prefix('*'), value.strip_suffix('*')) {
        ("*", ..) => json!({"safe_regex": {"regex": ".+"}}),
        (_, Some(suffix), _) => json!({"suffix": suffix}),
        (_, _, Some(prefix)) => json!({"prefix": prefix}),
        _ => json!({"exact": value}),
    }
}

fn header(name: &str, value: &str, ignore_case: bool) -> Value {
    if value == "*" {
        return json!({"name": name, "present_match": true});
    }
    let mut matcher = text(value);
    if ignore_case {
        matcher["ignore_case"] = json!(true);
    }
    json!({"name": name, "string_match": matcher})
}

fn port(value: &str) -> Value {
    json!({"destination_port": value.parse::<u16>().unwrap()})
}

fn cidr(value: &str) -> Value {
    let whole = if value.contains(':') { 128 } else { 32 };
    let (address, length) = value.split_once('/').map_or((value, whole), |(address, length)| (address, length.parse().unwrap()));
    json!({"address_prefix": address, "prefix_len": length})
}

/// A part of the verified token, which jwt_authn leaves in its metadata.
fn payload(path: &[&str], value: Value) -> Value {
    let path: Vec<Value> = std::iter::once(&"payload").chain(path).map(|key| json!({"key": key})).collect();
    json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value}})
}

/// A string, or one of a list.
fn claim(path: &[&str], value: &str) -> Value {
    let string = json!({"string_match": text(value)});
    payload(path, json!({"or_match": {"value_matchers": [string, {"list_match": {"one_of": string}}]}}))
}

/// What another filter has said: a string, or with brackets one of a list.
fn told(key: &str, value: &str) -> Value {
    let (filter, name) = key["experimental.".len()..].trim_end_matches(']').split_once('[').unwrap();
    let string = |value: &str| json!({"string_match": text(value)});
    let matcher = match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(item) => json!({"list_match": {"one_of": string(item)}}),
        None => string(value),
    };
    json!({"metadata": {"filter": filter, "path": [{"key": name}], "value": matcher}})
}

/// Split at the last `/`, each part by itself; a star counts at the very start and the very end only.
fn request_principal(value: &str) -> Value {
    let parts = |issuer: Value, subject: Value| {
        let part = |name: &str, matcher| payload(&[name], json!({"string_match": matcher}));
        json!({"and_ids": {"ids": [part("iss", issuer), part("sub", subject)]}})
    };
    let any = || text("*");
    match (value, value.rsplit_once('/')) {
        ("*", _) => parts(any(), any()),
        (_, Some((issuer, subject))) if value.starts_with('*') => parts(text(issuer), json!({"exact": subject})),
        (_, Some((issuer, subject))) => parts(json!({"exact": issuer}), text(subject)),
        (_, None) if value.starts_with('*') => parts(any(), text(value)),
        (_, None) if value.ends_with('*') => parts(text(value), any()),
        (_, None) => parts(json!({"exact": value}), json!({"exact": ""})),
    }
}

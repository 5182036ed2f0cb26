//! The wire format both ways.

use meshwright_policy::{Policy, wire};
use serde_json::{Value, json};

use crate::keys;

fn everything() -> Value {
    let list = || json!(["a"]);
    json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test", "trust_domain_aliases": ["old.test"],
        "mutual_tls": {"required": true, "except": [80, 65535]},
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [{
            "issuer": "i", "audiences": list(), "jwks": keys::JWKS, "fromHeaders": [{"name": "x-a", "prefix": "P "}, {"name": "x-b"}],
            "fromParams": list(), "fromCookies": list(), "outputPayloadToHeader": "x-p",
            "outputClaimToHeaders": [{"header": "x-c", "claim": "c.d"}], "forwardOriginalToken": true, "spaceDelimitedClaims": list(),
        }]}],
        "authorization": [{"namespace": "ns", "name": "a", "action": "ALLOW", "rules": [{
            "from": [
                {"source": {
                    "principals": list(), "notPrincipals": list(), "requestPrincipals": ["i/s"], "notRequestPrincipals": ["i/t"],
                    "namespaces": list(), "notNamespaces": list(), "trustDomains": list(), "notTrustDomains": list(),
                    "ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.0.0.1"], "remoteIpBlocks": ["::/0"], "notRemoteIpBlocks": ["::1"],
                }},
                {"source": {"serviceAccounts": list(), "notServiceAccounts": ["ns/b"]}},
            ],
            "to": [{"operation": {
                "hosts": list(), "notHosts": list(), "ports": ["80"], "notPorts": ["81"], "methods": list(), "notMethods": list(),
                "paths": ["/{*}"], "notPaths": ["/a"],
            }}],
            "when": [{"key": "request.headers[x]", "values": list(), "notValues": list()}],
        }]}, {"namespace": "ns", "name": "d", "action": "DENY", "rules": [{}]}],
    })
}

#[test]
fn what_is_read_is_written_again() {
    let config: wire::AuthzConfig = serde_json::from_value(everything()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), everything());
    Policy::compile(config).unwrap();
}

#[test]
fn what_is_absent_is_not_written() {
    let least = json!({"version": 1, "protocol": "tcp", "trust_domain": "mesh.test"});
    let config: wire::AuthzConfig = serde_json::from_value(least.clone()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), least);
    let policy = Policy::compile(config).unwrap();
    assert_eq!((policy.protocol(), policy.owned_headers().len(), policy.verifies_tokens()), (wire::Protocol::Tcp, 0, false));
}

/// The place of every value in `value`.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| places(inner, &format!("{path}/{name}"), found)),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, inner)| places(inner, &format!("{path}/{index}"), found)),
        _ => {}
    }
}

/// What the module reads, and what serde makes of the same; they agree on all but objects that are written as lists.
fn both(text: &str) -> Option<wire::AuthzConfig> {
    let (own, derived) = (wire::AuthzConfig::from_json(text.as_bytes()).ok(), serde_json::from_str::<wire::AuthzConfig>(text).ok());
    assert_eq!(own, derived, "{text}");
    own
}

#[test]
fn the_module_reads_what_serde_reads() {
    let all = everything();
    assert!(both(&all.to_string()).is_some() && both(&format!("{all:#}")).is_some());
    let mut found = Vec::new();
    places(&all, "", &mut found);
    let mut taken = 0;
    for path in &found {
        for other in [json!(null), json!(1), json!(65536), json!(-1), json!(1.5), json!("a"), json!(true), json!({})] {
            let mut changed = all.clone();
            *changed.pointer_mut(path).unwrap() = other;
            taken += usize::from(both(&changed.to_string()).is_some());
        }
        let Some((object, name)) = path.rsplit_once('/') else { continue };
        let mut without = all.clone();
        if let Some(Value::Object(members)) = without.pointer_mut(object) {
            members.remove(name);
            both(&without.to_string());
            let (text, member) = (all.to_string(), format!("{}:", json!(name)));
            both(&text.replacen(&member, &format!("{member}null,{member}"), 1));
        }
    }
    assert!(found.len() > 100 && taken > 90, "{} {taken}", found.len());
}

/// Every object on every level refuses a member that it does not know.
#[test]
fn unknown_fields_are_refused_everywhere() {
    let mut found = Vec::new();
    places(&everything(), "", &mut found);
    found.retain(|path| everything().pointer(path).unwrap().is_object());
    assert_eq!(found.len(), 18, "{found:?}");
    for path in found {
        let mut config = everything();
        config.pointer_mut(&path).unwrap()["surprise"] = json!(1);
        let error = Policy::from_json(config.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("unknown field `surprise`"), "{path}: {error}");
    }
}

#[test]
fn other_versions_and_what_is_no_json() {
    for (bytes, message) in [
        (b"".as_slice(), "configuration: not a policy of version 1: expected `{` at byte 0"),
        (b"\xff", "configuration: not a policy of version 1: expected `{` at byte 0"),
        (b"[]", "configuration: not a policy of version 1: "),
        (br#"{"version": 2, "protocol": "http", "trust_domain": "a"}"#, "version: found 2; 1 is allowed"),
        (
            br#"{"version": 1, "protocol": "tcp", "trust_domain": "a", "log_in_vm": true}"#,
            "log_in_vm: found true; false is allowed for TCP",
        ),
        (
            br#"{"version": 1, "version": 1, "protocol": "http", "trust_domain": "a"}"#,
            "configuration: not a policy of version 1: duplicate",
        ),
        (br#"{"version": 1, "protocol": "udp", "trust_domain": "a"}"#, "configuration: not a policy of version 1: unknown variant"),
        (br#"{"version": 1, "protocol": "http"}"#, "configuration: not a policy of version 1: missing field `trust_domain`"),
        (br#"{"version": 1, "protocol": "http", "trust_domain": "A"}"#, "trust_domain: found `A`; "),
        (br#"{"version": 1, "protocol": "http", "trust_domain": "a"} x"#, "configuration: not a policy of version 1: trailing"),
    ] {
        let error = Policy::from_json(bytes).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn the_access_logs_configuration_too() {
    let config = json!({
        "version": 1, "direction": "inbound", "protocol": "http", "namespace": "shop", "workload": "cart-1", "service": "cart.test",
        "principal": "spiffe://mesh.test/ns/shop/sa/cart", "trust_domain": "mesh.test",
    });
    let read = wire::AccessLogConfig::from_json(config.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_value::<wire::AccessLogConfig>(config.clone()).unwrap(), read);
    assert_eq!(serde_json::to_value(read).unwrap(), config);
    for name in config.as_object().unwrap().keys() {
        let mut without = config.clone();
        without.as_object_mut().unwrap().remove(name);
        let read = wire::AccessLogConfig::from_json(without.to_string().as_bytes());
        assert_eq!(read.is_ok(), name == "service", "{name}");
        assert_eq!(read.ok(), serde_json::from_value(without).ok());
    }
}

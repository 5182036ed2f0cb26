//! The wire format both ways.

use meshwright_policy::{Policy, wire};
use serde_json::{Value, json};

use crate::keys;

fn everything() -> Value {
    let list = || json!(["a"]);
    json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test", "trust_domain_aliases": ["old.test"],
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

/// Every object on every level refuses a member that it does not know.
#[test]
fn unknown_fields_are_refused_everywhere() {
    fn spots(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.push(path.to_owned());
                members.iter().for_each(|(name, inner)| spots(inner, &format!("{path}/{name}"), found));
            }
            Value::Array(list) => list.iter().enumerate().for_each(|(index, inner)| spots(inner, &format!("{path}/{index}"), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    spots(&everything(), "", &mut found);
    assert_eq!(found.len(), 17, "{found:?}");
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
        (b"".as_slice(), "configuration: not a policy of version 1: EOF"),
        (b"\xff", "configuration: not a policy of version 1: expected value"),
        (b"[]", "configuration: not a policy of version 1: "),
        (br#"{"version": 2, "protocol": "http", "trust_domain": "a"}"#, "version: found 2; 1 is allowed"),
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
    let read: wire::AccessLogConfig = serde_json::from_value(config.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), config);
}

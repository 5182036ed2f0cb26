//! The module in a real Envoy: what only Envoy can show, namely which attributes and callbacks there really are. What is decided is tested
//! in `meshwright-policy`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

#[path = "support/bootstrap.rs"]
mod bootstrap;
#[path = "support/envoy.rs"]
mod envoy;
#[path = "support/issuer.rs"]
mod issuer;
#[path = "envoy/log_in_vm.rs"]
mod log_in_vm;
#[path = "support/pki.rs"]
mod pki;

use std::io::{Read as _, Write as _};

use bootstrap::{bootstrap, http, http_filters, http_wasm, plugin, tcp};
use envoy::{Envoy, greeting_app, http_app, tells_end_of_handshake};
use issuer::Issuer;
use pki::{Pki, read_all, request, tcp as connect};
use serde_json::{Value, json};

const ORDERS: &str = "spiffe://mesh.local/ns/shop/sa/orders";
const CATALOG: &str = "spiffe://mesh.local/ns/shop/sa/catalog";
const FORBIDDEN: &str = "RBAC: access denied";

/// Only `orders` may call.
fn authz(protocol: &str) -> Value {
    json!({
        "version": 1, "protocol": protocol, "trust_domain": "mesh.local", "trust_domain_aliases": [], "request_authentication": [],
        "authorization": [{"namespace": "shop", "name": "callers", "action": "ALLOW", "rules": [
            {"from": [{"source": {"principals": ["mesh.local/ns/shop/sa/orders"]}}]},
        ]}],
    })
}

#[test]
fn requests_are_decided_by_the_peers_identity_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let filters = http(http_filters(&authz("http")));
    let envoy = Envoy::start(folder.path(), &bootstrap(&filters, http_app(), Some(folder.path())));

    let trace = ("traceparent", &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..]);
    let (status, reply) = request(pki.connect(envoy.address, &[ORDERS]), "GET", "/a?b=1", &[trace, ("x-bytes", b"\xff\xfe")]);
    assert_eq!(status, 200, "{reply}");
    let record = envoy.record();
    for (field, value) in [
        ("verdict", json!("ALLOW")),
        ("policy", json!("shop/callers")),
        ("rule", json!(0)),
        ("source_principal", json!(ORDERS)),
        ("destination_principal", json!("spiffe://mesh.local/ns/shop/sa/ledger")),
        ("destination_service", json!("ledger.shop.mesh")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("span_id", json!("00f067aa0ba902b7")),
        ("method", json!("GET")),
        ("host", json!("app.test")),
        ("path", json!("/a?b=1")),
        ("status", json!(200)),
        ("response_code_details", json!("via_upstream")),
        ("response_flags", json!("")),
    ] {
        assert_eq!(record[field], value, "{field} of {record}");
    }
    assert!(
        record["request_id"].is_string() && record["upstream_address"].is_string() && record["bytes_sent"].as_i64() > Some(0),
        "{record}"
    );

    let (status, reply) = request(pki.connect(envoy.address, &[CATALOG]), "GET", "/", &[]);
    assert_eq!((status, reply.ends_with(FORBIDDEN)), (403, true), "{reply}");
    let record = envoy.record();
    assert_eq!(record["verdict"], "DENY", "{record}");
    assert_eq!(record["source_principal"], CATALOG, "{record}");
    assert_eq!(record["response_code_details"], "rbac_access_denied_matched_policy[none]", "{record}");
    assert_eq!(record["nearest_miss"], json!({"policy": "shop/callers", "rule": 0, "failed": ["from.principals"]}), "{record}");

    // Attributes tell only the first URI SAN; the object that the listener sets tells both.
    let (status, reply) = request(pki.connect(envoy.address, &[CATALOG, ORDERS]), "GET", "/", &[]);
    assert_eq!(status, 200, "{reply}");

    envoy.metric(r#"meshwright_decisions{verdict="ALLOW",policy="shop/callers",reason="allow_rule_matched"}"#, 2);
    envoy.metric(r#"meshwright_decisions{verdict="DENY",policy="none",reason="no_allow_rule_matched"}"#, 1);
}

#[test]
fn tokens_are_verified_by_envoys_crypto_and_in_software() {
    let folder = tempfile::tempdir().unwrap();
    let issuers = [Issuer::es256(), Issuer::rs256(), Issuer::ed25519()];
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk.clone()).collect();
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.local",
        "request_authentication": [{"namespace": "shop", "name": "tokens", "jwt_rules": [{
            "issuer": "https://issuer.test", "jwks": json!({"keys": keys}).to_string(),
            "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}],
        }]}],
        "authorization": [{"namespace": "shop", "name": "users", "action": "ALLOW", "rules": [
            {"to": [{"operation": {"paths": ["/public"]}}]},
            {"when": [{"key": "request.auth.claims[groups]", "values": ["customer"]}]},
        ]}],
    });
    let filters = http(http_filters(&config));
    let envoy = Envoy::start(folder.path(), &bootstrap(&filters, http_app(), None));
    let get = |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("X-User", &b"root"[..])];
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_bytes())));
        let (status, reply) = request(connect(envoy.address), "GET", path, &headers);
        (status, reply, envoy.record())
    };

    for issuer in &issuers {
        let good = issuer.token("ada", &["customer"], 3600);
        // The second time the token comes from the cache.
        for _ in 0..2 {
            let (status, reply, record) = get("/", Some(&good));
            assert_eq!(status, 200, "{}: {reply}", issuer.jwk);
            let head = reply.to_lowercase();
            assert!(head.contains("x-user: ada") && !head.contains("x-user: root") && !head.contains("authorization"), "{reply}");
            assert_eq!((&record["jwt_issuer"], &record["jwt_subject"]), (&json!("https://issuer.test"), &json!("ada")), "{record}");
        }
        let (status, reply, record) = get("/", Some(&issuer.token("ada", &["guest"], 3600)));
        assert_eq!((status, reply.ends_with(FORBIDDEN)), (403, true), "{reply}");
        assert_eq!(record["jwt_subject"], "ada", "{record}");
        let (status, reply, record) = get("/public", Some(&issuer.token("ada", &["customer"], -3600)));
        assert_eq!((status, reply.ends_with("Jwt is expired")), (401, true), "{reply}");
        assert!(
            reply.to_lowercase().contains("www-authenticate: bearer realm=\"http://app.test/public\", error=\"invalid_token\""),
            "{reply}"
        );
        assert_eq!(record["response_code_details"], "jwt_authn_access_denied{jwt_expired}", "{record}");
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let other = issuer.token("eve", &["customer"], 3600);
        let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        let (status, reply, _) = get("/public", Some(&forged));
        assert_eq!((status, reply.ends_with("Jwt verification fails")), (401, true), "{}: {reply}", issuer.jwk);
        let (status, reply, _) = get("/public", Some(&format!("{signed}.")));
        assert_eq!(status, 401, "{reply}");
    }

    let (status, reply, _) = get("/public", None);
    assert_eq!((status, reply.to_lowercase().contains("x-user")), (200, false), "{reply}");
    assert_eq!(get("/", None).0, 403);
}

#[test]
fn a_request_is_denied_when_the_listener_does_not_tell_the_peer() {
    let folder = tempfile::tempdir().unwrap();
    let everyone = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.local", "trust_domain_aliases": [], "request_authentication": [],
        "authorization": [{"namespace": "shop", "name": "not-mars", "action": "ALLOW", "rules": [
            {"from": [{"source": {"notPrincipals": ["mars.local/ns/a/sa/b"]}}]},
        ]}],
    });
    let filters = http(vec![http_wasm(plugin("authz", &everyone))]);
    let envoy = Envoy::start(folder.path(), &bootstrap(&filters, http_app(), None));
    let (status, reply) = request(connect(envoy.address), "GET", "/", &[]);
    assert_eq!((status, reply.ends_with(FORBIDDEN)), (403, true), "{reply}");
    assert_eq!(envoy.record()["verdict"], "DENY");
}

#[test]
fn a_bad_configuration_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut unknown_field = authz("http");
    unknown_field["surprise"] = json!(true);
    for (root_id, configuration, reason) in [
        ("authz", json!("not an object"), "authz: the configuration is refused: "),
        ("authz", unknown_field, "`surprise`"),
        ("access-log", json!({"version": 1}), "access-log: the configuration is refused: "),
        ("surprise", json!({}), "root id `surprise` is unknown; it is `authz` or `access-log`"),
    ] {
        let filters = http(vec![http_wasm(plugin(root_id, &configuration))]);
        let mut bootstrap = bootstrap(&filters, http_app(), None);
        // Only the plugin in question may be what Envoy refuses.
        bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = json!([]);
        let output = Envoy::refusal(folder.path(), &bootstrap);
        assert!(output.contains(reason), "no `{reason}` in:\n{output}");
    }
}

#[test]
fn connections_are_decided_before_a_byte_of_the_app_reaches_the_peer() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let envoy = Envoy::start(folder.path(), &bootstrap(&tcp(&authz("tcp")), greeting_app(), Some(folder.path())));

    let mut stream = pki.connect(envoy.address, &[ORDERS]);
    stream.write_all(b"hi").unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"220 ready\nhi");
    drop(stream);
    let record = envoy.record();
    for (field, value) in
        [("verdict", json!("ALLOW")), ("policy", json!("shop/callers")), ("source_principal", json!(ORDERS)), ("protocol", json!("tcp"))]
    {
        assert_eq!(record[field], value, "{field} of {record}");
    }
    assert_eq!((&record["bytes_received"], &record["bytes_sent"]), (&json!(2), &json!(12)), "{record}");

    let mut stream = pki.connect(envoy.address, &[CATALOG]);
    stream.write_all(b"hi").unwrap();
    assert_eq!(read_all(stream), "");
    let record = envoy.record();
    assert_eq!((&record["verdict"], &record["source_principal"]), (&json!("DENY"), &json!(CATALOG)), "{record}");
    assert_eq!(record["bytes_sent"], 0, "{record}");
}

#[test]
fn an_app_that_speaks_first_is_heard_only_after_the_decision() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let envoy = Envoy::start(folder.path(), &bootstrap(&tcp(&authz("tcp")), greeting_app(), Some(folder.path())));

    let mut stream = pki.connect(envoy.address, &[ORDERS]);
    let mut denied = pki.connect(envoy.address, &[CATALOG]);
    if !tells_end_of_handshake() {
        // Then the greeting is held until the client has spoken.
        stream.write_all(b"hi").unwrap();
        denied.write_all(b"hi").unwrap();
    }
    let mut greeting = [0; 10];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\n");
    assert_eq!(read_all(denied), "");
    assert_eq!(envoy.record()["verdict"], "DENY");
}

#[test]
fn a_plaintext_connection_is_denied_too() {
    let folder = tempfile::tempdir().unwrap();
    let envoy = Envoy::start(folder.path(), &bootstrap(&tcp(&authz("tcp")), greeting_app(), None));
    assert_eq!(read_all(connect(envoy.address)), "");
    let record = envoy.record();
    assert_eq!(record["verdict"], "DENY", "{record}");
    assert_eq!(record["bytes_sent"], 0, "{record}");
    if tells_end_of_handshake() {
        assert_eq!(record.get("upstream_address"), None, "{record}");
    }
}

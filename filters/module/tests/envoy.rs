//! The module in a real Envoy: what only Envoy can show, namely which attributes and callbacks there really are. What is decided is tested
//! in `meshwright-policy`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

#[path = "support/bootstrap.rs"]
mod bootstrap;
#[path = "support/envoy.rs"]
mod envoy;
#[path = "support/pki.rs"]
mod pki;

use std::io::{Read as _, Write as _};

use bootstrap::{bootstrap, http, http_filters, http_wasm, plugin, tcp};
use envoy::{Envoy, greeting_app, http_app};
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
    assert!(record["request_id"].is_string() && record["upstream_address"].is_string() && record["bytes_sent"].as_i64() > Some(0), "{record}");

    let (status, reply) = request(pki.connect(envoy.address, &[CATALOG]), "GET", "/", &[]);
    assert_eq!((status, reply.ends_with(FORBIDDEN)), (403, true), "{reply}");
    let record = envoy.record();
    assert_eq!(record["verdict"], "DENY", "{record}");
    assert_eq!(record["source_principal"], CATALOG, "{record}");
    assert_eq!(record["response_code_details"], "rbac_access_denied_matched_policy[none]", "{record}");

    // Attributes tell only the first URI SAN; the object that the listener sets tells both.
    let (status, reply) = request(pki.connect(envoy.address, &[CATALOG, ORDERS]), "GET", "/", &[]);
    assert_eq!(status, 200, "{reply}");
}

#[test]
fn a_request_is_denied_when_the_listener_does_not_tell_the_peer() {
    let folder = tempfile::tempdir().unwrap();
    let everyone = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.local", "trust_domain_aliases": [], "request_authentication": [],
        "authorization": [],
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
    let mut greeting = [0; 10];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\n");
    stream.write_all(b"hi").unwrap();
    stream.read_exact(&mut greeting[..2]).unwrap();
    assert_eq!(&greeting[..2], b"hi");
    drop(stream);
    let record = envoy.record();
    for (field, value) in
        [("verdict", json!("ALLOW")), ("policy", json!("shop/callers")), ("source_principal", json!(ORDERS)), ("protocol", json!("tcp"))]
    {
        assert_eq!(record[field], value, "{field} of {record}");
    }
    assert_eq!((&record["bytes_received"], &record["bytes_sent"]), (&json!(2), &json!(12)), "{record}");

    // Whether it waits for the greeting or speaks first.
    assert_eq!(read_all(pki.connect(envoy.address, &[CATALOG])), "");
    let record = envoy.record();
    assert_eq!((&record["verdict"], &record["source_principal"]), (&json!("DENY"), &json!(CATALOG)), "{record}");
    let mut stream = pki.connect(envoy.address, &[CATALOG]);
    stream.write_all(b"hi").unwrap();
    assert_eq!(read_all(stream), "");
    assert_eq!(envoy.record()["bytes_sent"], 0);
}

#[test]
fn a_plaintext_connection_is_denied_before_the_app_is_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let envoy = Envoy::start(folder.path(), &bootstrap(&tcp(&authz("tcp")), greeting_app(), None));
    assert_eq!(read_all(connect(envoy.address)), "");
    let record = envoy.record();
    assert_eq!(record["verdict"], "DENY", "{record}");
    assert_eq!(record.get("upstream_address"), None, "{record}");
}

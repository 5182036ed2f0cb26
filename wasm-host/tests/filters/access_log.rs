//! One record per request, from what the filter decided and what the proxy knows.

use meshwright_wasm_host::{Plugin, Report, StreamInfo};
use serde_json::{Value, json};

use crate::support::*;

fn access_log() -> Plugin {
    let config = json!({
        "version": 1, "direction": "inbound", "protocol": "http", "namespace": "shop", "workload": "orders",
        "service": "orders.shop.mesh", "principal": "spiffe://mesh.test/ns/shop/sa/orders", "trust_domain": "mesh.test",
    });
    plugin("access-log", config.to_string().as_bytes())
}

fn record(report: &Report) -> Value {
    let lines: Vec<&str> = report.logs.iter().map(|line| line.message.as_str()).collect();
    let [line] = lines.as_slice() else { panic!("one line, not {lines:?}") };
    serde_json::from_str(line.strip_prefix("meshwright-access ").unwrap()).unwrap()
}

#[test]
fn a_denied_request_is_recorded_with_the_rule_that_denied_it() {
    let rules = json!([{"to": [{"operation": {"paths": ["/admin"]}}]}]);
    let decided = authz(policy("DENY", rules)).request(from_cart("/admin")).run().unwrap();
    let stream = StreamInfo::new()
        .request_header(":path", "/admin?token=secret")
        .request_header(":method", "GET")
        .request_header(":authority", "orders.shop")
        .request_header("x-request-id", "7")
        .request_header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .property("response.code", 403)
        .property("response.flags", 0)
        .property("connection.mtls", true)
        .property("connection.uri_san_peer_certificate", CART)
        .filter_state("wasm.meshwright.decision", decided.report.property("meshwright.decision").unwrap().to_vec());
    let record = record(&access_log().log(stream).run().unwrap());
    for (field, value) in [
        ("direction", json!("inbound")),
        ("destination_service", json!("orders.shop.mesh")),
        ("source_principal", json!(CART)),
        ("method", json!("GET")),
        ("host", json!("orders.shop")),
        ("status", json!(403)),
        ("verdict", json!("DENY")),
        ("policy", json!("shop/policy")),
        ("rule", json!(0)),
        ("reason", json!("deny_rule_matched")),
        ("request_id", json!("7")),
        ("trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
        ("span_id", json!("b7ad6b7169203331")),
    ] {
        assert_eq!(record[field], value, "{field} of {record}");
    }
}

#[test]
fn a_stream_of_which_nothing_is_known_still_has_its_record() {
    let record = record(&access_log().log(StreamInfo::new()).run().unwrap());
    assert_eq!((&record["workload"], &record["bytes_sent"], &record["verdict"]), (&json!("orders"), &json!(0), &Value::Null));
}

#[test]
fn what_is_not_text_cannot_break_a_record() {
    let stream = StreamInfo::new().request_header(":path", b"/\xff\"\n{}".to_vec()).request_header(":authority", "a".repeat(100_000));
    let record = record(&access_log().log(stream).run().unwrap());
    assert!(record["path"].as_str().unwrap().starts_with('/'));
    assert!(record["host"].as_str().unwrap().len() <= 1100);
}

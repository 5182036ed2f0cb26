//! `authz` and `access-log` in one VM: with `log_in_vm` what passes is handed over in its memory, and whoever is denied is in the filter state.

use meshwright_wasm_host::{Plugin, Report, Worker};
use serde_json::{Value, json};

use crate::support::*;

const STATE: &str = "meshwright.decision";

/// Whoever asks for `/admin` is denied.
fn config(log_in_vm: bool) -> String {
    let mut config = config_of("http", jwt_rule(), policy("DENY", json!([{"to": [{"operation": {"paths": ["/admin"]}}]}])));
    config["log_in_vm"] = json!(log_in_vm);
    config.to_string()
}

fn authz_that(log_in_vm: bool) -> Plugin {
    plugin("authz", config(log_in_vm).as_bytes())
}

fn logging(direction: &str) -> String {
    let config = json!({
        "version": 1, "direction": direction, "protocol": "http", "namespace": "shop", "workload": "orders",
        "service": "orders.shop.mesh", "principal": "spiffe://mesh.test/ns/shop/sa/orders", "trust_domain": "mesh.test",
    });
    config.to_string()
}

fn logged(plugin: &Plugin) -> Worker {
    plugin.clone().access_log("access-log", logging("inbound")).start().unwrap()
}

/// Verdict and reason of the one record.
fn recorded(report: &Report) -> (Value, Value) {
    let records: Vec<&str> = report.logs.iter().filter_map(|line| line.message.strip_prefix("meshwright-access ")).collect();
    let [record] = records.as_slice() else { panic!("one record, not {records:?}") };
    let record: Value = serde_json::from_str(record).unwrap();
    (record["verdict"].clone(), record["reason"].clone())
}

fn asked(worker: &mut Worker, path: &str) -> Report {
    let report = worker.request(from_cart(path)).report;
    assert!(report.traps.is_empty() && report.misuse.is_empty(), "{report:?}");
    report
}

#[test]
fn what_passes_is_handed_over_and_written_nowhere() {
    let mut worker = logged(&authz_that(true));
    // The second time the request is known as a whole.
    for _ in 0..2 {
        let report = asked(&mut worker, "/orders");
        assert_eq!(recorded(&report), (json!("ALLOW"), json!("no_allow_policy")));
        assert_eq!((report.property(STATE), report.hostcalls.get("proxy_set_property")), (None, None));
    }
}

#[test]
fn what_is_denied_is_in_the_filter_state_and_of_no_other_request() {
    let mut worker = logged(&authz_that(true));
    for (path, verdict) in [("/orders", "ALLOW"), ("/admin", "DENY"), ("/orders", "ALLOW"), ("/admin", "DENY")] {
        let report = asked(&mut worker, path);
        assert_eq!(recorded(&report).0, verdict, "{path}");
        assert_eq!(report.property(STATE).is_some(), verdict == "DENY", "{path}");
    }
}

#[test]
fn without_the_field_and_without_a_log_of_requests_the_filter_state_is_written() {
    let outbound = authz_that(true).access_log("access-log", logging("outbound"));
    for (plugin, is_logged) in
        [(authz_that(false).access_log("access-log", logging("inbound")), true), (authz_that(true), false), (outbound, true)]
    {
        let report = asked(&mut plugin.start().unwrap(), "/orders");
        assert!(report.property(STATE).is_some_and(|record| String::from_utf8_lossy(record).contains("ALLOW")));
        let records = report.logs.iter().filter(|line| line.message.starts_with("meshwright-access ")).count();
        assert_eq!(records, usize::from(is_logged));
    }
}

#[test]
fn the_log_goes_on_with_another_policy() {
    let mut worker = logged(&authz_that(true));
    asked(&mut worker, "/orders");
    worker.reconfigure(config(false)).unwrap();
    let report = asked(&mut worker, "/orders");
    assert_eq!((recorded(&report).0, report.property(STATE).is_some()), (json!("ALLOW"), true));
    worker.reconfigure(config(true)).unwrap();
    let report = asked(&mut worker, "/orders");
    assert_eq!((recorded(&report).0, report.property(STATE).is_some()), (json!("ALLOW"), false));
    let ended = worker.shut_down();
    assert!(ended.traps.is_empty(), "{ended:?}");
    assert_eq!(ended.callbacks().filter(|(name, _)| *name == "proxy_on_delete").count(), 2, "both roots end");
}

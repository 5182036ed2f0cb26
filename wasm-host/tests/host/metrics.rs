use meshwright_wasm_host::{MetricType, Request};

use crate::support::*;

#[test]
fn each_kind_has_its_own_arithmetic() {
    let configure =
        "(call $define_metric #0 {counter} #100) (call $define_metric #1 {gauge} #104) (call $define_metric #2 {histogram} #108)
        (call $define_metric #0 {counter} #112) (call $define_metric #3 {bad} #116) #1";
    let body = "(call $increment_metric (i32.load #100) (i64.const 2)) (call $increment_metric (i32.load #112) (i64.const 1))
        (call $increment_metric (i32.load #100) (i64.const 0)) (call $increment_metric (i32.load #100) (i64.const -1))
        (call $record_metric (i32.load #100) (i64.const 10)) (call $record_metric (i32.load #104) (i64.const 5))
        (call $increment_metric (i32.load #104) (i64.const -7)) (call $record_metric (i32.load #108) (i64.const 3))
        (call $increment_metric (i32.load #108) (i64.const 1)) (call $get_metric (i32.load #108) #120) (call $get_metric (i32.load #104) #120)
        (call $get_metric #400 #120) (call $increment_metric #3 (i64.const 1)) #0";
    let plugin = Filter::on("proxy_on_configure", configure).and("proxy_on_request_headers", body).plugin();
    let report = plugin.request(Request::get("/")).run().unwrap().report;
    assert_eq!(statuses(&report, "define_metric"), [OK, OK, OK, OK, BAD_ARGUMENT]);
    // Up by 2 and by 1 through its other id, 0 and -1 refused, the gauge down, the histogram refused, and an id of no kind.
    assert_eq!(statuses(&report, "increment_metric"), [OK, OK, BAD_ARGUMENT, BAD_ARGUMENT, OK, BAD_ARGUMENT, BAD_ARGUMENT]);
    assert_eq!(statuses(&report, "get_metric"), [BAD_ARGUMENT, OK, NOT_FOUND]);
    assert_eq!((report.metric("counter"), report.metric("gauge")), (Some(13), Some(-2)));
    let histogram = &report.metrics["histogram"];
    assert_eq!((histogram.kind, histogram.records.as_slice()), (MetricType::Histogram, &[3][..]));
}

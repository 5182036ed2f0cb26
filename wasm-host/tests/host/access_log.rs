use meshwright_wasm_host::StreamInfo;

use crate::support::*;

#[test]
fn logs_on_the_root_with_the_streams_headers_and_attributes() {
    let body = "(call $get_header_map_value #0 {:path} #0 #4) (call $out) (call $get_header_map_value #2 {:status} #0 #4) (call $out)
        (call $get_property {wasm_set} #0 #4) (call $out) (call $get_property {response\0code_details} #0 #4) (call $out)
        (call $get_header_map_value #3 {t} #0 #4) (call $get_header_map_value #0 {none} #0 #4) (call $get_header_map_size #0 #8)";
    let mut worker = Filter::on("proxy_on_log", body).and("proxy_on_context_create", "").plugin().start().unwrap();
    let stream = StreamInfo::new()
        .request_header(":path", "/p")
        .response_header(":status", "204")
        .property("response.code_details", "via_upstream")
        .filter_state("wasm.wasm_set", "decision");
    let report = worker.log(stream);
    assert_eq!(logged(&report), ["/p", "204", "decision", "via_upstream"]);
    assert_eq!(callbacks(&report), ["context_create", "log"], "no stream context");
    assert_eq!(statuses(&report, "get_header_map_value"), [OK, OK, NOT_FOUND, NOT_FOUND]);
    assert_eq!(statuses(&report, "get_header_map_size"), [BAD_ARGUMENT]);
    // Nothing is left of the stream afterwards.
    assert_eq!(statuses(&worker.log(StreamInfo::new()), "get_header_map_value"), [NOT_FOUND; 4]);
}

//! Arbitrary exchanges and faults never take the host down, and the same bytes are always the same run.

use proptest::prelude::*;

use crate::support::*;

/// Does something in every callback, with whatever it gets.
fn busy() -> Filter {
    let all =
        |map: u32| format!("(call $get_header_map_pairs #{map} #0 #4) (call $set_header_map_pairs #{map} (i32.load #0) (i32.load #4))");
    let body = |buffer: u32| {
        format!("(call $get_buffer_bytes #{buffer} #0 #64 #0 #4) (call $set_buffer_bytes #{buffer} #0 #1 (i32.load #0) (i32.load #4))")
    };
    Filter::on("proxy_on_request_headers", &format!("{} (call $get_property {{request\0path}} #0 #4) #0", all(0)))
        .and("proxy_on_request_body", &format!("{} #1", body(0)))
        .and("proxy_on_request_trailers", &format!("{} #0", all(1)))
        .and("proxy_on_response_headers", &format!("{} #0", all(2)))
        .and("proxy_on_response_body", &format!("{} #0", body(1)))
        .and("proxy_on_response_trailers", &format!("{} #0", all(3)))
        .and("proxy_on_log", &all(0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_exchange_that_ends(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        thread_local!(static PLUGIN: meshwright_wasm_host::Plugin = busy().plugin());
        let run = || PLUGIN.with(|plugin| plugin.run_arbitrary(&bytes).unwrap());
        let first = run();
        prop_assert!(first.report.traps.is_empty());
        prop_assert!(first.report.callbacks().any(|(name, _)| name == "proxy_on_log"));
        prop_assert_eq!(first, run());
    }
}

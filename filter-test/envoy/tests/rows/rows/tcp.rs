//! Connections.

use meshwright_filter_envoy::TcpStep;

use crate::probe::{Probe, on};
use crate::row::{Row, row};

fn down(data: &str) -> TcpStep {
    TcpStep::Downstream(data.as_bytes().to_vec())
}

fn up(data: &str) -> TcpStep {
    TcpStep::Upstream(data.as_bytes().to_vec())
}

fn everything(new: &str, downstream: &str, upstream: &str) -> Probe {
    on("proxy_on_context_create", "")
        .and("proxy_on_new_connection", new)
        .and("proxy_on_downstream_data", downstream)
        .and("proxy_on_upstream_data", upstream)
        .and("proxy_on_downstream_connection_close", "")
        .and("proxy_on_upstream_connection_close", "")
        .and("proxy_on_done", "#1")
        .and("proxy_on_log", "")
        .and("proxy_on_delete", "")
}

pub(crate) fn rows() -> Vec<Row> {
    let both = || vec![down("ping"), up("pong"), TcpStep::DownstreamClose];
    vec![
        row("tcp: both ways, the client closes", everything("#0", "($get_buffer_bytes #2 #0 #99 #0 #4) ($out) #0", "($get_buffer_bytes #3 #0 #99 #0 #4) ($out) #0")).tcp(both()),
        row("tcp: the upstream closes", everything("#0", "#0", "#0")).tcp(vec![down("ping"), up("pong"), TcpStep::UpstreamClose]),
        row("tcp: changed", everything("#0", "(if (local.get 1) (then ($set_buffer_bytes #2 #0 #99 {PING}))) #0", "(if (local.get 1) (then ($set_buffer_bytes #3 #99 #0 {!}))) #0")).tcp(both()),
        row("tcp: buffers and maps of the other kind", everything("#0", "($get_buffer_bytes #0 #0 #9 #0 #4) ($get_buffer_bytes #1 #0 #9 #0 #4) ($get_buffer_bytes #3 #0 #9 #0 #4) ($get_header_map_value #0 {a} #0 #4) ($get_header_map_pairs #0 #0 #4) ($set_buffer_bytes #0 #0 #0 {x}) ($set_buffer_bytes #3 #0 #0 {x}) ($get_property {request\0path} #0 #4) ($get_property {connection\0mtls} #0 #4) ($hex) ($send_local_response #403 #0 #0 #0 #0 #0 #0 #-1) #0", "#0")).tcp(both()),
        row("tcp: held, and let go with what follows", everything("#0", "(i32.lt_u (local.get 1) #8)", "#0")).tcp(vec![down("half"), down("full"), TcpStep::DownstreamClose]),
        row("tcp: closed by the filter", everything("#0", "($close_stream #2) #1", "#0")).tcp(vec![down("bad")]),
        row("tcp: closed by the filter at once", everything("($close_stream #2) #1", "#0", "#0")).tcp(vec![down("bad")]),
        row("tcp: upstream closed by the filter", everything("#0", "#0", "($close_stream #3) #0")).tcp(vec![down("a"), up("b")]),
        row("tcp: HTTP kinds do nothing", everything("#0", "($close_stream #0) ($close_stream #1) ($continue_stream #0) ($continue_stream #1) #0", "#0")).tcp(both()),
        row("tcp: continue in the callback that holds", everything("#0", "(if (local.get 1) (then ($continue_stream #2))) ($continue_stream #3) #1", "#0")).tcp(both()),
        row("tcp: resumed by a tick", everything("#0", "(if (local.get 1) (then ($set_tick_period_milliseconds #5))) #1", "#0").and("proxy_on_tick", "($set_tick_period_milliseconds #0) ($set_effective_context #2) ($get_buffer_bytes #2 #0 #9 #0 #4) ($u32) ($continue_stream #2)")).tcp(vec![down("ping")]),
        row("tcp: properties and filter state", everything("($set_property {mine} {v}) ($get_property {mine} #0 #4) ($out) ($get_property {filter_state\0wasm.mine} #0 #4) ($out) #0", "($get_property {mine} #0 #4) ($out) ($get_property {connection\0id} #0 #4) ($get_property {source\0address} #0 #4) ($get_property {plugin_name} #0 #4) ($out) #0", "#0")).tcp(both()),
        row("trap: in TCP", everything("#0", "unreachable", "#0")).tcp(vec![down("bad")]),
    ]
}

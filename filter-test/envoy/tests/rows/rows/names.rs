//! Names that a filter lets Envoy resolve: only such as need no server.

use crate::probe::{Probe, on};
use crate::row::{Row, row};

/// The stream waits for the answer.
fn asks(name: &str) -> Probe {
    let told = "($get_buffer_bytes #8 #0 #1000 #0 #4) ($hex) ($get_buffer_status #8 #0 #4) ($u32) ($set_effective_context #2) ($continue_stream #0)";
    on("proxy_on_request_headers", &format!("($envoy_resolve_dns {{{name}}} #0) ($u32) #1")).and("envoy_on_resolve_dns", told)
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("names: localhost", asks("localhost")),
        row("names: an address", asks("192.0.2.1")),
        row("names: an address of IPv6", asks("::1")),
        row("names: no name", asks("")),
        row("names: no name at all", asks("not a name")),
        row(
            "names: what nobody hears",
            on("proxy_on_request_headers", "($envoy_resolve_dns {localhost} #0) ($u32) ($envoy_resolve_dns {localhost} #0) ($u32) #0"),
        ),
        row(
            "names: beyond the memory",
            on(
                "proxy_on_request_headers",
                "($envoy_resolve_dns #1000000 #1 #0) ($envoy_resolve_dns {localhost} #1000000) ($envoy_resolve_dns {localhost} #0) ($u32) #0",
            ),
        ),
    ]
}

//! Expressions that a host must survive; what others are worth is compared with Envoy.

use meshwright_wasm_host::{Dns, Limits, Outcome, Request, TrapKind};

use crate::support::*;

const EVALUATE: &str = "(call $call_foreign_function {expr_evaluate} (i32.load #0) #4 #16 #20)";

/// What `expr_create` and `expr_evaluate` answer.
fn asked(expression: &str) -> Vec<u32> {
    statuses(&asked_within(Limits::default(), expression).report, "call_foreign_function")
}

fn asked_within(limits: Limits, expression: &str) -> Outcome {
    let body = format!("(call $call_foreign_function {{expr_create}} {{{expression}}} #8 #12) (i32.store #0 (i32.load #8)) {EVALUATE} #0");
    Filter::on("proxy_on_request_headers", &body).plugin().limits(limits).request(Request::get("/")).run().unwrap()
}

#[test]
fn what_is_too_deep_is_refused() {
    for text in ["(", "[", "!", "-", "1+", "a.", "f(", "true?1:", "'a'+", "a[", "1<"] {
        let deep = format!("{}1{}", text.repeat(20_000 / text.len()), if text == "(" { ")".repeat(20_000) } else { String::new() });
        assert_eq!(asked(&deep).first(), Some(&BAD_ARGUMENT), "{text}");
    }
}

#[test]
fn what_would_not_end_is_given_up() {
    let many = format!("[{}]", ["1"; 100].join(","));
    let nested = format!("{many}.all(a, {many}.all(b, {many}.all(c, {many}.map(d, {many}.filter(e, e > 0)).size() > 0)))");
    assert_eq!(asked(&nested), [OK, INTERNAL_FAILURE]);
}

#[test]
fn a_name_has_the_answer_that_it_is_given() {
    let filter = Filter::on("proxy_on_request_headers", "(call $envoy_resolve_dns {a.test} #0) (call $envoy_resolve_dns {b.test} #0) #1")
        .and("envoy_on_resolve_dns", "(call $get_buffer_bytes #8 #0 #100 #0 #4) (call $out) (if (i32.eq (local.get 1) #2) (then (call $set_effective_context #2) (call $continue_stream #0)))");
    let answer = Dns::addresses(["192.0.2.1".parse().unwrap()]).after(std::time::Duration::from_millis(3));
    let outcome = filter.plugin().dns("a.test", answer).request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), ["", "\u{1}\0\0\0\0\0\0\x00192.0.2.1:0\0"]);
    assert_eq!(outcome.status(), Some(200));
}

/// Each step makes twice as much of what the one before made, by every way in which one value is made of others.
const DOUBLING: [&str; 6] = [
    "map(x, x + x)",
    "map(x, [x, x])",
    "map(x, {'a': x, 'b': x})",
    "map(x, true, x + x)",
    "map(x, [x] + [x])",
    "map(x, bytes(string(x) + string(x)))",
];

fn doubled(step: &str, times: usize) -> String {
    format!("['0123456789abcdef']{}", format!(".{step}").repeat(times))
}

#[test]
fn what_would_take_all_memory_traps() {
    let limits = Limits { host_memory: 4 << 20, ..Limits::default() };
    for step in DOUBLING {
        // Also where an error would not matter to what the expression says.
        for expression in [
            doubled(step, 20),
            format!("{}.size() > 0 || true", doubled(step, 20)),
            format!("[1].exists(z, {} == [z]) || true", doubled(step, 20)),
        ] {
            let report = asked_within(limits, &expression).report;
            assert_eq!(report.traps.iter().map(|trap| trap.kind).collect::<Vec<_>>(), [TrapKind::Flood], "{expression}");
            assert!(report.traps[0].to_string().contains("more than 4194304 bytes"), "{}", report.traps[0]);
        }
    }
}

#[test]
fn what_takes_little_of_it_is_evaluated() {
    let limits = Limits { host_memory: 4 << 20, ..Limits::default() };
    for step in DOUBLING {
        let report = asked_within(limits, &format!("{}.size() == 1", doubled(step, 4))).report;
        assert_eq!(statuses(&report, "call_foreign_function"), [OK, OK], "{step}");
        assert!(report.traps.is_empty());
    }
    // As long as a loop may be, and all of it kept.
    let many = format!("[{}]", ["'0123456789'"; 90].join(","));
    let long = format!("{many}.map(a, {many}.map(b, b + a)).size() == 90");
    assert_eq!(asked(&long), [OK, OK]);
}

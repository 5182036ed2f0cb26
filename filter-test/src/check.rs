//! Compares what happened with what was expected. Knows nothing of files but the snapshot's text, which it is given.

mod messages;

use std::collections::BTreeMap;

use meshwright_wasm_host::{Ended, Misuse, Report};

use crate::answer::{Ran, ended_name, first_line, level_name};
use crate::build::log_level;
use crate::failure::Failure;
use crate::matches;
use crate::wire::{CostExpectation, EndedWire, Expectation, LogExpectation};

/// Every expectation that was not met, in the order of the file.
pub(crate) fn failures(expected: &Expectation, ran: &Ran) -> Vec<Failure> {
    let mut failures = Vec::new();
    start(expected, ran, &mut failures);
    let refused = matches!(ran, Ran::Refused(..));
    if refused && expected.refused.is_none() {
        // What else is not as expected follows from that.
        return failures;
    }
    if !refused {
        ended(expected, ran, &mut failures);
        messages::check(expected, ran, &mut failures);
    }
    let report = ran.report();
    messages::calls(expected, report, &mut failures);
    messages::grpc_calls(expected, report, &mut failures);
    logs(expected.logs.as_deref().unwrap_or_default(), report, &mut failures);
    metrics(expected, report, &mut failures);
    let state = report.filter_state.iter().map(|(name, value)| (String::from_utf8_lossy(name), value.encode().unwrap_or_default()));
    let state: BTreeMap<_, _> = state.collect();
    messages::map(
        "expect.filter_state",
        &expected.filter_state,
        |name| state.get(name).map(Vec::as_slice).into_iter().collect(),
        &mut failures,
    );
    messages::map("expect.properties", &expected.properties, |name| report.property(name).into_iter().collect(), &mut failures);
    misuse(expected.misuse.as_deref().unwrap_or_default(), report, &mut failures);
    if !refused {
        trap(expected, report, &mut failures);
    }
    cost(&expected.cost, report, &mut failures);
    failures
}

fn start(expected: &Expectation, ran: &Ran, failures: &mut Vec<Failure>) {
    match (&expected.refused, ran) {
        (Some(matcher), Ran::Refused(why, _)) => failures.extend(matches::check("expect.refused", matcher, &[first_line(why).as_bytes()])),
        (Some(_), _) => failures.push(Failure::new("expect.refused", "the plugin to be refused", "that it started")),
        (None, Ran::Refused(why, _)) => failures.push(Failure::new("expect.refused", "the plugin to start", why)),
        (None, _) => {}
    }
}

fn ended(expected: &Expectation, ran: &Ran, failures: &mut Vec<Failure>) {
    let trap = expected.trap.as_ref().map(|_| Ended::Trapped);
    let wanted = expected.ended.map_or_else(|| trap.unwrap_or(Ended::Completed), EndedWire::ended);
    if let Some(found) = ran.ended().filter(|found| *found != wanted) {
        failures.push(Failure::new("expect.ended", ended_name(wanted), ended_name(found)));
    }
}

impl EndedWire {
    const fn ended(self) -> Ended {
        match self {
            Self::Completed => Ended::Completed,
            Self::Closed => Ended::Closed,
            Self::Hung => Ended::Hung,
            Self::Trapped => Ended::Trapped,
            Self::EnvoyCrash => Ended::EnvoyCrash,
        }
    }
}

fn logs(expected: &[LogExpectation], report: &Report, failures: &mut Vec<Failure>) {
    for (index, line) in expected.iter().enumerate() {
        let found = report.logs.iter().filter(|candidate| is_met(line, candidate.level, &candidate.message)).count();
        let met = match (line.absent, line.count) {
            (true, _) => found == 0,
            (false, Some(count)) => found == count,
            (false, None) => found > 0,
        };
        if met {
            continue;
        }
        let wanted = match (line.absent, line.count) {
            (true, _) => "no line".to_owned(),
            (false, Some(count)) => format!("{count} lines"),
            (false, None) => "a line".to_owned(),
        };
        let all: Vec<String> = report.logs.iter().map(|line| format!("    {}: {}", level_name(line.level), line.message)).collect();
        let all = if all.is_empty() { "no lines at all".to_owned() } else { format!("{found} among these:\n{}", all.join("\n")) };
        failures.push(Failure::new(format!("expect.logs[{index}]"), format!("{wanted} {}", described(line)), all));
    }
}

fn is_met(expected: &LogExpectation, level: meshwright_wasm_host::LogLevel, message: &str) -> bool {
    expected.level.is_none_or(|wanted| log_level(wanted) == level)
        && expected.equals.as_ref().is_none_or(|text| text == message)
        && expected.contains.as_ref().is_none_or(|part| message.contains(part))
        && expected.regex.as_ref().is_none_or(|pattern| pattern.0.is_match(message))
}

fn described(expected: &LogExpectation) -> String {
    let level = expected.level.map(|level| format!("of level {}", level_name(log_level(level))));
    let equals = expected.equals.as_ref().map(|text| format!("that is {text:?}"));
    let contains = expected.contains.as_ref().map(|part| format!("that contains {part:?}"));
    let regex = expected.regex.as_ref().map(|pattern| format!("that matches /{}/", pattern.0));
    [level, equals, contains, regex].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn metrics(expected: &Expectation, report: &Report, failures: &mut Vec<Failure>) {
    for (name, wanted) in &expected.metrics {
        let Some(wanted) = wanted else { continue };
        let path = format!("expect.metrics.{name}");
        match report.metric(name) {
            Some(found) if found == *wanted => {}
            Some(found) => failures.push(Failure::new(path, wanted.to_string(), found.to_string())),
            None => {
                let known: Vec<&str> = report.metrics.keys().map(String::as_str).collect();
                failures.push(Failure::new(path, wanted.to_string(), format!("no such metric (there are: {})", known.join(", "))));
            }
        }
    }
}

fn misuse(expected: &[String], report: &Report, failures: &mut Vec<Failure>) {
    let path = "expect.misuse";
    for found in report.misuse.iter().filter(|found| !expected.iter().any(|name| name == found.name())) {
        failures.push(Failure::new(path, "no misuse", format!("{}: {found}", found.name())));
    }
    for name in expected.iter().filter(|name| !report.misuse.iter().any(|found| found.name() == name.as_str())) {
        failures.push(Failure::new(path, name, "nothing of that name"));
    }
}

/// Names in `expect.misuse` that do not exist.
pub(crate) fn unknown_misuse(expected: &Expectation) -> Option<String> {
    let known: Vec<&str> = Misuse::ALL.iter().map(|misuse| misuse.name()).collect();
    let unknown = expected.misuse.iter().flatten().find(|name| !known.contains(&name.as_str()))?;
    Some(format!("found `{unknown}` (allowed: {})", known.join(", ")))
}

fn trap(expected: &Expectation, report: &Report, failures: &mut Vec<Failure>) {
    let found: Vec<String> = report.traps.iter().map(|trap| format!("{}: {}", trap.callback, first_line(&trap.message))).collect();
    match &expected.trap {
        Some(matcher) => {
            let found: Vec<&[u8]> = found.iter().map(|trap| trap.as_bytes()).collect();
            failures.extend(matches::check("expect.trap", matcher, &found));
        }
        None => failures.extend(found.iter().map(|trap| Failure::new("expect.trap", "no trap", trap))),
    }
}

fn cost(expected: &CostExpectation, report: &Report, failures: &mut Vec<Failure>) {
    let mut at_most = |name: &str, most: Option<u64>, found: u64| {
        if let Some(most) = most.filter(|most| found > *most) {
            failures.push(Failure::new(format!("expect.cost.{name}"), format!("at most {most}"), found.to_string()));
        }
    };
    at_most("max_hostcalls", expected.max_hostcalls, report.hostcalls.values().sum());
    for (function, most) in &expected.max_hostcalls_of {
        let found = report.hostcalls.get(function.as_str()).copied().unwrap_or_default();
        at_most(&format!("max_hostcalls_of.{function}"), *most, found);
    }
    at_most("max_memory", expected.max_memory, report.cost.memory);
    at_most("max_allocations", expected.max_allocations, report.cost.allocations);
    at_most("max_bytes_copied", expected.max_bytes_copied, report.cost.bytes_from_guest + report.cost.bytes_to_guest);
    // An engine that does not count has no fuel to compare; the runner takes one that counts wherever it is expected.
    at_most("max_fuel", expected.max_fuel, report.cost.fuel.unwrap_or(u64::MAX));
}

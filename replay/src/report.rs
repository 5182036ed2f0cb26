//! What was found, for people and for scripts.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::decision::{Decision, Word};
use crate::tally::{Flip, Gap, Skipped, Tally};

/// Every kind of flip with its first record, what was missing, and a summary.
#[must_use]
pub fn human(tally: &Tally) -> String {
    let mut out = String::new();
    for flip in tally.flips() {
        let Flip { from, to, count, line, time, example } = flip;
        // Writing to a text does not fail.
        let _ = write!(out, "{count} × {from}\n    → {to}\n    first at line {line}, {time}: {example}\n");
    }
    if tally.more_flips > 0 {
        let _ = writeln!(out, "{} × others, too many kinds to tell apart", tally.more_flips);
    }
    for (gap, count, line) in tally.gaps() {
        let Gap { attribute, rule } = gap;
        let by = rule.map(|(policy, rule)| format!(", at which {policy} rule {rule} looks")).unwrap_or_default();
        let _ = writeln!(out, "{count} × undecided for lack of {attribute}{by}; first at line {line}");
    }
    for bad in &tally.bad_lines {
        let _ = writeln!(out, "line {} is no record: {}", bad.line, bad.error);
    }
    if let Some(line) = tally.first_drifted {
        let _ = writeln!(
            out,
            "{} records say otherwise than the current policies decide: the log is of others; first at line {line}",
            tally.drifted
        );
    }
    let skipped: u64 = tally.skipped.values().copied().fold(0, u64::saturating_add);
    let _ = writeln!(
        out,
        "{} records: {} flip, {} stay, {} undecided, {skipped} not decided by policy; {} lines are no records",
        tally.records, tally.flipped, tally.unchanged, tally.undecided, tally.bad
    );
    out
}

/// The same for scripts; docs/replay.md names the fields.
#[must_use]
pub fn json(tally: &Tally) -> Value {
    let flips = tally.flips().into_iter().map(|flip| {
        let Flip { from, to, count, line, time, example } = flip;
        json!({
            "from": decision(&from), "to": decision(&to), "count": count,
            "first": {"line": line, "time": time, "request": example},
        })
    });
    let missing = tally.gaps().into_iter().map(|(gap, count, line)| {
        let Gap { attribute, rule } = gap;
        let (policy, rule) = rule.unzip();
        json!({"attribute": attribute, "policy": policy, "rule": rule, "count": count, "firstLine": line})
    });
    let skipped = |why| tally.skipped.get(&why).copied().unwrap_or_default();
    json!({
        "records": tally.records, "flipped": tally.flipped, "unchanged": tally.unchanged, "undecided": tally.undecided,
        "skipped": {
            "outbound": skipped(Skipped::Outbound), "noDecision": skipped(Skipped::NoDecision), "noPolicy": skipped(Skipped::NoPolicy),
        },
        "flips": flips.collect::<Vec<_>>(), "moreFlips": tally.more_flips, "missing": missing.collect::<Vec<_>>(),
        "drifted": {"count": tally.drifted, "firstLine": tally.first_drifted},
        "badLines": {"count": tally.bad, "first": tally.bad_lines},
    })
}

fn decision(decision: &Decision<'_>) -> Value {
    let (word, providers) = match &decision.word {
        Word::Allow => ("allow", None),
        Word::Deny => ("deny", None),
        Word::Ask(providers) => ("ask", Some(providers)),
    };
    json!({
        "decision": word, "providers": providers, "policy": decision.policy, "rule": decision.rule, "reason": decision.reason,
        "exact": decision.exact,
    })
}

//! What was found in a log, counted. Each thread has its own; they are added up at the end, and it makes no difference who read what.

use std::collections::BTreeMap;

use meshwright_policy::{Attribute, Open};
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::compare::{Compared, Fate};
use crate::decision::Decision;
use crate::record::Record;

/// Lines that are named; the others are only counted.
const MOST_LINES: usize = 20;
/// Kinds of flips that are told apart: policies have fewer, and a log that says otherwise must not fill the memory.
const MOST_FLIPS: usize = 10_000;

/// Why a record is not decided anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// Of the caller's side, where nothing is decided.
    Outbound,
    /// No filter has seen it, as what Envoy itself refused.
    NoDecision,
    /// Refused before any policy was asked.
    NoPolicy,
}

/// What is not in the log and a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gap {
    /// As a condition's key is written, where there is one: `request.headers[x-user]`.
    pub attribute: String,
    /// The rule that looks at it, by its policy's `<namespace>/<name>` and its index.
    pub rule: Option<(String, u32)>,
}

impl Gap {
    pub(crate) fn attribute(attribute: Attribute<'_>) -> Self {
        Self { attribute: attribute.to_string(), rule: None }
    }

    pub(crate) fn of(open: &Open<'_>) -> Self {
        Self { attribute: open.missing.to_string(), rule: open.rule.map(|(policy, rule)| (policy.to_owned(), rule)) }
    }

    pub(crate) fn workload(record: &Record<'_>, whose: &str) -> Self {
        Self { attribute: format!("WorkloadEntry {}/{} in {whose}", record.namespace, record.workload), rule: None }
    }
}

/// Decisions that flip alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// What is done now.
    pub from: Decision<'static>,
    /// What would be.
    pub to: Decision<'static>,
    /// How many records.
    pub count: u64,
    /// The first of them.
    pub line: u64,
    /// Its time.
    pub time: String,
    /// Its request in a few words.
    pub example: String,
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub error: String,
}

/// What was found.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Lines that are records.
    pub records: u64,
    /// Decided as before.
    pub unchanged: u64,
    /// Decided otherwise.
    pub flipped: u64,
    /// Not decided, for lack of attributes.
    pub undecided: u64,
    /// Not looked at.
    pub skipped: BTreeMap<Skipped, u64>,
    /// Records that say otherwise than the current policies.
    pub drifted: u64,
    /// The first of them.
    pub first_drifted: Option<u64>,
    /// Lines that are no records.
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
    /// Flips that are not told apart any more.
    pub more_flips: u64,
    flips: FxHashMap<(Decision<'static>, Decision<'static>), Seen>,
    gaps: FxHashMap<Gap, (u64, u64)>,
}

/// How often, and the first.
#[derive(Debug, Clone)]
struct Seen {
    count: u64,
    line: u64,
    time: String,
    example: String,
}

impl Tally {
    /// Those with the most records first.
    #[must_use]
    pub fn flips(&self) -> Vec<Flip> {
        let flip = |((from, to), seen): (&(Decision<'static>, Decision<'static>), &Seen)| Flip {
            from: from.clone(),
            to: to.clone(),
            count: seen.count,
            line: seen.line,
            time: seen.time.clone(),
            example: seen.example.clone(),
        };
        let mut flips: Vec<Flip> = self.flips.iter().map(flip).collect();
        flips.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
        flips
    }

    /// What was not there, for how many records, and the first of these; those of the most records first.
    #[must_use]
    pub fn gaps(&self) -> Vec<(Gap, u64, u64)> {
        let mut gaps: Vec<(Gap, u64, u64)> = self.gaps.iter().map(|(gap, (count, line))| (gap.clone(), *count, *line)).collect();
        gaps.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        gaps
    }

    pub(crate) fn count(&mut self, line: u64, record: &Record<'_>, compared: Compared<'_>) {
        add(&mut self.records, 1);
        if compared.drifted {
            add(&mut self.drifted, 1);
            self.first_drifted = Some(self.first_drifted.map_or(line, |first| first.min(line)));
        }
        match compared.fate {
            Fate::Same => add(&mut self.unchanged, 1),
            Fate::Skipped(why) => add(self.skipped.entry(why).or_default(), 1),
            Fate::Undecided(mut gaps) => {
                add(&mut self.undecided, 1);
                gaps.sort();
                gaps.dedup();
                for gap in gaps {
                    let (count, first) = self.gaps.entry(gap).or_insert((0, line));
                    add(count, 1);
                    *first = line.min(*first);
                }
            }
            Fate::Flipped { from, to } => {
                add(&mut self.flipped, 1);
                let key = (from.into_owned(), to.into_owned());
                let full = self.flips.len() >= MOST_FLIPS;
                match self.flips.get_mut(&key) {
                    Some(seen) if seen.line <= line => add(&mut seen.count, 1),
                    Some(seen) => *seen = Seen { count: seen.count.saturating_add(1), ..Seen::first(line, record) },
                    None if full => add(&mut self.more_flips, 1),
                    None => drop(self.flips.insert(key, Seen::first(line, record))),
                }
            }
        }
    }

    pub(crate) fn bad(&mut self, line: u64, error: String) {
        add(&mut self.bad, 1);
        self.bad_lines.push(BadLine { line, error });
        self.keep_first_lines();
    }

    fn keep_first_lines(&mut self) {
        if self.bad_lines.len() > MOST_LINES {
            self.bad_lines.sort_by_key(|bad| bad.line);
            self.bad_lines.truncate(MOST_LINES);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let Self { records, unchanged, flipped, undecided, skipped, drifted, first_drifted, bad, bad_lines, more_flips, flips, gaps } =
            other;
        for (own, more) in [
            (&mut self.records, records),
            (&mut self.unchanged, unchanged),
            (&mut self.flipped, flipped),
            (&mut self.undecided, undecided),
            (&mut self.drifted, drifted),
            (&mut self.bad, bad),
            (&mut self.more_flips, more_flips),
        ] {
            add(own, more);
        }
        skipped.into_iter().for_each(|(why, count)| add(self.skipped.entry(why).or_default(), count));
        self.first_drifted = [self.first_drifted, first_drifted].into_iter().flatten().min();
        self.bad_lines.extend(bad_lines);
        self.keep_first_lines();
        self.bad_lines.sort_by_key(|bad| bad.line);
        for (gap, (count, line)) in gaps {
            let (own, first) = self.gaps.entry(gap).or_insert((0, line));
            add(own, count);
            *first = line.min(*first);
        }
        for (key, seen) in flips {
            match self.flips.get_mut(&key) {
                Some(own) => {
                    let count = own.count.saturating_add(seen.count);
                    *own = Seen { count, ..if seen.line < own.line { seen } else { own.clone() } };
                }
                None => drop(self.flips.insert(key, seen)),
            }
        }
    }
}

impl Seen {
    fn first(line: u64, record: &Record<'_>) -> Self {
        Self { count: 1, line, time: record.time.clone().into_owned(), example: record.summary() }
    }
}

fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

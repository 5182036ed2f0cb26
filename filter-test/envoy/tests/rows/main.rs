//! Every row of the proxy-wasm ABI, asked of our host and of a real Envoy by the same filters; what the two answer must be the same.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

#[path = "../../../../wasm-host/tests/host/abi.rs"]
mod abi;
mod certificates;
mod compare;
mod coverage;
mod probe;
mod row;
mod rows;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use meshwright_filter_envoy::{Options, run};
use meshwright_wasm_host::{Engine, LogLevel};

use crate::compare::{Seen, of_envoy};
use crate::row::Row;

/// Cases in one Envoy. Each has several VMs.
const BATCH: usize = 60;

/// A row, what our host showed and what Envoy showed.
struct Answers {
    row: Row,
    here: Seen,
    envoy: Seen,
}

fn options() -> Options {
    let envoy = std::env::var_os("ENVOY").map_or_else(
        || {
            let fallback = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/envoy/1.40.0/envoy"));
            assert!(fallback.is_file(), "`{}` is missing ($ENVOY names another): run `make setup`", fallback.display());
            fallback
        },
        PathBuf::from,
    );
    Options { envoy, log_level: LogLevel::Trace, pace: Duration::from_millis(25) }
}

fn in_envoy(rows: &[(usize, &Row)], options: &Options) -> Vec<(usize, Seen)> {
    let cases: Vec<_> = rows.iter().map(|(index, row)| row.case(*index)).collect();
    let names: Vec<&str> = rows.iter().map(|(_, row)| row.name).collect();
    let observed = run(&cases, options).unwrap_or_else(|error| panic!("{error}\n{names:?}"));
    for (name, words) in names.iter().zip(&observed).filter_map(|(name, seen)| Some((name, seen.crash.as_ref()?))) {
        eprintln!("{name} ends Envoy: {words}");
    }
    let seen = cases.iter().zip(observed).map(|(case, observed)| of_envoy(&observed, case));
    rows.iter().map(|(index, _)| *index).zip(seen).collect()
}

/// All rows, asked once for all tests.
fn answers() -> &'static [Answers] {
    static ANSWERS: OnceLock<Vec<Answers>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let rows = rows::all();
        let engine = Engine::new().unwrap();
        let numbered: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
        let (alone, together): (Vec<_>, Vec<_>) = numbered.into_iter().partition(|(_, row)| row.alone);
        let options = options();
        let mut envoys: Vec<(usize, Seen)> = together.chunks(BATCH).flat_map(|batch| in_envoy(batch, &options)).collect();
        for one in &alone {
            envoys.extend(in_envoy(&[*one], &options));
        }
        let mut heres: Vec<Seen> = rows.iter().enumerate().map(|(index, row)| row.here(&engine, index)).collect();
        // On a busy machine two pieces of a body may have been read as one: those that differ are asked once more, with more time.
        let again: Vec<(usize, &Row)> = {
            let differ = envoys
                .iter()
                .filter(|(index, seen)| !heres[*index].agrees_with(seen) && !rows[*index].alone && rows[*index].differs.is_none());
            differ.map(|(index, _)| (*index, &rows[*index])).collect()
        };
        if !again.is_empty() {
            let patient = Options { pace: options.pace * 8, ..options };
            let second = in_envoy(&again, &patient);
            envoys.retain(|(index, _)| !again.iter().any(|(other, _)| index == other));
            envoys.extend(second);
        }
        envoys.sort_by_key(|(index, _)| *index);
        let envoys = envoys.into_iter().map(|(_, seen)| seen);
        rows.iter().cloned().zip(heres.drain(..)).zip(envoys).map(|((row, here), envoy)| Answers { row, here, envoy }).collect()
    })
}

#[test]
fn our_host_answers_as_envoy_does() {
    let mut wrong = String::new();
    let mut count = 0;
    for Answers { row, here, envoy } in answers() {
        if row.differs.is_none() && !here.agrees_with(envoy) {
            count += 1;
            writeln!(wrong, "== {}\n{}", row.name, difference(here, envoy)).unwrap();
        }
        assert!(row.differs.is_none() || !here.agrees_with(envoy), "{}: no difference any more: compare it", row.name);
    }
    assert!(wrong.is_empty(), "{count} rows differ (- here, + Envoy)\n{wrong}");
}

fn difference(here: &Seen, envoy: &Seen) -> String {
    let (here, envoy) = (here.to_string(), envoy.to_string());
    similar::TextDiff::from_lines(here.as_str(), envoy.as_str())
        .iter_all_changes()
        .map(|change| format!("{}{change}", change.tag()))
        .collect()
}

#[test]
fn every_difference_is_documented_and_no_other() {
    let document = include_str!("../../../../docs/wasm-host.md");
    let (_, section) = document.split_once("## Deliberate differences\n\n| name | here | in Envoy |\n|---|---|---|\n").unwrap();
    let documented: BTreeSet<&str> =
        section.lines().map_while(|line| line.strip_prefix("| ")).map(|line| line.split(" | ").next().unwrap()).collect();
    let rows = rows::all();
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row.differs).collect();
    assert_eq!(documented, known);
}

#[test]
fn names_are_unique() {
    let rows = rows::all();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
}

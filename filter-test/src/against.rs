//! The same scenarios in our host and in a real Envoy: what filter, client, upstream and called services saw, side by side. Which scenarios
//! Envoy can be asked for is in `against/expressible.rs`.

mod compare;
mod expressible;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use meshwright_filter_envoy::{Case, EnvoyError, Observed, Options, run};
use meshwright_wasm_host::{Host, LogLevel, Outcome};

use crate::failure::Failure;
use crate::run::CaseResult;
use crate::scenario::Scenario;

/// A scenario that both are asked for.
struct Question {
    index: usize,
    case: Case,
    log_level: LogLevel,
    here: Box<Outcome>,
    took: Duration,
}

/// Runs what can be expressed in Envoy, and says of each scenario whether Envoy did the same. `wasm` is the module that `host` has. `pace` is
/// how far the pieces of a body are sent apart; what differs is asked for once more, eight times slower.
///
/// # Errors
/// When Envoy cannot be run at all.
pub fn run_against(
    host: &Host,
    wasm: &[u8],
    scenarios: &[Scenario],
    options: &Options,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<CaseResult>, EnvoyError> {
    let mut results: Vec<(usize, CaseResult)> = Vec::new();
    let mut questions = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        let start = Instant::now();
        match expressible::question(scenario, host, wasm, index) {
            Ok((case, log_level, here)) => questions.push(Question { index, case, log_level, here, took: start.elapsed() }),
            Err(why) => results.push((index, result(scenario, start.elapsed(), Vec::new(), Some(why)))),
        }
    }
    let mut differing = Vec::new();
    for batch in batches(questions) {
        for (question, failures, took) in ask(batch, options)? {
            match scenarios.get(question.index) {
                Some(scenario) if failures.is_empty() => {
                    results.push((question.index, result(scenario, question.took + took, failures, None)));
                }
                _ => differing.push(question),
            }
        }
        progress(results.len());
    }
    let patient = Options { pace: options.pace.saturating_mul(8), ..options.clone() };
    for batch in batches(differing) {
        for (question, failures, took) in ask(batch, &patient)? {
            if let Some(scenario) = scenarios.get(question.index) {
                results.push((question.index, result(scenario, question.took + took, failures, None)));
            }
        }
        progress(results.len());
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

fn result(scenario: &Scenario, duration: Duration, failures: Vec<Failure>, skipped: Option<String>) -> CaseResult {
    CaseResult { name: scenario.name(), failures, duration, snapshot_written: false, skipped }
}

/// Those that can share an Envoy: a cluster or `vm_id` is one case's, and the log level is the process's.
fn batches(questions: Vec<Question>) -> Vec<Vec<Question>> {
    const MOST: usize = 60;
    let mut batches: Vec<(BTreeSet<String>, Vec<Question>)> = Vec::new();
    for question in questions {
        let clusters = question.case.clusters.iter().map(|cluster| format!("cluster {}", cluster.name));
        let names: BTreeSet<String> = clusters.chain([format!("vm {}", question.case.vm_id)]).collect();
        let fits = |(taken, members): &&mut (BTreeSet<String>, Vec<Question>)| {
            let level = members.iter().all(|member| member.log_level == question.log_level);
            level && members.len() < MOST && taken.is_disjoint(&names)
        };
        match batches.iter_mut().find(fits) {
            Some((taken, members)) => {
                taken.extend(names);
                members.push(question);
            }
            None => batches.push((names, vec![question])),
        }
    }
    batches.into_iter().map(|(_, members)| members).collect()
}

type Answered = (Question, Vec<Failure>, Duration);

fn ask(batch: Vec<Question>, options: &Options) -> Result<Vec<Answered>, EnvoyError> {
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let options = Options { log_level: first.log_level, ..options.clone() };
    let cases: Vec<Case> = batch.iter().map(|question| question.case.clone()).collect();
    let start = Instant::now();
    match run(&cases, &options) {
        Ok(observed) => {
            let took = start.elapsed() / u32::try_from(batch.len()).unwrap_or(1).max(1);
            let compared = |(question, observed): (Question, Observed)| {
                let failures = compare::differences(&question.here, &observed, &question.case);
                (question, failures, took)
            };
            Ok(batch.into_iter().zip(observed).map(compared).collect())
        }
        // One plugin that Envoy refuses keeps it from starting: which, each is asked alone.
        Err(EnvoyError::NotStarted(_)) if batch.len() > 1 => {
            let alone = batch.into_iter().map(|question| ask(vec![question], &options));
            Ok(alone.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        Err(EnvoyError::NotStarted(words)) => {
            let refused =
                |question| (question, vec![Failure::new("start", "a plugin that starts, as here", words.clone())], start.elapsed());
            Ok(batch.into_iter().map(refused).collect())
        }
        Err(error) => Err(error),
    }
}

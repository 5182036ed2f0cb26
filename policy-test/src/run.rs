//! Runs suites, one case after the other, and says how each went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwright_explain::{Engine, Explainer};

use crate::check::{self, Failure};
use crate::coverage::{Counter, Coverage};
use crate::load::Suite;

/// Without a time of its own, a case has the machine's, which no case lacks.
const NO_TIME: u64 = 0;

/// How one case went.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// As it was named.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// Within the file: the test's, with the row's number if it has a table.
    pub name: String,
    /// The request in a few words.
    pub summary: String,
    /// None: it passed.
    pub failures: Vec<Failure>,
    /// How the decision came about; only of a case that failed.
    pub story: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

impl CaseResult {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// How all went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In the order of the files and of the cases in them.
    pub results: Vec<CaseResult>,
    /// Of the meshes that the suites are about.
    pub coverage: Coverage,
}

/// Asks `engine` every case; `progress` hears how many are done.
pub fn run(suites: &[Suite], engine: &dyn Fn() -> Box<dyn Engine>, progress: &dyn Fn(usize)) -> Outcome {
    let (mut results, mut counter) = (Vec::new(), Counter::default());
    for suite in suites {
        counter.add_mesh(&suite.mesh);
        let mut explainer = Explainer::for_mesh(engine(), Arc::clone(&suite.mesh.state), suite.keys.clone());
        for case in &suite.cases {
            let start = Instant::now();
            let story = explainer.story(&case.question, NO_TIME);
            let failures = check::failures(&case.expected, &story);
            counter.count(&suite.mesh, &story);
            results.push(CaseResult {
                file: suite.file.clone(),
                line: case.line,
                name: case.name.clone(),
                summary: case.summary.clone(),
                story: (!failures.is_empty()).then(|| story.to_string()),
                failures,
                duration: start.elapsed(),
            });
            progress(results.len());
        }
    }
    Outcome { results, coverage: counter.finish() }
}

//! Which rules the tests tried both ways: a rule that no request matched, or that every request matched, might say anything else and no test
//! would notice.

use std::collections::BTreeMap;

use meshwright_explain::Story;
use serde::Serialize;

use crate::mesh::{Mesh, Rule};

/// How the rules of all meshes under test fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// In the order of their policies' names.
    pub rules: Vec<RuleCoverage>,
}

/// How one rule fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCoverage {
    /// `<namespace>/<name>` of its policy.
    pub policy: String,
    /// Its index in the policy, from 0.
    pub rule: u32,
    /// Where the policy is written.
    pub file: String,
    /// The line on which its document starts.
    pub line: u64,
    /// How many cases matched it.
    pub matched: usize,
    /// How many did not.
    pub not_matched: usize,
    /// It has no field: nothing could fail to match it.
    pub always: bool,
}

impl RuleCoverage {
    /// What no test has shown; none: all.
    #[must_use]
    pub fn gap(&self) -> Option<&'static str> {
        match (self.matched, self.not_matched) {
            (0, 0) => Some("was never tried"),
            (0, _) => Some("never matched"),
            (_, 0) if !self.always => Some("never failed to match"),
            _ => None,
        }
    }

    /// Ways to fare, and how many of them were seen.
    fn ways(&self) -> (usize, usize) {
        let matched = usize::from(self.matched > 0);
        if self.always { (1, matched) } else { (2, matched.saturating_add(usize::from(self.not_matched > 0))) }
    }
}

impl Coverage {
    /// Of all rules' ways to fare, matched and not, the part that tests have shown; 100 where there are no rules.
    #[must_use]
    pub fn percent(&self) -> f64 {
        let (all, seen) = self.rules.iter().map(RuleCoverage::ways).fold((0_usize, 0_usize), |(all, seen), (a, s)| (all + a, seen + s));
        let [all, seen] = [all, seen].map(|number| f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
        if all == 0.0 { 100.0 } else { seen / all * 100.0 }
    }
}

/// Counts while tests run.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    rules: BTreeMap<Rule, (usize, usize)>,
}

impl Counter {
    pub(crate) fn add_mesh(&mut self, mesh: &Mesh) {
        for rule in &mesh.rules {
            self.rules.entry(rule.clone()).or_default();
        }
    }

    /// A request whose token is refused is not compared with any rule.
    pub(crate) fn count(&mut self, mesh: &Mesh, story: &Story) {
        if story.answer().reason.starts_with("jwt_") {
            return;
        }
        let fared: BTreeMap<(&str, u32), bool> =
            story.rules().iter().map(|rule| ((rule.policy(), rule.rule()), rule.failed().is_empty())).collect();
        for rule in &mesh.rules {
            let Some(matched) = fared.get(&(rule.policy.as_str(), rule.index)) else { continue };
            let (yes, no) = self.rules.entry(rule.clone()).or_default();
            let counted = if *matched { yes } else { no };
            *counted = counted.saturating_add(1);
        }
    }

    pub(crate) fn finish(self) -> Coverage {
        let rules = self.rules.into_iter().map(|(rule, (matched, not_matched))| {
            let Rule { policy, index, file, line, always } = rule;
            RuleCoverage { policy, rule: index, file, line, matched, not_matched, always }
        });
        Coverage { rules: rules.collect() }
    }
}

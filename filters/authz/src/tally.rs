//! What is counted: in the module's own memory, and given to the host once in a while, since each call of it costs.
//!
//! Envoy's metrics have no labels: they stand in the name, `meshwright.decisions;verdict=DENY;policy=shop/web;reason=deny_rule_matched`, and
//! the sidecar's bootstrap has the rules that make labels of them again.

use meshwright_policy::{Authentication, Decision, Evaluation, Reason, TokenCounts, Verdict};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// So many combinations of labels are counted apart, in one worker and for one policy; more are counted together.
const MOST: usize = 256;
const OTHER: &str = "other";

/// Counts that the host has not been given yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Vec<Row>,
    /// Of nearly every request that has a token: not looked for among the rows.
    verified: i64,
}

#[derive(Debug)]
struct Row {
    series: Series,
    /// `verdict` of decisions, `outcome` of all else.
    outcome: &'static str,
    policy: Option<String>,
    reason: &'static str,
    pending: i64,
    /// None until the host was told of it.
    metric: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Decisions,
    ShadowDecisions,
    Tokens,
    TokenCache,
}

impl Series {
    const fn name(self) -> &'static str {
        match self {
            Self::Decisions => "meshwright.decisions",
            Self::ShadowDecisions => "meshwright.shadow_decisions",
            Self::Tokens => "meshwright.tokens",
            Self::TokenCache => "meshwright.token_cache",
        }
    }
}

impl Tally {
    pub(crate) fn evaluation(&mut self, evaluation: &Evaluation<'_>) {
        self.decision(Series::Decisions, &evaluation.decision);
        if let Some(shadow) = &evaluation.shadow {
            self.decision(Series::ShadowDecisions, shadow);
        }
    }

    fn decision(&mut self, series: Series, decision: &Decision<'_>) {
        self.add(series, decision.verdict.as_str(), decision.policy, decision.reason.as_str(), 1);
    }

    /// The same decision, `count` times.
    pub(crate) fn decisions(&mut self, verdict: Verdict, policy: Option<&str>, reason: Reason, count: i64) {
        self.add(Series::Decisions, verdict.as_str(), policy, reason.as_str(), count);
    }

    /// A denial that no policy made.
    pub(crate) fn refusal(&mut self, reason: &'static str) {
        self.add(Series::Decisions, "DENY", None, reason, 1);
    }

    pub(crate) fn authentication(&mut self, authentication: &Authentication) {
        match authentication {
            Authentication::Anonymous => {}
            Authentication::Token(_) => self.verified = self.verified.saturating_add(1),
            Authentication::Refused(refusal) => self.add(Series::Tokens, refusal.error().reason(), None, "", 1),
        }
    }

    /// Tokens that were verified before.
    pub(crate) fn tokens(&mut self, count: u64) {
        self.verified = self.verified.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    #[inline(never)]
    fn add(&mut self, series: Series, outcome: &'static str, policy: Option<&str>, reason: &'static str, count: i64) {
        let is_it = |row: &&mut Row, policy: Option<&str>| {
            row.series == series && row.outcome == outcome && row.reason == reason && row.policy.as_deref() == policy
        };
        if let Some(row) = self.rows.iter_mut().find(|row| is_it(row, policy)) {
            row.pending = row.pending.saturating_add(count);
            return;
        }
        // The labels are bounded: only policies are many, and of too many none is told apart.
        let policy = if self.rows.len() < MOST { policy } else { policy.map(|_| OTHER) };
        match self.rows.iter_mut().find(|row| is_it(row, policy)) {
            Some(row) => row.pending = row.pending.saturating_add(count),
            None => {
                self.rows.push(Row { series, outcome, policy: policy.map(str::to_owned), reason, pending: count, metric: None });
            }
        }
    }

    #[inline(never)]
    pub(crate) fn flush(&mut self, tokens: TokenCounts) {
        let verified = std::mem::take(&mut self.verified);
        if verified > 0 {
            self.add(Series::Tokens, "verified", None, "", verified);
        }
        for (outcome, count) in [("hit", tokens.hits), ("miss", tokens.misses)] {
            if count > 0 {
                self.add(Series::TokenCache, outcome, None, "", i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.rows.iter_mut().filter(|row| row.pending > 0).for_each(Row::flush);
    }
}

#[cfg(test)]
impl Tally {
    /// Of the counter with this name.
    pub(crate) fn pending(&self, name: &str) -> i64 {
        self.rows.iter().filter(|row| row.name() == name).map(|row| row.pending).sum()
    }
}

impl Row {
    fn flush(&mut self) {
        // The SDK returns an error for what the host does not know, which is counted again then.
        if self.metric.is_none() {
            self.metric = hostcalls::define_metric(MetricType::Counter, &self.name()).ok();
        }
        let Some(metric) = self.metric else { return };
        if hostcalls::increment_metric(metric, self.pending).is_ok() {
            self.pending = 0;
        }
    }

    fn name(&self) -> String {
        let Self { series, outcome, policy, reason, .. } = self;
        let name = series.name();
        match series {
            Series::Decisions | Series::ShadowDecisions => {
                let policy = policy.as_deref().unwrap_or("none");
                format!("{name};verdict={outcome};policy={policy};reason={reason}")
            }
            Series::Tokens | Series::TokenCache => format!("{name};outcome={outcome}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tally: &Tally) -> Vec<(String, i64)> {
        tally.rows.iter().map(|row| (row.name(), row.pending)).collect()
    }

    #[test]
    fn the_same_is_counted_together() {
        let mut tally = Tally::default();
        for policy in [Some("shop/a"), Some("shop/b"), Some("shop/a"), None] {
            tally.add(Series::Decisions, "ALLOW", policy, "allow_rule_matched", 1);
        }
        tally.add(Series::TokenCache, "hit", None, "", 5);
        let expected = [
            ("meshwright.decisions;verdict=ALLOW;policy=shop/a;reason=allow_rule_matched", 2),
            ("meshwright.decisions;verdict=ALLOW;policy=shop/b;reason=allow_rule_matched", 1),
            ("meshwright.decisions;verdict=ALLOW;policy=none;reason=allow_rule_matched", 1),
            ("meshwright.token_cache;outcome=hit", 5),
        ];
        assert_eq!(names(&tally), expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn many_policies_are_counted_as_others() {
        let mut tally = Tally::default();
        for index in 0..10_000 {
            tally.add(Series::Decisions, "DENY", Some(&format!("shop/{index}")), "deny_rule_matched", 1);
        }
        assert_eq!(tally.rows.len(), MOST + 1);
        assert_eq!(tally.rows.last().map(|row| (row.policy.as_deref(), row.pending)), Some((Some(OTHER), 10_000 - 256)));
    }
}

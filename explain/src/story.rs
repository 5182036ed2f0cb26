//! A decision told to a person: every rule that was looked at, how near each came, and what becomes of the request.

use std::collections::BTreeSet;
use std::fmt;

use meshwright_policy::wire::Action;
use meshwright_policy::{Considered, Decision, RuleRef};
use serde::Serialize;

use crate::answer::{Answer, Verdict};
use crate::case::Case;
use crate::explainer::{self, Explainer, Stop};
use crate::silent::Silent;

/// What people are told; a mesh may have thousands.
const MOST_SILENT: usize = 20;

/// An answer with all that led to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    #[serde(flatten)]
    answer: Answer,
    /// `<namespace>/<name>:<port>`, and what it takes there.
    workload: String,
    mtls_mode: Option<&'static str>,
    /// What the question takes for granted and the mesh would not.
    note: Option<String>,
    /// Of the request as the app receives it, with the query; none when it does not.
    target: Option<String>,
    host: Option<String>,
    /// What the app receives and the client did not send.
    headers_added: Vec<(String, String)>,
    /// Names of what the client sent and the app does not receive.
    headers_removed: Vec<String>,
    /// Every rule, in the order in which they are tried.
    rules: Vec<ToldRule>,
    /// Policies that are there and say nothing of it.
    silent: Vec<Silent>,
    /// Of a request that no ALLOW rule matched: the rule that failed by the fewest fields.
    nearest_miss: Option<Miss>,
    /// The first AUDIT rule that matched.
    audit: Option<Place>,
    /// What the policies in dry-run would make of it.
    shadow: Option<Shadow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Place {
    policy: String,
    rule: u32,
}

impl ToldRule {
    /// `<namespace>/<name>` of its policy.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.place.policy
    }

    /// Its index in the policy, from 0.
    #[must_use]
    pub fn rule(&self) -> u32 {
        self.place.rule
    }

    /// The fields that did not match, as `from.principals`; none: it matched.
    #[must_use]
    pub fn failed(&self) -> &[String] {
        &self.failed
    }
}

/// A rule, and how it fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldRule {
    #[serde(flatten)]
    place: Place,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    dry_run: bool,
    /// None: it matched.
    failed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Miss {
    #[serde(flatten)]
    place: Place,
    failed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Shadow {
    decision: &'static str,
    policy: Option<String>,
    rule: Option<u32>,
    reason: &'static str,
}

impl Explainer {
    /// The answer to a case, as [`answer`](Self::answer) gives it, and how it came about.
    pub fn story(&mut self, case: &Case, now: u64) -> Story {
        let mut story = match self.decide(case, now) {
            Ok((head, decided)) => {
                let received = |wanted: &str| decided.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
                let (target, host) = (received(":path"), received(":authority"));
                Story { target, host, ..Story::of(case, explainer::answer(case, head.as_ref(), decided)) }
            }
            Err(stop) => Story::of(case, stop.answer(case)),
        };
        // Where there is no policy to ask, the answer has said why.
        let _ = self.tell(case, now, &mut story);
        story
    }

    fn tell(&mut self, case: &Case, now: u64, story: &mut Story) -> Result<(), Stop> {
        let set = self.set(case, now)?;
        story.mtls_mode = Some(set.mode(case.connection.port).as_str());
        let foreign = case.connection.principal.as_ref().filter(|principal| set.is_foreign(principal));
        let foreign = foreign.map(|principal| format!("{principal} is of no trust domain of this mesh: the listener ends its handshake"));
        story.note = set.denial(case).or(foreign);
        let head = set.admit(case)?;
        let stream = set.stream(case, head.as_ref(), now)?;
        let failed = |error| Stop::Error { reason: "engine_failed", message: format!("{error}") };
        let judged = set.judge().map_err(failed)?.judge(&stream);
        story.rules = judged.considered.iter().map(ToldRule::from).collect();
        story.nearest_miss = judged.evaluation.nearest.map(|miss| Miss { place: miss.rule.into(), failed: miss.failed });
        story.audit = judged.evaluation.audit.map(Place::from);
        story.shadow = judged.evaluation.shadow.map(Shadow::from);
        let tried: BTreeSet<(&str, u32)> = story.rules.iter().map(|told| (told.policy(), told.rule())).collect();
        story.silent = set.silent(case, |policy, rule| tried.contains(&(policy, rule)));
        if story.answer.decision == Verdict::Allow {
            story.compare_headers(case);
        } else {
            (story.target, story.host) = (None, None);
        }
        Ok(())
    }
}

impl Story {
    fn of(case: &Case, answer: Answer) -> Self {
        Self {
            answer,
            workload: format!("{}/{}:{}", case.workload.namespace, case.workload.name, case.connection.port),
            mtls_mode: None,
            note: None,
            target: None,
            host: None,
            headers_added: Vec::new(),
            headers_removed: Vec::new(),
            rules: Vec::new(),
            silent: Vec::new(),
            nearest_miss: None,
            audit: None,
            shadow: None,
        }
    }

    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Every rule, in the order in which they are tried; none where no policy was asked.
    #[must_use]
    pub fn rules(&self) -> &[ToldRule] {
        &self.rules
    }

    fn compare_headers(&mut self, case: &Case) {
        let sent: BTreeSet<(String, &str)> = case
            .request
            .iter()
            .flat_map(|request| &request.headers)
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
            .collect();
        let received = &self.answer.request_headers;
        self.headers_added = received.iter().filter(|(name, value)| !sent.contains(&(name.clone(), value.as_str()))).cloned().collect();
        let gone = sent.iter().map(|(name, _)| name).filter(|name| *name != "host" && !received.iter().any(|(known, _)| known == *name));
        self.headers_removed = gone.cloned().collect::<BTreeSet<_>>().into_iter().collect();
    }
}

impl From<RuleRef<'_>> for Place {
    fn from(rule: RuleRef<'_>) -> Self {
        Self { policy: rule.policy.to_owned(), rule: rule.rule }
    }
}

impl From<&Considered<'_>> for ToldRule {
    fn from(considered: &Considered<'_>) -> Self {
        Self {
            place: considered.rule.into(),
            action: considered.action,
            provider: considered.provider.map(str::to_owned),
            dry_run: considered.dry_run,
            failed: considered.failed.clone(),
        }
    }
}

impl From<Decision<'_>> for Shadow {
    fn from(decision: Decision<'_>) -> Self {
        Self {
            decision: decision.verdict.as_str(),
            policy: decision.policy.map(str::to_owned),
            rule: decision.rule,
            reason: decision.reason.as_str(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.policy, self.rule)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_decision(f)?;
        writeln!(f, "  workload     {}, mutual TLS {}", self.workload, self.mtls_mode.unwrap_or("unknown"))?;
        if let Some(note) = &self.note {
            writeln!(f, "  but          {note}")?;
        }
        if !self.answer.path.is_empty() {
            writeln!(f, "  path         {}", self.answer.path)?;
        }
        if let Some(principal) = &self.answer.request_principal {
            writeln!(f, "  token of     {principal}")?;
        }
        if let Some(miss) = &self.nearest_miss {
            writeln!(f, "  nearest miss {}: {} did not match", miss.place, miss.failed.join(", "))?;
        }
        if let Some(place) = &self.audit {
            writeln!(f, "  audited by   {place}")?;
        }
        if let Some(shadow) = &self.shadow {
            let by = shadow.policy.as_ref().zip(shadow.rule).map(|(policy, rule)| format!(" by {policy} rule {rule}")).unwrap_or_default();
            writeln!(f, "  with dry-run {}{by} ({})", shadow.decision, shadow.reason)?;
        }
        self.write_rules(f)?;
        self.write_received(f)
    }
}

impl Story {
    fn write_decision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = &self.answer;
        let word = match answer.decision {
            Verdict::Allow => "ALLOW",
            Verdict::Deny => "DENY",
            Verdict::Error => "ERROR",
        };
        write!(f, "{word}")?;
        if let Some(status) = answer.status {
            write!(f, " {status}")?;
        }
        write!(f, ": {}", answer.reason)?;
        if let (Some(policy), Some(rule)) = (&answer.policy, answer.rule) {
            write!(f, ", {policy} rule {rule}")?;
        }
        writeln!(f)?;
        answer.error.iter().flat_map(|error| error.lines()).try_for_each(|line| writeln!(f, "  {line}"))
    }

    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rules.is_empty() {
            writeln!(f, "  rules, in the order in which they are tried:")?;
        }
        for rule in &self.rules {
            let action = rule.action.as_str();
            let dry_run = if rule.dry_run { " (dry-run)" } else { "" };
            let fared = if rule.failed.is_empty() { "matches".to_owned() } else { format!("no match: {}", rule.failed.join(", ")) };
            writeln!(f, "    {action}{dry_run} {}: {fared}", rule.place)?;
        }
        if !self.silent.is_empty() {
            writeln!(f, "  policies that match nothing here:")?;
        }
        for Silent { policy, rule, action, because } in self.silent.iter().take(MOST_SILENT) {
            let rule = rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
            writeln!(f, "    {} {policy}{rule}: {because}", action.as_str())?;
        }
        match self.silent.len().saturating_sub(MOST_SILENT) {
            0 => Ok(()),
            more => writeln!(f, "    and {more} more"),
        }
    }

    fn write_received(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(target) = &self.target else { return Ok(()) };
        writeln!(f, "  the app receives {target}")?;
        self.headers_added.iter().try_for_each(|(name, value)| writeln!(f, "    + {name}: {value}"))?;
        self.headers_removed.iter().try_for_each(|name| writeln!(f, "    - {name}"))
    }
}

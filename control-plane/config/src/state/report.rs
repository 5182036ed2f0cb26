//! What becomes of each rule on each port, as it is told to people and to machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::State;
use crate::enforcement::Enforcement;
use crate::state::RuleOnPort;

/// So many ports are named in one line for people.
const MOST_NAMED: usize = 4;

/// One rule on one port, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleStatus {
    /// `<namespace>/<name>`.
    pub policy: String,
    pub action: meshwright_policy::wire::Action,
    pub dry_run: bool,
    /// From 0.
    pub rule: usize,
    /// `<namespace>/<name>`.
    pub workload: String,
    pub port: u16,
    /// `http` or `tcp`.
    pub protocol: &'static str,
    /// `enforced`, `never_matches` or `widened`.
    pub enforcement: &'static str,
    /// The fields that are the cause, as paths into the document.
    pub fields: Vec<String>,
}

impl RuleStatus {
    fn new(found: &RuleOnPort<'_>) -> Self {
        let wire = found.policy.wire();
        Self {
            policy: format!("{}/{}", wire.namespace, wire.name),
            action: wire.action,
            dry_run: wire.dry_run,
            rule: found.rule,
            workload: format!("{}/{}", found.workload.namespace(), found.workload.name()),
            port: found.port.number,
            protocol: if found.port.http { "http" } else { "tcp" },
            enforcement: found.enforcement.as_str(),
            fields: found.enforcement.fields().iter().map(|field| format!("spec.rules[{}].{field}", found.rule)).collect(),
        }
    }
}

impl State {
    /// Every rule of every AuthorizationPolicy on every port that it is for.
    #[must_use]
    pub fn rule_statuses(&self) -> Vec<RuleStatus> {
        let enforcements = self.enforcements();
        self.authorization_policies().iter().flat_map(|policy| enforcements.of(policy)).map(|found| RuleStatus::new(&found)).collect()
    }

    /// A line for each rule: `AuthorizationPolicy bank/ledger rule 0 (DENY): enforced on 8080 (HTTP) of bank/ledger-1; …`.
    #[must_use]
    pub fn rule_lines(&self) -> Vec<String> {
        let enforcements = self.enforcements();
        let mut lines = Vec::new();
        for policy in self.authorization_policies() {
            let found = enforcements.of(policy);
            for (rule, _) in policy.wire().rules.iter().enumerate() {
                let on_ports: Vec<&RuleOnPort<'_>> = found.iter().filter(|found| found.rule == rule).collect();
                let dry_run = if policy.wire().dry_run { ", dry-run" } else { "" };
                let action = policy.wire().action.as_str();
                lines.push(format!("{} rule {rule} ({action}{dry_run}): {}", policy.key(), answers(&on_ports)));
            }
        }
        lines
    }
}

fn answers(on_ports: &[&RuleOnPort<'_>]) -> String {
    if on_ports.is_empty() {
        return "for no port of any workload".to_owned();
    }
    let mut parts = Vec::new();
    for (words, answer) in
        [("enforced on", "enforced"), ("can never match on", "never_matches"), ("matches more than it says on", "widened")]
    {
        let alike: Vec<&RuleOnPort<'_>> = on_ports.iter().copied().filter(|found| found.enforcement.as_str() == answer).collect();
        let Some(first) = alike.first() else { continue };
        let named: Vec<String> = alike.iter().take(MOST_NAMED).map(|found| place(found)).collect();
        let mut part = format!("{words} {}", named.join(", "));
        let more = alike.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            let _infallible = write!(part, " and {more} more");
        }
        if first.enforcement != Enforcement::Enforced {
            let _infallible = write!(part, " (`{}`)", first.enforcement.fields().join("`, `"));
        }
        parts.push(part);
    }
    parts.join("; ")
}

fn place(found: &RuleOnPort<'_>) -> String {
    let protocol = if found.port.http { "HTTP" } else { "TCP" };
    format!("{} ({protocol}) of {}/{}", found.port.number, found.workload.namespace(), found.workload.name())
}

//! AuthorizationPolicies that match nothing of a workload or connection, and why: what to look at when a decision is not the one that was meant.
//! Those of other namespaces are not for the workload at all, and are not told.

use std::collections::BTreeSet;

use meshwright_config::{AuthorizationPolicy, DEFAULT_ROOT_NAMESPACE, DocumentKey, Scope, State, Workload};
use meshwright_policy::wire::{Action, Protocol};
use serde::Serialize;

/// A policy, or one of its rules, that is there and matches nothing, whatever the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Silent {
    pub(crate) policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<u32>,
    pub(crate) action: Action,
    pub(crate) because: String,
}

/// Those of the workload's namespace and of the root one. `is_tried` says whether the engine has a rule of a policy.
pub(crate) fn silent(state: &State, workload: &Workload, protocol: Protocol, is_tried: impl Fn(&str, u32) -> bool) -> Vec<Silent> {
    let holding: BTreeSet<&DocumentKey> = state.authorization_for(workload).into_iter().map(AuthorizationPolicy::key).collect();
    let root = state.mesh().map_or(DEFAULT_ROOT_NAMESPACE, |mesh| mesh.root_namespace());
    let near = [workload.namespace(), root];
    let policies = state.authorization_policies().iter().filter(|policy| near.contains(&policy.key().namespace()));
    let told = policies.flat_map(|policy| {
        if !holding.contains(policy.key()) {
            return vec![entry(policy, None, elsewhere(policy.scope()))];
        }
        let rules = &policy.wire().rules;
        if rules.is_empty() {
            let denies = if policy.wire().action == Action::Allow { ": what no other ALLOW policy matches is denied" } else { "" };
            return vec![entry(policy, None, format!("has no rules{denies}"))];
        }
        if protocol == Protocol::Http {
            return Vec::new();
        }
        let dropped = (0..).take(rules.len()).filter(|rule| !is_tried(&name(policy), *rule));
        let why = || "asks about requests, and a TCP connection has none".to_owned();
        dropped.map(|rule| entry(policy, Some(rule), why())).collect()
    });
    told.collect()
}

fn name(policy: &AuthorizationPolicy) -> String {
    format!("{}/{}", policy.key().namespace(), policy.key().name())
}

fn entry(policy: &AuthorizationPolicy, rule: Option<u32>, because: String) -> Silent {
    Silent { policy: name(policy), rule, action: policy.wire().action, because }
}

fn elsewhere(scope: &Scope) -> String {
    match scope {
        Scope::Selected(labels) => {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("is for workloads with {}", labels.join(","))
        }
        Scope::Gateways(names) => format!("is for what serves Gateway {}", names.join(", ")),
        Scope::Everyone => "is for other workloads".to_owned(),
    }
}

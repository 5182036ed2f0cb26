//! What the record of a decision says of rules: that one decided says that it matched, and that those tried before it did not. Where the
//! candidate has the same rule, this is known of it too, whatever of the request is not in the log.

use meshwright_policy::RuleRef;
use meshwright_policy::wire::{Action, AuthzConfig, Rule};
use rustc_hash::FxHashMap;

use crate::decision::{Decision, Word};

/// Where a rule stands among those of its action, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    denies: bool,
    number: usize,
}

/// The rules that decided, by what they are called and by what they say.
#[derive(Debug, Default)]
pub(crate) struct Places {
    by_name: FxHashMap<String, FxHashMap<u32, Place>>,
    /// Of the candidate's rules: those of the current policies that say the same.
    same: FxHashMap<String, FxHashMap<u32, Vec<Place>>>,
}

/// What was found out by the time of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    deny: Tried,
    allow: Tried,
}

/// Rules of one action: those before `until` did not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tried {
    until: usize,
    /// The one at `until` did.
    hit: bool,
}

const ALL: Tried = Tried { until: usize::MAX, hit: false };
const NONE: Tried = Tried { until: 0, hit: false };

impl Places {
    /// `comparable`: a rule that says the same in both means the same in both.
    pub(crate) fn new(current: &AuthzConfig, candidate: &AuthzConfig, comparable: bool) -> Self {
        let mut places = Self::default();
        let mut by_text: FxHashMap<String, Vec<Place>> = FxHashMap::default();
        for denies in [true, false] {
            for (number, (policy, index, rule)) in rules(current, denies).enumerate() {
                let place = Place { denies, number };
                places.by_name.entry(policy.clone()).or_default().insert(index, place);
                by_text.entry(text(&policy, denies, rule)).or_default().push(place);
            }
        }
        let comparable = comparable
            && current.trust_domain == candidate.trust_domain
            && current.trust_domain_aliases == candidate.trust_domain_aliases
            && current.protocol == candidate.protocol;
        for denies in [true, false].into_iter().filter(|_| comparable) {
            for (policy, index, rule) in rules(candidate, denies) {
                if let Some(same) = by_text.get(&text(&policy, denies, rule)) {
                    places.same.entry(policy).or_default().insert(index, same.clone());
                }
            }
        }
        places
    }

    /// What a decision of the current policies says; none when these have no such rule.
    pub(crate) fn facts(&self, decision: &Decision<'_>) -> Option<Facts> {
        let at = || {
            let place = self.by_name.get(decision.policy.as_deref()?)?.get(&decision.rule?)?;
            Some((place.denies, Tried { until: place.number, hit: true }))
        };
        Some(match &*decision.reason {
            "deny_rule_matched" => Facts { deny: at().filter(|(denies, _)| *denies)?.1, allow: NONE },
            "allow_rule_matched" => Facts { deny: ALL, allow: at().filter(|(denies, _)| !*denies)?.1 },
            "no_allow_rule_matched" => Facts { deny: ALL, allow: ALL },
            "no_allow_policy" => Facts { deny: ALL, allow: NONE },
            // Asked only about what is allowed.
            "custom_provider_denied" if matches!(decision.word, Word::Ask(_)) => Facts { deny: ALL, allow: NONE },
            _ => return None,
        })
    }

    /// Whether a rule of the candidate matches, as far as the facts say it.
    pub(crate) fn matches(&self, facts: Facts, rule: RuleRef<'_>) -> Option<bool> {
        let same = self.same.get(rule.policy)?.get(&rule.rule)?;
        same.iter().find_map(|place| {
            let tried = if place.denies { facts.deny } else { facts.allow };
            if place.number < tried.until {
                return Some(false);
            }
            (place.number == tried.until && tried.hit).then_some(true)
        })
    }
}

/// The enforced rules of one action, in the order in which they are tried.
fn rules(config: &AuthzConfig, denies: bool) -> impl Iterator<Item = (String, u32, &Rule)> {
    let action = if denies { Action::Deny } else { Action::Allow };
    let policies = config.authorization.iter().filter(move |policy| policy.action == action && !policy.dry_run);
    policies.flat_map(|policy| {
        let name = format!("{}/{}", policy.namespace, policy.name);
        (0_u32..).zip(&policy.rules).map(move |(index, rule)| (name.clone(), index, rule))
    })
}

/// The namespace counts: a service account without one is of it.
fn text(policy: &str, denies: bool, rule: &Rule) -> String {
    let namespace = policy.split('/').next().unwrap_or_default();
    format!("{namespace} {denies} {}", serde_json::to_string(rule).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(names: [&str; 2], rules: [&str; 3]) -> AuthzConfig {
        let rule = |path: &str| json!({"to": [{"operation": {"paths": [path]}}]});
        serde_json::from_value(json!({"version": 1, "protocol": "http", "trust_domain": "t", "authorization": [
            {"namespace": "n", "name": names[0], "action": "ALLOW", "rules": [rule(rules[0]), rule(rules[1])]},
            {"namespace": "n", "name": names[1], "action": "DENY", "rules": [rule(rules[2])]},
        ]}))
        .unwrap()
    }

    fn decision(reason: &'static str, rule: Option<(&'static str, u32)>) -> Decision<'static> {
        let policy = rule.map(|(policy, _)| policy.into());
        Decision { word: Word::Allow, policy, rule: rule.map(|(_, rule)| rule), reason: reason.into(), exact: true }
    }

    #[test]
    fn a_decision_says_which_rules_matched_and_which_did_not() {
        // The candidate has them in other policies and another order.
        let (current, candidate) = (config(["a", "d"], ["/1", "/2", "/3"]), config(["x", "y"], ["/2", "/new", "/3"]));
        let places = Places::new(&current, &candidate, true);
        let known = |decision: &Decision<'_>| {
            let facts = places.facts(decision)?;
            Some([("n/x", 0), ("n/x", 1), ("n/y", 0)].map(|(policy, rule)| places.matches(facts, RuleRef { policy, rule })))
        };
        for (decision, expected) in [
            (decision("allow_rule_matched", Some(("n/a", 1))), Some([Some(true), None, Some(false)])),
            (decision("allow_rule_matched", Some(("n/a", 0))), Some([None, None, Some(false)])),
            (decision("deny_rule_matched", Some(("n/d", 0))), Some([None, None, Some(true)])),
            (decision("no_allow_rule_matched", None), Some([Some(false), None, Some(false)])),
            (decision("no_allow_policy", None), Some([None, None, Some(false)])),
            (decision("allow_rule_matched", Some(("n/gone", 0))), None),
            (decision("allow_rule_matched", Some(("n/d", 0))), None),
            (decision("jwt_expired", None), None),
        ] {
            assert_eq!(known(&decision), expected, "{decision}");
        }
        let apart = Places::new(&current, &candidate, false);
        let facts = apart.facts(&decision("no_allow_rule_matched", None)).unwrap();
        assert_eq!(apart.matches(facts, RuleRef { policy: "n/x", rule: 0 }), None);
    }
}

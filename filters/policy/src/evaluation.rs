//! A decision and all that goes with it: what is audited, what policies in dry-run would change, whom to ask besides, and which rule came
//! nearest to allowing what was denied.

use crate::decision::{Decision, Reason, by_rules, decide};
use crate::jwt::Authentication;
use crate::layer::Entry;
use crate::policy::Policy;
use crate::request::Request;
use crate::view::as_rules_see_it;
use crate::wire::Action;

/// At most so many rules that an index finds, and as many of the first, are looked at for the nearest miss, so that a denial costs little
/// whatever the policy.
const MOST_LOOKED_AT: usize = 32;

/// One rule of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRef<'p> {
    /// `<namespace>/<name>` of the AuthorizationPolicy.
    pub policy: &'p str,
    /// Index of the rule in it, from 0.
    pub rule: u32,
}

/// An external authorizer that must agree, and the first rule that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomCheck<'p> {
    /// The provider's name.
    pub provider: &'p str,
    /// Who asks for it.
    pub rule: RuleRef<'p>,
}

/// The ALLOW rule that failed by the fewest fields, of those that were looked at: the first ones, and where there are many those that share
/// the rarest of their fields with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearestMiss<'p> {
    /// Which it is.
    pub rule: RuleRef<'p>,
    /// Its fields that the request did not match: `to.paths`, `when.request.auth.claims[groups]`.
    pub failed: Vec<String>,
}

/// A decision with its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation<'p> {
    /// What is done.
    pub decision: Decision<'p>,
    /// The first AUDIT rule that matched.
    pub audit: Option<RuleRef<'p>>,
    /// What would be decided if the policies in dry-run were enforced too; none when there are none.
    pub shadow: Option<Decision<'p>>,
    /// Who has to agree, too, to what the decision allows.
    pub custom: Vec<CustomCheck<'p>>,
    /// Only for what no ALLOW rule matched.
    pub nearest: Option<NearestMiss<'p>>,
}

impl Evaluation<'_> {
    /// Whether there is nothing but the decision.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { decision: _, audit, shadow, custom, nearest } = self;
        audit.is_none() && shadow.is_none() && custom.is_empty() && nearest.is_none()
    }
}

/// Decides as [`decide`] does, and says all that goes with it.
#[must_use]
pub fn evaluate<'p>(policy: &'p Policy, request: &Request<'_>) -> Evaluation<'p> {
    let denied = policy.refuses(request.connection).is_some();
    if denied || matches!(request.authentication, Authentication::Refused(_)) {
        return Evaluation { decision: decide(policy, request), audit: None, shadow: None, custom: Vec::new(), nearest: None };
    }
    as_rules_see_it(request, |request| evaluate_rules(policy, request))
}

#[inline(never)]
fn evaluate_rules<'p>(policy: &'p Policy, request: &Request<'_>) -> Evaluation<'p> {
    let decision = by_rules(&policy.enforced, request);
    let custom = policy.custom.iter().filter_map(|provider| {
        let entry = provider.layer.first_match(request)?;
        Some(CustomCheck { provider: &provider.name, rule: reference(entry) })
    });
    Evaluation {
        decision,
        audit: policy.audit.first_match(request).map(reference),
        shadow: policy.shadow.as_ref().map(|layers| by_rules(layers, request)),
        custom: custom.collect(),
        nearest: if decision.reason == Reason::NoAllowRuleMatched { nearest(policy, request) } else { None },
    }
}

fn reference(entry: &Entry) -> RuleRef<'_> {
    RuleRef { policy: &entry.origin().key, rule: entry.index() }
}

#[inline(never)]
fn nearest<'p>(policy: &'p Policy, request: &Request<'_>) -> Option<NearestMiss<'p>> {
    let allow = policy.enforced.allow.as_ref()?;
    let mut best: Option<(usize, &Entry)> = None;
    for entry in allow.near(request, MOST_LOOKED_AT) {
        let distance = entry.rule().distance(request);
        // The first of those that are equally near.
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, entry));
        }
        // None of these rules matches, so that none is nearer.
        if distance <= 1 {
            break;
        }
    }
    let (_, nearest) = best?;
    Some(NearestMiss { rule: reference(nearest), failed: nearest.rule().failures(request) })
}

/// One rule that was looked at, as [`trace`] tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered<'p> {
    /// Which it is.
    pub rule: RuleRef<'p>,
    /// What its policy does.
    pub action: Action,
    /// The provider of a CUSTOM policy.
    pub provider: Option<&'p str>,
    /// Its policy is in dry-run.
    pub dry_run: bool,
    /// Its fields that the request did not match; none: it matched.
    pub failed: Vec<String>,
}

/// Every rule there is, in the order in which layers are tried (CUSTOM, AUDIT, DENY, ALLOW), and how it fared. For people: it looks at all
/// rules, matched or not.
#[must_use]
pub fn trace<'p>(policy: &'p Policy, request: &Request<'_>) -> Vec<Considered<'p>> {
    as_rules_see_it(request, |request| trace_rules(policy, request))
}

fn trace_rules<'p>(policy: &'p Policy, request: &Request<'_>) -> Vec<Considered<'p>> {
    let layers = policy.shadow.as_ref().unwrap_or(&policy.enforced);
    let all = policy.custom.iter().map(|provider| &provider.layer).chain([&policy.audit, &layers.deny]).chain(&layers.allow);
    let considered = all.flat_map(|layer| layer.entries()).map(|entry| Considered {
        rule: reference(entry),
        action: entry.origin().action,
        provider: entry.origin().provider.as_deref(),
        dry_run: entry.origin().dry_run,
        failed: entry.rule().failures(request),
    });
    considered.collect()
}

//! Compiles Istio's rules. Whatever cannot be enforced exactly is an error with its field's path, never a rule that matches more or less.

mod condition;
mod operation;
mod source;

use crate::check::{Check, Test};
use crate::field_path::FieldPath;
use crate::invalid::Errors;
use crate::matcher::identity::LocalDomains;
use crate::request::Request;
use crate::wire::{self, Action, Protocol};

const MOST_RULES: usize = 512;
const MOST_SOURCES: usize = 512;

/// What compiling a rule needs to know of the policy that it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) domains: &'a LocalDomains,
}

/// `from` and `to` and `when`, each any of its alternatives; none given: it holds.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    from: Option<Vec<Vec<Check>>>,
    to: Option<Vec<Vec<Check>>>,
    when: Vec<Check>,
}

impl Rule {
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        let all = |checks: &[Check]| checks.iter().all(|check| check.matches(request));
        let any = |alternatives: &Option<Vec<Vec<Check>>>| alternatives.as_ref().is_none_or(|list| list.iter().any(|checks| all(checks)));
        any(&self.to) && any(&self.from) && all(&self.when)
    }

    /// The alternatives of `from`, each with all of its checks; none: any source.
    pub(crate) fn from(&self) -> Option<&[Vec<Check>]> {
        self.from.as_deref()
    }

    /// The alternatives of `to`.
    pub(crate) fn to(&self) -> Option<&[Vec<Check>]> {
        self.to.as_deref()
    }

    pub(crate) fn when(&self) -> &[Check] {
        &self.when
    }

    /// Every check in it.
    pub(crate) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.from.iter().chain(&self.to).flatten().flatten().chain(&self.when)
    }

    /// Every test in it.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &Test> {
        self.checks().map(|check| &check.test)
    }

    /// How many fields keep the rule from matching, as [`Rule::failures`] lists them.
    pub(crate) fn distance(&self, request: &Request<'_>) -> usize {
        let failed = |checks: &[Check]| checks.iter().filter(|check| !check.matches(request)).count();
        let fewest = |alternatives: &Option<Vec<Vec<Check>>>| alternatives.iter().flatten().map(|checks| failed(checks)).min().unwrap_or(0);
        fewest(&self.from).saturating_add(fewest(&self.to)).saturating_add(failed(&self.when))
    }

    /// The fields that keep the rule from matching, `from.principals` or `when.source.ip`: of each part's alternatives, those of the one that
    /// fails by the fewest. None: it matches.
    #[inline(never)]
    pub(crate) fn failures(&self, request: &Request<'_>) -> Vec<String> {
        let failed = |check: &&Check| !check.matches(request);
        let fewest = |alternatives: &Option<Vec<Vec<Check>>>, name: &str| -> Vec<String> {
            let all = alternatives.iter().flatten().map(|checks| checks.iter().filter(failed).collect::<Vec<_>>());
            let nearest = all.min_by_key(Vec::len).unwrap_or_default();
            nearest.into_iter().map(|check| [name, ".", &check.field()].concat()).collect()
        };
        let from = fewest(&self.from, "from").into_iter();
        let to = fewest(&self.to, "to").into_iter();
        let when = self.when.iter().filter(failed).map(|check| ["when.", &check.key()].concat());
        from.chain(to).chain(when).collect()
    }

    /// What is left of the rule on a listener that has no HTTP. ALLOW: nothing, if any field needs HTTP, so that less is allowed. DENY:
    /// the fields that need none, so that more is denied.
    pub(crate) fn on(mut self, protocol: Protocol, action: Action) -> Option<Self> {
        self.from.iter_mut().chain(&mut self.to).flatten().flatten().chain(&mut self.when).for_each(|check| check.for_action(action));
        if protocol == Protocol::Http {
            return Some(self);
        }
        if action == Action::Allow {
            let needs_http = self.tests().any(Test::is_http_only);
            return (!needs_http).then_some(self);
        }
        let keep = |checks: &mut Vec<Check>| checks.retain(|check| !check.test.is_http_only());
        self.from.iter_mut().chain(&mut self.to).flatten().for_each(keep);
        keep(&mut self.when);
        Some(self)
    }
}

/// All rules of a policy; a rule with an error is left out, and then so is the policy.
pub(crate) fn compile_all(rules: &[wire::Rule], scope: Scope<'_>, path: &FieldPath<'_>, errors: &mut Errors) -> Vec<Rule> {
    if rules.len() > MOST_RULES {
        errors.add(path, format!("found {} rules; at most {MOST_RULES} are allowed", rules.len()));
    }
    rules.iter().enumerate().map(|(index, rule)| compile(rule, scope, &path.index(index), errors)).collect()
}

#[inline(never)]
fn compile(rule: &wire::Rule, scope: Scope<'_>, path: &FieldPath<'_>, errors: &mut Errors) -> Rule {
    let wire::Rule { from, to, when } = rule;
    let from = from.as_ref().map(|list| {
        let path = path.field("from");
        check_length(list.len(), MOST_SOURCES, &path, errors);
        let mut compiled = Vec::new();
        for (index, wire::From { source }) in list.iter().enumerate() {
            let item = path.index(index);
            let path = item.field("source");
            match source {
                Some(source) => compiled.push(source::compile(source, scope, &path, errors)),
                None => errors.add(path, "missing; a source with at least one field is allowed"),
            }
        }
        compiled
    });
    let to = to.as_ref().map(|list| {
        let path = path.field("to");
        check_length(list.len(), usize::MAX, &path, errors);
        let mut compiled = Vec::new();
        for (index, wire::To { operation }) in list.iter().enumerate() {
            let item = path.index(index);
            let path = item.field("operation");
            match operation {
                Some(operation) => compiled.push(operation::compile(operation, &path, errors)),
                None => errors.add(path, "missing; an operation with at least one field is allowed"),
            }
        }
        compiled
    });
    let mut checks = Vec::new();
    if let Some(when) = when {
        for (index, condition) in when.iter().enumerate() {
            checks.extend(condition::compile(condition, scope, &path.field("when").index(index), errors));
        }
        if when.is_empty() {
            errors.add(path.field("when"), "found an empty list; leave the field out for no condition");
        }
    }
    Rule { from, to, when: checks }
}

fn check_length(length: usize, most: usize, path: &FieldPath<'_>, errors: &mut Errors) {
    if length == 0 {
        errors.add(path, "found an empty list; leave the field out for any");
    } else if length > most {
        errors.add(path, format!("found {length} entries; at most {most} are allowed"));
    }
}

/// The values of one field, compiled; none when the field is absent or wrong.
#[inline(never)]
fn values<T>(
    list: Option<&Vec<String>>,
    path: &FieldPath<'_>,
    errors: &mut Errors,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let list = list?;
    if list.is_empty() {
        errors.add(path, "found an empty list; leave the field out for any");
        return None;
    }
    let parsed: Vec<T> = list.iter().enumerate().filter_map(|(index, value)| errors.keep(path.index(index), parse(value))).collect();
    (parsed.len() == list.len()).then_some(parsed)
}

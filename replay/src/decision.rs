//! A decision, as replay compares it: what is done, and by whom.

use std::borrow::Cow;
use std::fmt;

use meshwright_policy::{CustomCheck, Verdict};
use serde::Serialize;

/// What is done with a request or connection. Only if this differs, a decision has flipped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
    /// It passes if these external authorizers agree.
    Ask(Vec<String>),
}

/// What is done, by which rule, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision<'a> {
    /// What is done.
    pub word: Word,
    /// `<namespace>/<name>`.
    pub policy: Option<Cow<'a, str>>,
    /// From 0.
    pub rule: Option<u32>,
    /// As in the access log.
    pub reason: Cow<'a, str>,
    /// Whether rule and reason are certain: if not, a rule that looks at what is not in the log may decide the same.
    pub exact: bool,
}

impl<'a> Decision<'a> {
    pub(crate) fn of(decision: meshwright_policy::Decision<'a>, exact: bool, custom: &[CustomCheck<'_>]) -> Self {
        let word = match decision.verdict {
            Verdict::Deny => Word::Deny,
            Verdict::Allow if custom.is_empty() => Word::Allow,
            Verdict::Allow => Word::Ask(custom.iter().map(|check| check.provider.to_owned()).collect()),
        };
        Self { word, policy: decision.policy.map(Cow::from), rule: decision.rule, reason: decision.reason.as_str().into(), exact }
    }

    /// Before any policy.
    pub(crate) fn denied(reason: &'static str) -> Self {
        Self { word: Word::Deny, policy: None, rule: None, reason: reason.into(), exact: true }
    }

    pub(crate) fn into_owned(self) -> Decision<'static> {
        let Self { word, policy, rule, reason, exact } = self;
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Decision { word, policy: policy.map(owned), rule, reason: owned(reason), exact }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.word {
            Word::Allow => f.write_str("allow")?,
            Word::Deny => f.write_str("deny")?,
            Word::Ask(providers) => write!(f, "ask {}", providers.join(", "))?,
        }
        if let (Some(policy), Some(rule)) = (&self.policy, self.rule) {
            write!(f, " by {policy} rule {rule}")?;
        }
        write!(f, " ({}{})", self.reason, if self.exact { "" } else { ", or another rule" })
    }
}

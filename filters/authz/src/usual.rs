//! Decisions as most requests get them: with nothing to say besides. What one leaves to the access log is known from the one before it, and
//! how many there were is counted here, so that a warm request neither makes a record nor looks through the counts.

use std::cell::Cell;
use std::rc::Rc;

use meshwright_policy::{Authentication, Connection, Decision, Peer, Reason, Verdict};

use crate::recent::Recent;
use crate::tally::Tally;

/// All that the record of such a decision is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<'a> {
    decision: Decision<'a>,
    principal: Option<&'a str>,
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
}

impl<'a> Plain<'a> {
    pub(crate) fn new(decision: Decision<'a>, connection: &'a Connection, authentication: &'a Authentication) -> Self {
        let principal = match &connection.peer {
            Peer::Authenticated { uri_sans, .. } => uri_sans.first().map(String::as_str),
            Peer::Plaintext => None,
        };
        let claims = authentication.claims();
        Self { decision, principal, issuer: claims.map(|claims| claims.issuer()), subject: claims.and_then(|claims| claims.subject()) }
    }

    /// What differs most often is the first; the policy is the last.
    fn texts(&self) -> [Option<&'a str>; 4] {
        [self.subject, self.principal, self.issuer, self.decision.policy]
    }
}

/// The same, to keep: its texts behind one another, since each allocation costs as much as copying all of them.
#[derive(Debug)]
pub(crate) struct Known {
    verdict: Verdict,
    reason: Reason,
    rule: Option<u32>,
    lengths: Lengths,
    texts: String,
    record: Rc<[u8]>,
    /// Decisions that the tally has not been told of.
    pending: Cell<i64>,
}

/// Of the texts in [`Plain::texts`].
type Lengths = [Option<usize>; 4];

impl Known {
    fn is(&self, plain: &Plain<'_>) -> bool {
        let Plain { decision, .. } = plain;
        let texts = plain.texts();
        if self.rule != decision.rule
            || self.lengths != texts.map(|text| text.map(str::len))
            || self.verdict != decision.verdict
            || self.reason != decision.reason
        {
            return false;
        }
        texts.iter().flatten().try_fold(self.texts.as_bytes(), |rest, text| rest.strip_prefix(text.as_bytes())).is_some()
    }

    fn policy(&self) -> Option<&str> {
        let [.., length] = self.lengths;
        self.texts.get(self.texts.len().saturating_sub(length?)..)
    }

    pub(crate) fn record(&self) -> &Rc<[u8]> {
        &self.record
    }

    /// One more was decided so.
    pub(crate) fn count(&self) {
        self.pending.set(self.pending.get().saturating_add(1));
    }

    /// Tells the tally what was counted.
    pub(crate) fn settle(&self, tally: &mut Tally) {
        let pending = self.pending.take();
        if pending > 0 {
            tally.decisions(self.verdict, self.policy(), self.reason, pending);
        }
    }
}

/// The decisions of late.
#[derive(Debug, Default)]
pub(crate) struct Usual {
    known: Recent<Rc<Known>>,
}

impl Usual {
    /// This decision, which is counted; `None` when it is not known, and not counted.
    pub(crate) fn count(&self, plain: &Plain<'_>) -> Option<Rc<Known>> {
        let known = self.known.iter().find(|known| known.is(plain))?;
        known.count();
        Some(Rc::clone(known))
    }

    /// For the next of its kind.
    pub(crate) fn remember(&mut self, plain: &Plain<'_>, record: &Rc<[u8]>, tally: &mut Tally) -> Rc<Known> {
        let Plain { decision, .. } = *plain;
        let texts = plain.texts();
        let lengths = texts.map(|text| text.map(str::len));
        let mut all = String::with_capacity(lengths.iter().flatten().sum());
        texts.iter().flatten().for_each(|text| all.push_str(text));
        let known = Rc::new(Known {
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule,
            lengths,
            texts: all,
            record: Rc::clone(record),
            pending: Cell::new(0),
        });
        if let Some(oldest) = self.known.push(Rc::clone(&known)) {
            oldest.settle(tally);
        }
        known
    }

    /// Tells the tally what was counted.
    pub(crate) fn settle(&self, tally: &mut Tally) {
        self.known.iter().for_each(|known| known.settle(tally));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: Decision<'_> = Decision { verdict: Verdict::Allow, policy: Some("n/p"), rule: Some(0), reason: Reason::AllowRule };

    fn plain(subject: &'static str, rule: u32) -> Plain<'static> {
        Plain { decision: Decision { rule: Some(rule), ..ALLOW }, principal: None, issuer: Some("i"), subject: Some(subject) }
    }

    fn each_is_known_by_itself(all: &[Plain<'_>]) {
        let (mut usual, mut tally) = (Usual::default(), Tally::default());
        for (number, one) in (0_u8..).zip(all) {
            assert!(usual.count(one).is_none());
            usual.remember(one, &Rc::from([number]), &mut tally);
        }
        for (number, one) in (0_u8..).zip(all) {
            assert_eq!(usual.count(one).map(|known| Rc::clone(known.record())).as_deref(), Some(&[number][..]));
        }
    }

    #[test]
    fn what_differs_in_anything_is_not_the_same() {
        let deny = Decision { verdict: Verdict::Deny, ..ALLOW };
        let all = [
            plain("s", 0),
            plain("t", 0),
            plain("s", 1),
            Plain { principal: Some("p"), ..plain("s", 0) },
            Plain { issuer: None, ..plain("s", 0) },
            Plain { decision: deny, ..plain("s", 0) },
            Plain { decision: Decision { reason: Reason::NoAllowPolicy, ..ALLOW }, ..plain("s", 0) },
            Plain { decision: Decision { policy: Some("n/q"), ..ALLOW }, ..plain("s", 0) },
        ];
        each_is_known_by_itself(&all);
    }

    #[test]
    fn the_same_texts_of_others_are_not_the_same() {
        let all = [
            plain("s", 0),
            Plain { issuer: None, principal: Some("i"), ..plain("s", 0) },
            Plain { issuer: Some("si"), subject: None, ..plain("", 0) },
            Plain { issuer: Some(""), principal: Some("i"), ..plain("s", 0) },
        ];
        each_is_known_by_itself(&all);
    }

    #[test]
    fn no_decision_is_lost_to_the_count() {
        let subjects: Vec<&'static str> = (0..24).map(|number| &*format!("s{number}").leak()).collect();
        let (mut usual, mut tally) = (Usual::default(), Tally::default());
        for subject in &subjects {
            usual.remember(&plain(subject, 0), &Rc::from([0]), &mut tally);
            for _ in 0..3 {
                assert!(usual.count(&plain(subject, 0)).is_some());
            }
        }
        usual.settle(&mut tally);
        usual.settle(&mut tally);
        assert_eq!(tally.pending("meshwright.decisions;verdict=ALLOW;policy=n/p;reason=allow_rule_matched"), 3 * 24);
    }
}

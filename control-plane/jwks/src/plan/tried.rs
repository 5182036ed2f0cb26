use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A key that is not there yet may be there later: an issuer's servers do not all change at once.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// More is an attack; the oldest goes.
const MOST: usize = 128;

/// Names of keys that a fetch was made for.
#[derive(Debug, Default)]
pub(super) struct Tried {
    at: BTreeMap<String, Instant>,
}

impl Tried {
    /// Whether this one is new; it is remembered.
    pub(super) fn insert(&mut self, kid: &str, now: Instant) -> bool {
        self.at.retain(|_, at| now.saturating_duration_since(*at) < FORGOTTEN);
        if self.at.contains_key(kid) {
            return false;
        }
        if self.at.len() >= MOST
            && let Some(oldest) = self.at.iter().min_by_key(|(_, at)| **at).map(|(kid, _)| kid.clone())
        {
            self.at.remove(&oldest);
        }
        self.at.insert(kid.to_owned(), now);
        true
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_once_for_a_while_and_not_without_limit() {
        let (mut tried, now) = (Tried::default(), Instant::now());
        assert!(tried.insert("a", now));
        assert!(!tried.insert("a", now + FORGOTTEN - Duration::from_secs(1)));
        assert!(tried.insert("a", now + FORGOTTEN));
        for number in 0..1000 {
            tried.insert(&number.to_string(), now + FORGOTTEN);
        }
        assert_eq!(tried.at.len(), MOST);
    }
}

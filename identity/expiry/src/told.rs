use std::collections::BTreeSet;

/// Alarms that were there at the last look: each is told when it comes, and once more when it comes again after it was gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeSet<String>);

impl Told {
    /// Those of `found` that were not there at the last look, in order.
    pub fn news(&mut self, found: BTreeSet<String>) -> Vec<String> {
        let news = found.difference(&self.0).cloned().collect();
        self.0 = found;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_told_when_it_comes_and_when_it_comes_back() {
        let found = |alarms: &[&str]| alarms.iter().map(|alarm| (*alarm).to_owned()).collect::<BTreeSet<_>>();
        let mut told = Told::default();
        assert_eq!(told.news(found(&["b", "a"])), ["a", "b"]);
        assert_eq!(told.news(found(&["a", "b", "c"])), ["c"]);
        assert!(told.news(found(&["a"])).is_empty());
        assert_eq!(told.news(found(&["a", "b"])), ["b"]);
    }
}

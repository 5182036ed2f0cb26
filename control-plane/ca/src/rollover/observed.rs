//! Who may be alive without having the newest trust bundle: from what the control plane has seen of proxies and has issued.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A proxy that has been connected to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedProxy {
    pub name: String,
    pub identity: String,
    /// It has acknowledged the trust bundle of now. That is kept while it is away: what it holds does not change then.
    pub holds: bool,
    /// Since when it is away; `None` while it is connected.
    pub away_since: Option<SystemTime>,
}

/// What this process has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    pub proxies: Vec<ObservedProxy>,
    /// Until when the newest leaf of each identity lives that this process has issued.
    pub issued: BTreeMap<String, SystemTime>,
    /// The longest life of a leaf.
    pub leaf_ttl: Duration,
    /// When others will have learned of the bundle of now who look for it themselves; none when nobody does.
    pub fetched_by: Option<SystemTime>,
}

impl Observed {
    /// Those that may be alive and do not hold the bundle: connected ones; those that went away less than a leaf's life ago; and
    /// identities that have a living leaf although none of their proxies has acknowledged.
    #[must_use]
    pub fn unacknowledged(&self, now: SystemTime) -> Vec<String> {
        let alive = |proxy: &&ObservedProxy| proxy.away_since.is_none_or(|since| now <= since + self.leaf_ttl);
        let mut names: Vec<String> = self.proxies.iter().filter(|proxy| !proxy.holds).filter(alive).map(describe).collect();
        let held = |identity: &String| self.proxies.iter().any(|proxy| proxy.identity == *identity && proxy.holds);
        let named = |identity: &String| self.proxies.iter().filter(alive).any(|proxy| proxy.identity == *identity);
        let living = self.issued.iter().filter(|(_, until)| now <= **until).map(|(identity, _)| identity);
        names.extend(
            living.filter(|identity| !held(identity) && !named(identity)).map(|identity| format!("`{identity}` (no proxy connected)")),
        );
        names
    }
}

fn describe(proxy: &ObservedProxy) -> String {
    let state = if proxy.away_since.is_some() { " (not connected)" } else { "" };
    format!("`{}`{state}", proxy.name)
}

//! Propagation receipts: which proxies enforce a document, how long that took, and why the others do not yet.
//!
//! A proxy is concerned by a document when some resource of the proxy would differ without the document, or differs from what the version
//! before made ([`footprint`]). It enforces the document when it has acknowledged each of those at a version of which the document, as it is
//! now, was part ([`propagation`]). The [`ledger`] says since which revision that is.

pub(crate) mod footprint;
pub(crate) mod ledger;
pub(crate) mod propagation;

use std::time::Duration;

use meshwright_xds::ResourceType;
use serde::Serialize;

pub(crate) use footprint::{Footprint, Question};
pub(crate) use ledger::Ledger;
pub(crate) use propagation::{Change, Propagation, differences};

/// How far a document has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Every proxy that it concerns enforces it.
    Enforced,
    /// Some do not yet.
    Pending,
    /// Some proxy has refused what was made of it.
    Refused,
    /// What the directory holds is not in force.
    Quarantined,
    /// It is not there any more, and stays in force until its removal is released.
    Held,
    /// It is gone, and every proxy that it concerned has taken that.
    Removed,
}

/// The answer, as the admin API gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Receipt {
    /// `Kind namespace/name`.
    pub(crate) document: String,
    pub(crate) state: Standing,
    /// The version in force; null when there is none.
    pub(crate) version: Option<String>,
    /// The version that the directory holds, where it is another.
    pub(crate) found_version: Option<String>,
    /// `file:line` of what was found.
    pub(crate) origin: Option<String>,
    /// Since which revision of the configuration it is what it is.
    pub(crate) revision: u64,
    /// Why what was found is not in force.
    pub(crate) error: Option<String>,
    /// How many proxies enforce it.
    pub(crate) enforced: usize,
    /// How many it concerns.
    pub(crate) proxies: usize,
    /// From the save of the file to the proxy's last acknowledgement, over those of which both were seen.
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// Over how many proxies that was measured.
    pub(crate) measured: usize,
    /// Those that do not enforce it.
    pub(crate) waiting: Vec<Waiting>,
}

/// A proxy that does not enforce the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) node: String,
    pub(crate) connected: bool,
    /// `TYPE name` of what it has not acknowledged.
    pub(crate) resources: Vec<String>,
    /// Why not, as far as that is known.
    pub(crate) reason: String,
    /// It was sent what it lacks, and said no.
    pub(crate) refused: bool,
}

/// One proxy's part of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnProxy {
    Enforced(Option<Duration>),
    Waiting(Waiting),
}

/// What the directory says of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) document: String,
    pub(crate) version: Option<String>,
    pub(crate) found_version: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) revision: u64,
    pub(crate) error: Option<String>,
    pub(crate) held: bool,
}

impl Receipt {
    pub(crate) fn new(found: Found, proxies: Vec<OnProxy>) -> Self {
        let count = proxies.len();
        let mut latencies = Vec::new();
        let mut waiting = Vec::new();
        for proxy in proxies {
            match proxy {
                OnProxy::Enforced(latency) => latencies.extend(latency),
                OnProxy::Waiting(lacking) => waiting.push(lacking),
            }
        }
        latencies.sort();
        let state = match (&found, waiting.iter().any(|proxy| proxy.refused), waiting.is_empty()) {
            (Found { error: Some(_), .. }, ..) => Standing::Quarantined,
            (Found { held: true, .. }, ..) => Standing::Held,
            (_, true, _) => Standing::Refused,
            (_, _, false) => Standing::Pending,
            (Found { version: None, .. }, ..) => Standing::Removed,
            _ => Standing::Enforced,
        };
        let Found { document, version, found_version, origin, revision, error, held: _ } = found;
        Self {
            document,
            state,
            version,
            found_version,
            origin,
            revision,
            error,
            enforced: count.saturating_sub(waiting.len()),
            proxies: count,
            p99_ms: percentile(&latencies, 99).map(milliseconds),
            max_ms: latencies.last().copied().map(milliseconds),
            measured: latencies.len(),
            waiting,
        }
    }

    /// Whether waiting longer may change it.
    pub(crate) fn is_open(&self) -> bool {
        match self.state {
            Standing::Pending => true,
            // A response with more than one resource is tried again in parts: only what was refused alone is guilty.
            Standing::Refused => !self.waiting.iter().any(|proxy| proxy.refused && proxy.resources.len() == 1),
            Standing::Enforced | Standing::Quarantined | Standing::Held | Standing::Removed => false,
        }
    }
}

/// `TYPE name`.
pub(crate) fn label(kind: ResourceType, name: &str) -> String {
    format!("{} {name}", kind.short_name())
}

/// By nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            document: "Mesh default/mesh".to_owned(),
            version: Some("1".to_owned()),
            found_version: None,
            origin: None,
            revision: 1,
            error: None,
            held: false,
        }
    }

    fn lacks(refused: bool, resources: &[&str]) -> OnProxy {
        let resources = resources.iter().map(|name| (*name).to_owned()).collect();
        OnProxy::Waiting(Waiting { node: "a".to_owned(), connected: true, resources, reason: String::new(), refused })
    }

    fn enforced(ms: u64) -> OnProxy {
        OnProxy::Enforced(Some(Duration::from_millis(ms)))
    }

    #[test]
    fn one_proxy_that_lacks_something_is_enough_not_to_be_enforced() {
        let standing = |proxies| Receipt::new(found(), proxies).state;
        assert_eq!(standing(vec![]), Standing::Enforced);
        assert_eq!(standing(vec![enforced(1), OnProxy::Enforced(None)]), Standing::Enforced);
        assert_eq!(standing(vec![enforced(1), lacks(false, &["LDS a"])]), Standing::Pending);
        assert_eq!(standing(vec![lacks(false, &["LDS a"]), lacks(true, &["LDS a"])]), Standing::Refused);
    }

    #[test]
    fn what_the_directory_says_goes_before_what_proxies_hold() {
        let error = Found { error: Some("bad".to_owned()), ..found() };
        assert_eq!(Receipt::new(error, vec![enforced(1)]).state, Standing::Quarantined);
        assert_eq!(Receipt::new(Found { held: true, ..found() }, vec![enforced(1)]).state, Standing::Held);
        let gone = Found { version: None, ..found() };
        assert_eq!(Receipt::new(gone.clone(), vec![enforced(1)]).state, Standing::Removed);
        assert_eq!(Receipt::new(gone, vec![lacks(false, &[])]).state, Standing::Pending);
    }

    #[test]
    fn a_refusal_ends_the_wait_once_it_is_clear_which_resource_is_meant() {
        assert!(Receipt::new(found(), vec![lacks(true, &["CDS a", "CDS b"])]).is_open());
        assert!(!Receipt::new(found(), vec![lacks(true, &["CDS a"])]).is_open());
    }

    #[test]
    fn percentiles_are_by_nearest_rank_over_what_was_measured() {
        let receipt = Receipt::new(found(), (1..=200).map(enforced).chain([OnProxy::Enforced(None)]).collect());
        assert_eq!((receipt.p99_ms, receipt.max_ms, receipt.measured, receipt.enforced), (Some(198.0), Some(200.0), 200, 201));
        let none = Receipt::new(found(), vec![OnProxy::Enforced(None)]);
        assert_eq!((none.p99_ms, none.measured), (None, 0));
    }
}

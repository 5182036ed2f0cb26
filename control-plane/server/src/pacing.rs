//! When a new state of the documents is published. The first one after a rest at once; those that follow soon after are put together, so that
//! a burst of saves is not as many pushes to every proxy. An endpoint that has gone is told at once: calls to it fail meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use meshwright_config::{Address, Content, DocumentKey};
use meshwright_sources::{InForce, differences};
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two publications.
const REST: Duration = Duration::from_millis(50);

/// See the module. Knows no clock.
#[derive(Debug, Default)]
struct Pacing {
    last: Option<Instant>,
}

impl Pacing {
    /// When what has come may be published; at once where that is over.
    fn due(&self, is_urgent: bool) -> Option<Instant> {
        self.last.filter(|_| !is_urgent).map(|last| last + REST)
    }

    fn published(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

/// Calls `publish` for what is new, as above, until nothing more can come.
pub(crate) async fn follow<T: Clone>(mut news: watch::Receiver<T>, is_urgent: impl Fn(&T) -> bool, publish: impl Fn()) {
    let mut pacing = Pacing::default();
    while news.changed().await.is_ok() {
        loop {
            // A copy: nothing may be waited for while it is borrowed.
            let newest = news.borrow_and_update().clone();
            let Some(due) = pacing.due(is_urgent(&newest)) else { break };
            tokio::select! {
                // Also when nothing more can come: what there is is published.
                () = tokio::time::sleep_until(due) => break,
                Ok(()) = news.changed() => {}
            }
        }
        publish();
        pacing.published(Instant::now());
    }
}

/// Whether an instance of a service is no longer where it was.
pub(crate) fn loses_endpoints(old: &BTreeMap<DocumentKey, InForce>, new: &BTreeMap<DocumentKey, InForce>) -> bool {
    differences(old, new).any(|(_, before, now)| {
        let now = now.map(addresses).unwrap_or_default();
        before.is_some_and(|before| addresses(before).iter().any(|address| !now.contains(address)))
    })
}

fn addresses(document: &InForce) -> Vec<&Address> {
    match document.document().content() {
        Content::WorkloadEntry(workload) => vec![workload.address()],
        Content::ServiceEntry(service) => service.endpoints().iter().map(|endpoint| endpoint.address()).collect(),
        Content::Mesh(_)
        | Content::AuthorizationPolicy(_)
        | Content::RequestAuthentication(_)
        | Content::PeerAuthentication(_)
        | Content::DestinationRule(_)
        | Content::VirtualService(_)
        | Content::Gateway(_)
        | Content::Sidecar(_)
        | Content::IdentityDenyList(_)
        | Content::Secret(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;

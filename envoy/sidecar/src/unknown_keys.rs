//! Keys that tokens name and the proxy does not have: what the filter logs of them goes to the control plane. Losing one is no harm, for the
//! next token says the same; so nothing is waited for and nothing tried twice.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use meshwright_ca::client::{self, Credentials};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::output::Line;

/// Waiting to be told; more are dropped.
const WAITING: usize = 16;
/// For how long the same is told once: each of the proxy's workers logs it.
const ONCE: Duration = Duration::from_secs(10);

/// What the filter logs, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnknownKey {
    issuer: String,
    kid: String,
}

impl UnknownKey {
    /// What one line of Envoy's output says, if it is the filter's report of a key.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Self> {
        match Line::of(line) {
            Line::UnknownKey(json) => Self::parse(json),
            Line::Record(_) | Line::BrokenRecord | Line::Other => None,
        }
    }

    fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whose token named it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// Takes what the filter logged.
#[derive(Debug, Clone)]
pub(crate) struct UnknownKeys(mpsc::Sender<UnknownKey>);

impl UnknownKeys {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<UnknownKey>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    pub(crate) fn push(&self, json: &[u8]) {
        let Some(key) = UnknownKey::parse(json) else { return tracing::debug!("a report of the filter is not whole") };
        if self.0.try_send(key).is_err() {
            tracing::debug!("a report of the filter is dropped: others are first");
        }
    }
}

/// Tells the control plane for ever, as whoever this sidecar is at the time.
pub(crate) async fn tell(
    address: String,
    credentials: watch::Receiver<Arc<Credentials>>,
    mut keys: mpsc::Receiver<UnknownKey>,
) -> anyhow::Result<()> {
    let mut last: Option<(UnknownKey, Instant)> = None;
    while let Some(key) = keys.recv().await {
        if last.as_ref().is_some_and(|(told, at)| *told == key && at.elapsed() < ONCE) {
            continue;
        }
        let current = Arc::clone(&credentials.borrow());
        match client::report_unknown_key(&address, &current, &key.issuer, &key.kid, SystemTime::now()).await {
            Ok(()) => last = Some((key, Instant::now())),
            Err(error) => tracing::warn!(issuer = key.issuer, "the control plane is not told of a token's unknown key: {error}"),
        }
    }
    // Envoy's output has ended; whoever runs the sidecar ends this too.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_whole_reports_are_taken_and_no_more_than_can_wait() {
        let (keys, mut taken) = UnknownKeys::channel();
        for broken in ["", "{}", r#"{"issuer":"i"}"#, r#"{"issuer":"i","kid":7}"#, r#"{"issuer":"i","kid":"k","more":1}"#] {
            keys.push(broken.as_bytes());
        }
        for number in 0..100 {
            keys.push(format!(r#"{{"issuer":"i","kid":"{number}"}}"#).as_bytes());
        }
        drop(keys);
        let mut kids = Vec::new();
        while let Some(key) = taken.recv().await {
            kids.push(key.kid);
        }
        assert_eq!(kids, (0..WAITING).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

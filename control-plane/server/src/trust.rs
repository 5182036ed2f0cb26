//! The authority in a running control plane: once a second it takes the step of a rollover that is due, by what proxies have acknowledged,
//! and keeps the control plane's own certificate fresh. What operators see of it: `GET /v1/ca`, `status` and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_ca::{Authority, Lease, Observed, RolloverStatus, ServerCertificate, TokenStore};
use meshwright_identity::SpiffeId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Value, json};

use crate::board::Board;
use crate::publisher::Publisher;

const TICK: Duration = Duration::from_secs(1);
/// Of [`TICK`]s.
const HOUSEKEEPING: u32 = 60;
/// Shares of a leaf's life, in percent, at which somebody should look: half is when it is renewed.
const LATE: [u64; 2] = [75, 90];

/// The authority and who is known to hold its bundle.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) authority: Arc<Authority>,
    pub(crate) board: Arc<Board>,
}

impl Trust {
    fn observed(&self, now: SystemTime) -> Observed {
        let issued = self.authority.leases(now).into_iter().map(|(identity, lease)| (identity.to_string(), lease.until)).collect();
        Observed { proxies: self.board.bundle_holders(), issued, leaf_ttl: self.authority.leaf_ttl() }
    }

    pub(crate) fn rollover(&self) -> RolloverStatus {
        let now = SystemTime::now();
        self.authority.rollover_status(&self.observed(now), now)
    }

    /// For `status`: where a rollover stands, and whose certificates are overdue.
    pub(crate) fn status(&self) -> Value {
        json!({"rollover": self.rollover(), "overdue_certificates": overdue(&self.authority, SystemTime::now())})
    }
}

/// Whose certificates are late in being renewed, and which alarm that raises.
fn overdue(authority: &Authority, now: SystemTime) -> Vec<Value> {
    let late = |(identity, lease): (SpiffeId, Lease)| {
        let percent = lease.percent_over(now);
        let level = LATE.into_iter().filter(|level| percent >= *level).max()?;
        Some(json!({
            "identity": identity.to_string(), "life_over_percent": percent, "alarm": level, "not_after": meshwright_ca::utc(lease.until),
        }))
    };
    authority.leases(now).into_iter().filter_map(late).collect()
}

/// Until the control plane ends.
pub(crate) async fn keep(trust: Trust, publisher: Arc<Publisher>, certificate: Arc<ServerCertificate>, tokens: TokenStore) {
    let mut due = tokio::time::interval(TICK);
    for tick in 0_u32.. {
        due.tick().await;
        let now = SystemTime::now();
        match trust.authority.advance(&trust.observed(now), now) {
            // At once: until the board has the new targets, what proxies acknowledged would be taken for the new bundle.
            Ok(true) => publisher.publish_trust_bundle(trust.authority.trust_bundle_pem()),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the rollover of the root does not go on"),
        }
        if let Err(error) = certificate.renew_if_due(&trust.authority, now) {
            tracing::error!(%error, "the control plane's own certificate cannot be renewed; the old one stays");
        }
        if tick % HOUSEKEEPING == 0
            && let Err(error) = tokens.purge(now)
        {
            tracing::warn!(%error, "expired join tokens cannot be removed");
        }
    }
}

/// Read off the authority when somebody asks.
#[derive(Debug)]
pub(crate) struct TrustMetrics {
    pub(crate) authority: Arc<Authority>,
}

impl Collector for TrustMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = SystemTime::now();
        let left = |until: SystemTime| until.duration_since(now).unwrap_or_default().as_secs_f64();
        let (root, intermediate) = self.authority.expiries();
        let help = "For how long the authority's certificates are valid.";
        let mut lives = encoder.encode_descriptor("ca_time_to_expiry", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (name, until) in [("root", root), ("intermediate", intermediate)] {
            ConstGauge::new(left(until)).encode(lives.encode_family(&[("certificate", name)])?)?;
        }
        let phase = self.authority.phase();
        let help = "Where a rollover of the root stands: 1 for the phase that it is in.";
        let mut phases = encoder.encode_descriptor("ca_rollover_phase", help, None, MetricType::Gauge)?;
        for name in ["stable", "publish", "sign", "retire"] {
            ConstGauge::new(i64::from(phase.name() == name)).encode(phases.encode_family(&[("phase", name)])?)?;
        }
        let leases = self.authority.leases(now);
        let help = "Workload certificates that are not renewed although so much of their life, in percent, is over; they should be at 50.";
        let mut overdue = encoder.encode_descriptor("certificates_overdue", help, None, MetricType::Gauge)?;
        let levels: BTreeMap<u64, usize> =
            LATE.into_iter().map(|level| (level, leases.values().filter(|lease| lease.percent_over(now) >= level).count())).collect();
        for (level, count) in levels {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(overdue.encode_family(&[("life_over", level.to_string())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshwright_ca::{AuthorityOptions, PrivateKey};
    use meshwright_identity::TrustDomain;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn certificates_that_are_not_renewed_raise_both_alarms_in_turn() {
        let data = tempfile::tempdir().unwrap();
        let domain = TrustDomain::parse("shop.example").unwrap();
        let options = AuthorityOptions { leaf_ttl: Duration::from_secs(1000), ..AuthorityOptions::default() };
        let start = SystemTime::now() - Duration::from_secs(800);
        let authority = Arc::new(Authority::open_with(data.path(), &domain, "mesh", options, start).unwrap());
        let issue = |name: &str, at| {
            let id = SpiffeId::parse(&format!("spiffe://shop.example/ns/shop/sa/{name}")).unwrap();
            let request = PrivateKey::generate(Default::default()).unwrap().signing_request().unwrap();
            authority.issue(&request, &id, Duration::from_secs(1000), at).unwrap();
        };
        issue("late", start);
        issue("later", start - Duration::from_secs(150));
        issue("fresh", SystemTime::now());
        let mut registry = Registry::with_prefix("meshwright");
        registry.register_collector(Box::new(TrustMetrics { authority: Arc::clone(&authority) }));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "meshwright_certificates_overdue{life_over=\"75\"} 2",
            "meshwright_certificates_overdue{life_over=\"90\"} 1",
            "meshwright_ca_rollover_phase{phase=\"stable\"} 1",
            "meshwright_ca_rollover_phase{phase=\"sign\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(text.contains("meshwright_ca_time_to_expiry_seconds{certificate=\"intermediate\"} 2"), "{text}");
        let status = overdue(&authority, SystemTime::now());
        let alarm = |name: &str| {
            let identity = format!("spiffe://shop.example/ns/shop/sa/{name}");
            status.iter().find(|late| late["identity"] == identity.as_str()).and_then(|late| late["alarm"].as_u64())
        };
        assert_eq!(["late", "later", "fresh"].map(alarm), [Some(75), Some(90), None], "{status:?}");
    }
}

//! The control plane's metrics (OpenMetrics). Labels are closed sets or from documents, never what a peer wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use std::sync::Arc;

use meshwright_ca::Authority;
use meshwright_federation::FederatedBundles;
use meshwright_jwks::Keys;
use meshwright_sources::Loaded;
use meshwright_xds::{ResourceType, StreamEvent};
use tokio::sync::watch;

use crate::board::ProxyStatus;
use crate::credentials::CredentialMetrics;
use crate::foreign_bundles::BundleMetrics;
use crate::key_sources::KeyMetrics;
use crate::trust::TrustMetrics;

/// Upper bounds, in seconds.
const CONVERGENCE: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: TypeLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TypeLabel(ResourceType);

impl EncodeLabelValue for TypeLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.short_name().encode(encoder)
    }
}

/// Counters that stream events move, and gauges that are read off the board when somebody asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By type, as thousands of proxies acknowledge every edit.
    acks: BTreeMap<ResourceType, Counter>,
    nacks: Family<OfType, Counter>,
    connected: Gauge,
    in_sync: Gauge,
    revision: Gauge,
    convergence: Histogram,
}

impl Metrics {
    pub(crate) fn new(keys: Keys, federated: FederatedBundles, authority: Arc<Authority>, documents: watch::Receiver<Arc<Loaded>>) -> Self {
        let mut registry = Registry::with_prefix("meshwright");
        let metrics = (Family::<OfType, Counter>::default(), Family::default(), Gauge::default(), Gauge::default(), Gauge::default());
        let (acks, nacks, connected, in_sync, revision) = metrics;
        registry.register("xds_acks", "Responses that proxies acknowledged", Clone::clone(&acks));
        let of_type = |kind| (kind, acks.get_or_create(&OfType { r#type: TypeLabel(kind) }).clone());
        let acks = ResourceType::ALL.into_iter().map(of_type).collect();
        registry.register("xds_nacks", "Responses that proxies refused", Clone::clone(&nacks));
        registry.register("proxies_connected", "Proxies with an open stream", Gauge::clone(&connected));
        registry.register("proxies_in_sync", "Connected proxies that have acknowledged all that they should hold", Gauge::clone(&in_sync));
        registry.register("configuration_revision", "Number of the newest revision of the configuration", Gauge::clone(&revision));
        let convergence = Histogram::new(CONVERGENCE);
        let help = "From the save of a file to the last acknowledgement of what it changed for a proxy, one observation a proxy";
        registry.register_with_unit("convergence", help, Unit::Seconds, Histogram::clone(&convergence));
        registry.register_collector(Box::new(KeyMetrics { keys }));
        registry.register_collector(Box::new(BundleMetrics { federated }));
        registry.register_collector(Box::new(TrustMetrics { authority }));
        registry.register_collector(Box::new(CredentialMetrics { documents }));
        Self { registry, acks, nacks, connected, in_sync, revision, convergence }
    }

    /// A proxy has acknowledged all that a change was for it.
    pub(crate) fn converged(&self, latency: Duration) {
        self.convergence.observe(latency.as_secs_f64());
    }

    pub(crate) fn count(&self, event: &StreamEvent) {
        match event {
            StreamEvent::Acked { resource_type, .. } => {
                if let Some(acks) = self.acks.get(resource_type) {
                    acks.inc();
                }
            }
            StreamEvent::Nacked { resource_type, .. } => {
                self.nacks.get_or_create(&OfType { r#type: TypeLabel(*resource_type) }).inc();
            }
            StreamEvent::Connected { .. } | StreamEvent::Sent { .. } | StreamEvent::Disconnected { .. } => {}
        }
    }

    pub(crate) fn encode(&self, proxies: &[ProxyStatus], revision: u64) -> Result<String, std::fmt::Error> {
        let count = |of: fn(&&ProxyStatus) -> bool| i64::try_from(proxies.iter().filter(of).count()).unwrap_or(i64::MAX);
        self.connected.set(count(|proxy| proxy.connected));
        self.in_sync.set(count(|proxy| proxy.connected && proxy.in_sync));
        self.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

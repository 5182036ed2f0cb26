//! What operators see of other trust domains' bundles: `status` and metrics.

use std::time::{Instant, SystemTime};

use meshwright_federation::{DomainReport, FederatedBundles};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Value, json};

/// One trust domain, as `status` shows it.
pub(crate) fn status(domain: &DomainReport) -> Value {
    json!({
        "name": domain.name,
        "url": domain.url,
        "roots": domain.roots,
        "sequence": domain.sequence,
        "last_success": domain.last_success.map(meshwright_ca::utc),
        "age_seconds": domain.age(SystemTime::now()).map(|age| age.as_secs()),
        "last_error": domain.last_error,
        "failures": domain.failures,
        "next_attempt_seconds": domain.next_attempt.map(|at| at.saturating_duration_since(Instant::now()).as_secs()),
    })
}

/// Read off the report when somebody asks. The label `trust_domain` is what operators wrote in the Mesh document.
#[derive(Debug)]
pub(crate) struct BundleMetrics {
    pub(crate) federated: FederatedBundles,
}

impl Collector for BundleMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (report, now) = (self.federated.report(), SystemTime::now());
        let help = "How long ago another trust domain's bundle was fetched.";
        let mut ages = encoder.encode_descriptor("trust_bundle_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for domain in report.iter() {
            if let Some(age) = domain.age(now) {
                ConstGauge::new(age.as_secs_f64()).encode(ages.encode_family(&[("trust_domain", domain.name.as_str())])?)?;
            }
        }
        let help = "How many roots vouch for another trust domain; with none nobody of it is believed.";
        let mut roots = encoder.encode_descriptor("trust_bundle_roots", help, None, MetricType::Gauge)?;
        for domain in report.iter() {
            let count = i64::try_from(domain.roots).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(roots.encode_family(&[("trust_domain", domain.name.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshwright_config::{State, parse_file};
    use meshwright_federation::Federation;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_domain_without_a_bundle_is_shown_and_has_no_age() {
        let document = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"}, "spec": {
            "trustDomain": "a.example", "trustDomains": [
                {"name": "b.example", "bundleEndpointURL": "https://b.example/", "bundleEndpointProfile": {"type": "https_web"}}]}});
        let documents = parse_file("a.yaml", &document.to_string()).into_iter().map(Result::unwrap).collect();
        let data = tempfile::tempdir().unwrap();
        let (_federation, federated) = Federation::open(data.path(), &State::assemble(documents).0).unwrap();
        let expected = json!({"name": "b.example", "url": "https://b.example/", "roots": 0, "sequence": null, "last_success": null,
            "age_seconds": null, "last_error": null, "failures": 0, "next_attempt_seconds": 0});
        assert_eq!(status(&federated.report()[0]), expected);
        let mut registry = Registry::with_prefix("meshwright");
        registry.register_collector(Box::new(BundleMetrics { federated }));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# HELP meshwright_trust_bundle_age_seconds How long ago another trust domain's bundle was fetched.",
            "meshwright_trust_bundle_roots{trust_domain=\"b.example\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}

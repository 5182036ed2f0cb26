//! What operators see of fetched keys: `status` and metrics.

use std::time::{Instant, SystemTime};

use meshwright_jwks::{Keys, SourceReport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Value, json};

/// One source, as `status` shows it.
pub(crate) fn status(source: &SourceReport) -> Value {
    json!({
        "url": source.url,
        "issuers": source.issuers,
        "keys": source.keys,
        "last_success": source.last_success.map(meshwright_ca::utc),
        "age_seconds": source.age(SystemTime::now()).map(|age| age.as_secs()),
        "last_error": source.last_error,
        "failures": source.failures,
        "next_attempt_seconds": source.next_attempt.map(|at| at.saturating_duration_since(Instant::now()).as_secs()),
    })
}

/// Read off the report when somebody asks. The label `source` is what operators wrote in documents.
#[derive(Debug)]
pub(crate) struct KeyMetrics {
    pub(crate) keys: Keys,
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (report, now) = (self.keys.report(), SystemTime::now());
        let help = "How long ago an issuer's keys were fetched.";
        let mut ages = encoder.encode_descriptor("jwks_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for source in &report.sources {
            if let Some(age) = source.age(now) {
                ConstGauge::new(age.as_secs_f64()).encode(ages.encode_family(&[("source", source.url.as_str())])?)?;
            }
        }
        let help = "How many keys of an issuer are in force; with none every token is refused.";
        let mut keys = encoder.encode_descriptor("jwks_keys", help, None, MetricType::Gauge)?;
        for source in &report.sources {
            let count = i64::try_from(source.keys).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(keys.encode_family(&[("source", source.url.as_str())])?)?;
        }
        let mut fetches = encoder.encode_descriptor("jwks_fetches", "Fetches of issuers' keys.", None, MetricType::Counter)?;
        for (outcome, count) in &report.fetches {
            ConstCounter::new(*count).encode(fetches.encode_family(&[("outcome", outcome.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshwright_config::{State, parse_file};
    use meshwright_jwks::Fetcher;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_source_without_keys_is_shown_and_has_no_age() {
        let document =
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: a}\nspec: {jwtRules: [{issuer: 'https://i'}]}";
        let (state, _) = State::assemble(parse_file("a.yaml", document).into_iter().map(Result::unwrap).collect());
        let data = tempfile::tempdir().unwrap();
        let (_fetcher, keys) = Fetcher::open(data.path(), &state).unwrap();
        let shown = status(&keys.report().sources[0]);
        let expected = json!({"url": "https://i/.well-known/openid-configuration", "issuers": ["https://i"], "keys": 0, "last_success": null,
            "age_seconds": null, "last_error": null, "failures": 0, "next_attempt_seconds": 0});
        assert_eq!(shown, expected);
        let mut registry = Registry::with_prefix("meshwright");
        registry.register_collector(Box::new(KeyMetrics { keys }));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# HELP meshwright_jwks_age_seconds How long ago an issuer's keys were fetched.",
            "meshwright_jwks_keys{source=\"https://i/.well-known/openid-configuration\"} 0",
            "# HELP meshwright_jwks_fetches Fetches of issuers' keys.",
            "meshwright_jwks_fetches_total{outcome=\"success\"} 0",
            "meshwright_jwks_fetches_total{outcome=\"refused_address\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}

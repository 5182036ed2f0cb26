//! Certificates that documents hold for gateways: until when, as a metric, and an alarm in the log before they end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_config::Kind;
use meshwright_expiry::Told;
use meshwright_sources::Loaded;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::watch;

/// Days matter, and edits come many a second.
const LOOK: Duration = Duration::from_secs(60);

/// Read off the documents when somebody asks. The labels are names that operators wrote in them.
#[derive(Debug)]
pub(crate) struct CredentialMetrics {
    pub(crate) documents: watch::Receiver<Arc<Loaded>>,
}

impl Collector for CredentialMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (loaded, now) = (Arc::clone(&self.documents.borrow()), SystemTime::now());
        let help = "For how long the certificates of a Secret are valid: until the first of them ends; 0 when it has.";
        let mut left = encoder.encode_descriptor("credential_time_to_expiry", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for credential in loaded.state().credentials() {
            if let Some(until) = credential.not_after() {
                let seconds = until.duration_since(now).unwrap_or_default().as_secs_f64();
                let labels = [("namespace", credential.key().namespace()), ("name", credential.key().name())];
                ConstGauge::new(seconds).encode(left.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// What should be replaced, with file, line and field. The days that are left are in it: told once, it is told again every day.
fn alarms(loaded: &Loaded, now: SystemTime) -> BTreeSet<String> {
    let secrets = loaded.in_force().iter().filter(|(key, _)| key.kind() == Kind::Secret).map(|(_, in_force)| in_force.document());
    secrets.flat_map(|secret| secret.untimely(now).into_iter().chain(secret.ending(now))).map(|error| error.to_string()).collect()
}

/// Until the control plane ends.
pub(crate) async fn watch(documents: watch::Receiver<Arc<Loaded>>) {
    let mut told = Told::default();
    let mut due = tokio::time::interval(LOOK);
    loop {
        due.tick().await;
        let loaded = Arc::clone(&documents.borrow());
        for alarm in told.news(alarms(&loaded, SystemTime::now())) {
            tracing::error!("{alarm}");
        }
    }
}

#[cfg(test)]
mod tests {
    use meshwright_sources::{DirectorySource, Guard};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use serde_json::json;

    use super::*;

    fn secret(name: &str, last_year: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(last_year, 1, 1));
        let entries = json!({"tls.crt": parameters.self_signed(&key).unwrap().pem(), "tls.key": key.serialize_pem()});
        let metadata = json!({"name": name, "namespace": "edge"});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "stringData": entries}).to_string()
    }

    #[test]
    fn what_has_ended_or_will_soon_is_an_alarm_and_all_have_a_metric() {
        let folder = tempfile::tempdir().unwrap();
        let mesh = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "m"}, "spec": {"trustDomain": "a.example"}});
        let config = folder.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("a.yaml"), [mesh.to_string(), secret("old", 2021), secret("new", 3000)].join("\n---\n")).unwrap();
        let source = DirectorySource::open(&config, Guard::default(), &folder.path().join("documents.jsonl")).unwrap();
        let documents = source.subscribe();
        let loaded = Arc::clone(&documents.borrow());
        let told = |year| alarms(&loaded, date_time_ymd(year, 12, 25).into()).into_iter().collect::<Vec<_>>();
        assert_eq!(told(2020).len(), 1, "a week before its end: {:?}", told(2020));
        let [ended] = &told(2026)[..] else { panic!("{:?}", told(2026)) };
        assert!(
            ended.contains("a.yaml:3") && ended.contains("edge/old") && ended.contains("the certificate ended at 2021-01-01"),
            "{ended}"
        );
        assert!(!ended.contains("PRIVATE"), "{ended}");

        let mut registry = Registry::with_prefix("meshwright");
        registry.register_collector(Box::new(CredentialMetrics { documents }));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let start = format!("meshwright_credential_time_to_expiry_seconds{{namespace=\"edge\",name=\"{name}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
        };
        assert!(value("old") == 0.0 && value("new") > 1e10, "{text}");
    }
}

//! Whom the app is told to believe: the same as its proxy does. Bundles reach the proxy over ADS, as soon as they change; those that come
//! with a certificate are as old as the certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_envoy_config::names;
use meshwright_identity::TrustDomain;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use super::feed::Feed;
use crate::admin::Admin;

/// Envoy tells nobody of a new secret: how often to look.
const LOOK: Duration = Duration::from_secs(2);

/// Roots by trust domain, DER, one after the other. They are never merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundles {
    pub(super) own: Vec<u8>,
    pub(super) federated: BTreeMap<TrustDomain, Vec<u8>>,
}

impl Bundles {
    /// Of the workload's own trust domain alone.
    pub(super) fn of(pem: &str) -> anyhow::Result<Self> {
        Ok(Self { own: der(pem)?, federated: BTreeMap::new() })
    }

    fn new(own: &TrustDomain, mut all: BTreeMap<TrustDomain, Vec<u8>>) -> anyhow::Result<Self> {
        let roots = all.remove(own).with_context(|| format!("there are no roots of `{own}`"))?;
        Ok(Self { own: roots, federated: all })
    }
}

/// The certificates of a PEM text, one after the other.
pub(super) fn der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        all.extend_from_slice(&certificate.context("a certificate is not one")?);
    }
    anyhow::ensure!(!all.is_empty(), "there is no certificate");
    Ok(all)
}

/// Envoy holds two of the same name: what the sidecar gave it with a certificate, for its connection to the control plane, and what it got
/// over ADS. The latter is the one that the sidecar never gave it; when there is none, both are the same, or ADS has sent nothing yet.
pub(super) fn choose(with: &Arc<Bundles>, before: &Arc<Bundles>, held: &[Arc<Bundles>]) -> Arc<Bundles> {
    Arc::clone(held.iter().find(|held| *held != with && *held != before).unwrap_or(with))
}

/// Looks for ever at what Envoy holds. While it does not answer, what it held stays.
pub(crate) async fn follow(admin: Admin, feed: Feed) -> anyhow::Result<()> {
    let path = format!("/config_dump?resource=dynamic_active_secrets&name_regex={}", names::TRUST_BUNDLE_SECRET);
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(own) = feed.trust_domain() else { continue };
        match admin.json::<Value>(&path).await.and_then(|dump| held(&dump, &own)) {
            Ok(bundles) => feed.held(bundles),
            Err(error) => tracing::debug!("the proxy's trust bundles are not known: {error:#}"),
        }
    }
}

/// Of Envoy's `/config_dump`: a bundle is the one trust domain's roots, or those of each for Envoy's SPIFFE validator.
fn held(dump: &Value, own: &TrustDomain) -> anyhow::Result<Vec<Arc<Bundles>>> {
    let secrets = dump.get("configs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let contexts = secrets.iter().filter(|secret| secret.get("name").and_then(Value::as_str) == Some(names::TRUST_BUNDLE_SECRET));
    let contexts = contexts.filter_map(|secret| secret.pointer("/secret/validation_context"));
    contexts.map(|context| Ok(Arc::new(bundles(context, own)?))).collect()
}

fn bundles(context: &Value, own: &TrustDomain) -> anyhow::Result<Bundles> {
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(pem) = text(context, "/trusted_ca/inline_string") {
        return Bundles::of(&pem);
    }
    let domains = context.pointer("/custom_validator_config/typed_config/trust_domains").and_then(Value::as_array);
    let mut all = BTreeMap::new();
    for domain in domains.context("a trust bundle of an unknown kind")? {
        let name = text(domain, "/name").context("a trust domain without a name")?;
        let pem = text(domain, "/trust_bundle/inline_string").with_context(|| format!("no roots of `{name}`"))?;
        all.insert(TrustDomain::parse(&name)?, der(&pem).with_context(|| format!("the roots of `{name}`"))?);
    }
    Bundles::new(own, all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A PEM of these bytes, which are no certificate.
    fn pem(text: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::parse(name).unwrap()
    }

    fn found(context: &Value) -> anyhow::Result<Vec<Arc<Bundles>>> {
        let other =
            json!({"name": "trust-bundle-of-others", "secret": {"validation_context": {"trusted_ca": {"inline_string": pem("b3Ro")}}}});
        held(&json!({"configs": [other, {"name": "trust-bundle", "secret": {"validation_context": context}}]}), &domain("own.test"))
    }

    #[test]
    fn the_bundles_that_envoy_holds_are_read_by_trust_domain() {
        let plain = found(&json!({"trusted_ca": {"inline_string": pem("b25l") + &pem("dHdv")}})).unwrap();
        assert_eq!(plain, [Arc::new(Bundles { own: b"onetwo".to_vec(), federated: BTreeMap::new() })]);
        let each = |names: &[(&str, &str)]| {
            let domains: Vec<Value> =
                names.iter().map(|(name, text)| json!({"name": name, "trust_bundle": {"inline_string": pem(text)}})).collect();
            found(&json!({"custom_validator_config": {"name": "spiffe", "typed_config": {"trust_domains": domains}}}))
        };
        let federated = each(&[("other.test", "b3Ro"), ("own.test", "b25l")]).unwrap();
        let expected = Bundles { own: b"one".to_vec(), federated: BTreeMap::from([(domain("other.test"), b"oth".to_vec())]) };
        assert_eq!(federated, [Arc::new(expected)]);
        for (names, why) in [
            (&[("other.test", "b3Ro")][..], "there are no roots of `own.test`"),
            (&[("own.test", "")], "the roots of `own.test`"),
            (&[("own.test", "b25l"), ("Other", "b3Ro")], ""),
        ] {
            let error = each(names).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(found(&json!({})).is_err());
        assert_eq!(held(&json!({}), &domain("own.test")).unwrap(), []);
    }

    #[test]
    fn what_came_over_ads_is_told() {
        let [one, both, two] = ["one", "onetwo", "two"].map(|own| Arc::new(Bundles { own: own.into(), federated: BTreeMap::new() }));
        // No Envoy yet; both the same.
        assert_eq!(choose(&one, &one, &[]), one);
        assert_eq!(choose(&one, &one, &[one.clone(), one.clone()]), one);
        // A new root is published; the certificate is renewed after that, and Envoy has not read it yet.
        assert_eq!(choose(&one, &one, &[one.clone(), both.clone()]), both);
        assert_eq!(choose(&both, &one, &[one.clone(), both.clone()]), both);
        // A renewal that was answered before the new root was published, and arrived later.
        assert_eq!(choose(&one, &one, &[both.clone(), one.clone()]), both);
        // The old root is retired.
        assert_eq!(choose(&both, &both, &[both.clone(), two.clone()]), two);
        assert_eq!(choose(&two, &both, &[both.clone(), two.clone()]), two);
    }
}

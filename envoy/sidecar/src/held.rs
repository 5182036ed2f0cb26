use std::collections::BTreeMap;

use meshwright_envoy_config::names;
use serde_json::Value;

/// What a sidecar's Envoy holds of certificates, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSecrets {
    /// The workload's chain.
    pub chain: Vec<u8>,
    /// The roots that the sidecar trusts itself.
    own: Option<Vec<u8>>,
    /// The roots that the mesh's peers are verified against, by trust domain.
    of_domains: BTreeMap<String, Vec<u8>>,
}

impl HeldSecrets {
    /// The roots of a trust domain, as its members' peers see them; before the first configuration has come those of the sidecar.
    #[must_use]
    pub fn bundle(&self, trust_domain: &str) -> Option<&[u8]> {
        self.of_domains.get(trust_domain).or(self.own.as_ref()).map(Vec::as_slice)
    }
}

/// Out of Envoy's `/config_dump` of its secrets; `None` while it has no chain. Envoy itself leaves private keys out.
#[must_use]
pub fn held_secrets(dump: &Value) -> Option<HeldSecrets> {
    let secrets = dump.get("configs")?.as_array()?;
    let named = |name: &'static str| secrets.iter().filter(move |it| it.get("name").and_then(Value::as_str) == Some(name));
    let bytes = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    let chain =
        named(names::WORKLOAD_SECRET).find_map(|secret| bytes(secret, "/secret/tls_certificate/certificate_chain/inline_string"))?;
    // Two have this name: that of the connection to the control plane, and that of the mesh, which comes over it.
    let own = named(names::TRUST_BUNDLE_SECRET).find_map(|secret| bytes(secret, "/secret/validation_context/trusted_ca/inline_string"));
    let domains = named(names::TRUST_BUNDLE_SECRET)
        .filter_map(|secret| secret.pointer("/secret/validation_context/custom_validator_config/typed_config/trust_domains")?.as_array());
    let of_domain = |domain: &Value| Some((domain.get("name")?.as_str()?.to_owned(), bytes(domain, "/trust_bundle/inline_string")?));
    Some(HeldSecrets { chain, own, of_domains: domains.flatten().filter_map(of_domain).collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_envoy_shows_and_nothing_else() {
        let credential = json!({"name": "credential/a/b", "secret": {"tls_certificate": {"certificate_chain": {"inline_string": "edge"}}}});
        let clients = json!({"name": "client-roots/a/b", "secret": {"validation_context": {"trusted_ca": {"inline_string": "edge"}}}});
        let chain = json!({"name": "workload", "secret": {"name": "workload", "tls_certificate": {
            "certificate_chain": {"inline_string": "chain"}, "private_key": {"inline_string": "[redacted]"}}}});
        let own = json!({"name": "trust-bundle", "secret": {"validation_context": {"trusted_ca": {"inline_string": "roots"}}}});
        let domains = json!([
            {"name": "a.example", "trust_bundle": {"inline_string": "both roots"}},
            {"name": "b.example", "trust_bundle": {"inline_string": "other"}},
        ]);
        let mesh = json!({"name": "trust-bundle", "secret": {"validation_context": {"custom_validator_config": {
            "name": "envoy.tls.cert_validator.spiffe", "typed_config": {"trust_domains": domains}}}}});
        let early = held_secrets(&json!({"configs": [credential, clients, chain, own]})).unwrap();
        assert_eq!((early.chain.as_slice(), early.bundle("a.example")), (&b"chain"[..], Some(&b"roots"[..])));
        let held = held_secrets(&json!({"configs": [credential, clients, chain, own, mesh]})).unwrap();
        assert_eq!((held.bundle("a.example"), held.bundle("b.example")), (Some(&b"both roots"[..]), Some(&b"other"[..])));
        assert_eq!(held_secrets(&json!({"configs": [credential, own, mesh]})), None);
        assert_eq!(held_secrets(&json!({})), None);
    }
}

use serde_json::Value;

/// The workload's chain, and the trust bundle when there is one, both PEM, out of Envoy's `/config_dump` of its secrets; `None` while it
/// has no chain. Envoy itself leaves private keys out.
#[must_use]
pub fn held_secrets(dump: &Value) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let secrets = dump.get("configs")?.as_array()?;
    let of = |kind: &str, field: &str| {
        let text = secrets.iter().find_map(|config| config.get("secret")?.get(kind)?.get(field)?.get("inline_string")?.as_str());
        text.map(|text| text.as_bytes().to_vec())
    };
    Some((of("tls_certificate", "certificate_chain")?, of("validation_context", "trusted_ca")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_envoy_shows_and_nothing_else() {
        let chain = json!({"name": "workload", "secret": {"name": "workload", "tls_certificate": {
            "certificate_chain": {"inline_string": "chain"}, "private_key": {"inline_string": "[redacted]"}}}});
        let bundle = json!({"name": "trust-bundle", "secret": {"validation_context": {"trusted_ca": {"inline_string": "roots"}}}});
        assert_eq!(held_secrets(&json!({"configs": [chain, bundle]})), Some((b"chain".to_vec(), Some(b"roots".to_vec()))));
        assert_eq!(held_secrets(&json!({"configs": [bundle]})), None);
        assert_eq!(held_secrets(&json!({})), None);
    }
}

//! Secrets for gateways: every form that is taken, and what is wrong with those that are not. No message has a value in it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::{Duration, SystemTime};

use meshwright_config::{Content, Credential, Document, Rejected, parse_file};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

struct Pair {
    chain: String,
    key: String,
}

fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> Pair {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut parameters = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    Pair { chain: parameters.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn parse(kind: &str, entries: &Value) -> Result<Document, Rejected> {
    let document = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": kind, "stringData": entries});
    parse_file("secret.yaml", &document.to_string()).pop().unwrap()
}

fn taken(kind: &str, entries: &Value) -> Credential {
    let document = parse(kind, entries).unwrap_or_else(|rejected| panic!("{rejected}"));
    let Content::Secret(credential) = document.content() else { panic!("no Secret") };
    credential.clone()
}

fn refused(kind: &str, entries: &Value) -> String {
    let Err(rejected) = parse(kind, entries) else { panic!("{kind} is taken") };
    let text = rejected.to_string();
    let values = entries.as_object().unwrap().values().filter_map(|value| value.as_str()?.lines().nth(1));
    values.for_each(|line| assert!(!text.contains(line), "{text}"));
    rejected.errors().iter().map(|error| format!("{}: {}\n", error.path(), error.message())).collect()
}

#[test]
fn every_form_of_istio_is_taken() {
    let Pair { chain, key } = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    for (kind, names) in [
        ("kubernetes.io/tls", ["tls.crt", "tls.key", "ca.crt"]),
        ("Opaque", ["tls.crt", "tls.key", "ca.crt"]),
        ("Opaque", ["cert", "key", "cacert"]),
    ] {
        let [of_chain, of_key, of_roots] = names;
        let whole = taken(kind, &json!({of_chain: chain, of_key: key, of_roots: chain}));
        let certificate = whole.certificate().unwrap();
        assert_eq!((certificate.chain(), certificate.private_key(), whole.roots()), (&*chain, &*key, Some(&*chain)), "{kind}");
        assert_eq!(taken(kind, &json!({of_chain: chain, of_key: key})).roots(), None, "{kind}");
        assert!(!format!("{whole:?}").contains("PRIVATE KEY"));
        if kind == "Opaque" {
            let roots = taken(kind, &json!({of_roots: chain}));
            assert!(roots.certificate().is_none() && roots.roots().is_some(), "{of_roots}");
        }
    }
    assert_eq!(taken("kubernetes.io/tls", &json!({"tls.crt": chain, "tls.key": key, "ca.crt": ""})).roots(), None, "cert-manager's");
    let other = pair(&rcgen::PKCS_ECDSA_P384_SHA384);
    assert!(taken("kubernetes.io/tls", &json!({"tls.crt": other.chain, "tls.key": other.key})).certificate().is_some());
}

#[test]
fn what_does_not_fit_is_refused() {
    let (one, other, ed25519) = (pair(&rcgen::PKCS_ECDSA_P256_SHA256), pair(&rcgen::PKCS_ECDSA_P256_SHA256), pair(&rcgen::PKCS_ED25519));
    for (kind, entries, message) in [
        (
            "kubernetes.io/tls",
            json!({"tls.crt": one.chain, "tls.key": other.key}),
            "stringData[tls.key]: is not the key of the first certificate of the chain",
        ),
        (
            "kubernetes.io/tls",
            json!({"tls.crt": ed25519.chain, "tls.key": ed25519.key}),
            "stringData[tls.key]: is no key that gateways can use",
        ),
        ("kubernetes.io/tls", json!({"tls.crt": one.chain}), "data[tls.key]: is required"),
        ("kubernetes.io/tls", json!({"cert": one.chain, "key": one.key}), "data[tls.crt]: is required"),
        ("kubernetes.io/tls", json!({"ca.crt": one.chain}), "data[tls.crt]: is required"),
        (
            "kubernetes.io/tls",
            json!({"tls.crt": one.chain, "tls.key": one.key, "ca.crt": "x"}),
            "stringData[ca.crt]: holds no PEM certificate",
        ),
        ("Opaque", json!({"cert": one.chain, "tls.key": one.key}), "has `tls.key` and Istio's names"),
        ("Opaque", json!({"cacert": ""}), "stringData.cacert: holds no PEM certificate"),
        ("Opaque", json!({"ca.crt": one.chain, "ca.crl": "x"}), "stringData[ca.crl]: is not supported yet"),
    ] {
        let found = refused(kind, &entries);
        assert!(found.contains(message), "{message}: {found}");
    }
}

#[test]
fn a_certificate_is_right_for_a_time() {
    let Pair { chain, key } = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let document = parse("kubernetes.io/tls", &json!({"tls.crt": chain, "tls.key": key})).unwrap();
    let at = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    assert_eq!(document.untimely(at(2025)), None);
    let ended = document.untimely(at(2035)).unwrap();
    assert_eq!((ended.path(), ended.line()), ("stringData[tls.crt]", 1));
    assert!(ended.message().starts_with("the certificate ended at 2030-01-01"), "{ended}");
    assert!(document.untimely(at(2015)).unwrap().message().starts_with("the certificate begins at 2020-01-01"));
    assert_eq!(document.ending(at(2035)), [], "its end is told once");
}

/// Of this many days, ending with 2029; with its own key.
fn lasting(days: i64) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let end = date_time_ymd(2030, 1, 1);
    (parameters.not_before, parameters.not_after) = (end - Duration::from_secs(days.unsigned_abs() * 86_400), end);
    Pair { chain: parameters.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

#[test]
fn what_ends_soon_is_told_in_time() {
    let end = SystemTime::from(date_time_ymd(2030, 1, 1));
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // A quarter of its life, and no more than two weeks.
    for (days, quiet, told, words) in
        [(90, 24 * 14, 24 * 14 - 1, "in 13 days"), (365, 24 * 14, 30, "in 1 day"), (8, 48, 47, "in 1 day"), (1, 6, 5, "in 5 hours")]
    {
        let Pair { chain, key } = lasting(days);
        let document = parse("kubernetes.io/tls", &json!({"tls.crt": chain, "tls.key": key})).unwrap();
        let Content::Secret(credential) = document.content() else { panic!("no Secret") };
        assert_eq!(credential.not_after(), Some(end));
        assert_eq!(document.ending(end - hours(quiet)), [], "{days}");
        let [warning] = &document.ending(end - hours(told))[..] else { panic!("{days}: one warning") };
        assert_eq!(warning.path(), "stringData[tls.crt]");
        assert_eq!(warning.message(), format!("the certificate ends at 2030-01-01 0:00:00.0 +00:00:00, {words}: replace it"));
        assert_eq!(document.untimely(end - hours(told)), None);
    }
}

#[test]
fn the_rest_of_a_chain_and_roots_end_too() {
    let (leaf, issuer) = (pair(&rcgen::PKCS_ECDSA_P256_SHA256), lasting(90));
    let entries = json!({"tls.crt": format!("{}{}", leaf.chain, issuer.chain), "tls.key": leaf.key, "ca.crt": issuer.chain});
    let document = parse("kubernetes.io/tls", &entries).unwrap();
    let told = |at: SystemTime| -> Vec<String> {
        document.ending(at).iter().map(|warning| format!("{}: {}", warning.path(), warning.message())).collect()
    };
    let end = SystemTime::from(date_time_ymd(2030, 1, 1));
    let ended = told(end + Duration::from_secs(1));
    let [chain, root] = &ended[..] else { panic!("{ended:?}") };
    assert!(chain.starts_with("stringData[tls.crt]: certificate 2 ended at 2030-01-01"), "{chain}");
    assert!(root.starts_with("stringData[ca.crt]: the root certificate ended at 2030-01-01"), "{root}");
    let soon = told(end - Duration::from_secs(86_400 * 5));
    assert_eq!(soon.len(), 3, "the leaf too, which ends then: {soon:?}");
}

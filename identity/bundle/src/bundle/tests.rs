use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use super::*;

fn domain() -> TrustDomain {
    TrustDomain::parse("a.example").unwrap()
}

fn certificate(change: impl FnOnce(&mut CertificateParams), algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap()
}

fn root() -> rcgen::Certificate {
    certificate(|_| {}, &rcgen::PKCS_ECDSA_P256_SHA256)
}

fn uri(uri: &str) -> impl FnOnce(&mut CertificateParams) {
    let name = SanType::URI(uri.try_into().unwrap());
    move |params| params.subject_alt_names = vec![name]
}

#[test]
fn the_same_roots_make_the_same_bundle_in_every_form() {
    let roots = [root(), certificate(uri("spiffe://a.example"), &rcgen::PKCS_ECDSA_P384_SHA384), certificate(|_| {}, &rcgen::PKCS_ED25519)];
    let pem = |order: [usize; 4]| order.map(|index| roots[index].pem()).concat();
    let bundle = TrustBundle::parse(&domain(), &pem([0, 1, 2, 0])).unwrap();
    assert_eq!(bundle.roots().len(), 3);
    assert_eq!(TrustBundle::from_pem(&domain(), &pem([2, 1, 0, 1])).unwrap(), bundle);
    assert_eq!(TrustBundle::from_pem(&domain(), &bundle.to_pem()).unwrap(), bundle);
    let numbered = bundle.clone().numbered(7, Duration::from_secs(60));
    let read = TrustBundle::parse(&domain(), &numbered.to_json()).unwrap();
    assert_eq!((read.sequence(), read.refresh_hint()), (Some(7), Some(Duration::from_secs(60))));
    assert_eq!(read, numbered);
    assert!(read.has_roots_of(&bundle) && read != bundle);
    let json: Value = serde_json::from_str(&numbered.to_json()).unwrap();
    let types: std::collections::BTreeSet<&str> = json["keys"].as_array().unwrap().iter().map(|key| key["crv"].as_str().unwrap()).collect();
    assert_eq!(types, ["P-256", "P-384", "Ed25519"].into());
    assert!(json["keys"].as_array().unwrap().iter().all(|key| key["use"] == "x509-svid" && key["x5c"].as_array().unwrap().len() == 1));
}

#[test]
fn keys_for_other_uses_are_passed_over_and_what_is_meant_for_certificates_must_be_right() {
    let bundle = TrustBundle::from_pem(&domain(), &root().pem()).unwrap();
    let good: Value = serde_json::from_str(&bundle.to_json()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        TrustBundle::from_json(&domain(), &changed.to_string())
    };
    let more = |key: Value| with(&|set| set["keys"].as_array_mut().unwrap().push(key.clone()));
    assert_eq!(more(json!({"kty": "RSA", "use": "jwt-svid", "kid": "k", "n": "AA", "e": "AQAB"})), Ok(bundle.clone()));
    assert_eq!(more(json!({"kty": "future", "use": "post-quantum"})), Ok(bundle.clone()));
    assert_eq!(more(json!({"kty": "EC"})), Ok(bundle.clone()));
    assert_eq!(with(&|set| set["spiffe_more"] = json!({})), Ok(bundle));

    assert_eq!(with(&|set| set["keys"] = json!([])), Err(InvalidBundle::Empty));
    assert_eq!(with(&|set| set["keys"][0]["use"] = json!("jwt-svid")), Err(InvalidBundle::Empty));
    assert_eq!(with(&|set| set["keys"][0]["x5c"] = json!([])), Err(InvalidBundle::Certificates(0, 0)));
    assert_eq!(with(&|set| set["keys"][0]["x5c"] = json!(["AA", "AA"])), Err(InvalidBundle::Certificates(0, 2)));
    assert_eq!(with(&|set| set["keys"][0]["x5c"] = json!(["%"])), Err(InvalidBundle::Base64(0)));
    assert_eq!(with(&|set| set["keys"][0]["x5c"] = json!(["AAAA"])), Err(InvalidBundle::Root(1, InvalidRoot::Malformed)));
    assert_eq!(with(&|set| set["keys"][0]["d"] = json!("AAAA")), Err(InvalidBundle::Private(0)));
    for (pointer, value) in [("keys", json!({})), ("spiffe_sequence", json!(-1)), ("spiffe_refresh_hint", json!("5m"))] {
        assert!(matches!(with(&|set| set[pointer] = value.clone()), Err(InvalidBundle::Json(_))), "{pointer}");
    }
    for text in ["", "[]", "<html>", "-----BEGIN CERTIFICATE-----", "{\"keys\":[],\"keys\":[]}"] {
        assert!(TrustBundle::parse(&domain(), text).is_err(), "{text}");
    }
}

#[test]
fn only_authorities_of_the_domain_are_roots() {
    let bundle = |root: rcgen::Certificate| TrustBundle::from_pem(&domain(), &root.pem()).map(|_| ());
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let refused = |error| Err(InvalidBundle::Root(1, error));
    assert_eq!(bundle(certificate(|params| params.is_ca = IsCa::ExplicitNoCa, p256)), refused(InvalidRoot::NotAuthority));
    assert_eq!(
        bundle(certificate(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature], p256)),
        refused(InvalidRoot::Usage)
    );
    assert_eq!(bundle(certificate(uri("https://a.example/policy"), p256)), Ok(()));
    for name in ["spiffe://b.example", "spiffe://a.example/ns/x/sa/y", "SPIFFE://b.example"] {
        let expected = InvalidRoot::Name { found: name.to_owned(), expected: domain() };
        assert_eq!(bundle(certificate(uri(name), p256)), refused(expected));
    }
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(TrustBundle::from_pem(&domain(), &format!("{}{key}", root().pem())), Err(InvalidBundle::Section(2)));
    let many: String = (0..=MOST_ROOTS).map(|_| root().pem()).collect();
    assert_eq!(TrustBundle::from_pem(&domain(), &many), Err(InvalidBundle::TooMany(MOST_ROOTS + 1)));
}

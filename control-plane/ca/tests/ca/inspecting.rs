//! What `inspect` says of chains, good and bad, in words; and that openssl refuses the same ones.

use std::time::Duration;

use meshwright_ca::{InspectError, inspect};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};

use crate::support::{DAY, HOUR, domain, mesh, openssl, orders, plain_request, seconds, start};

/// Leaf and authority of a mesh that does not keep the rules; `change` is made to the leaf.
fn chain(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let valid = |params: &mut CertificateParams| {
        params.not_before = start().into();
        params.not_after = (start() + DAY).into();
    };
    let mut root = CertificateParams::default();
    valid(&mut root);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = rcgen::CertifiedIssuer::self_signed(root, root_key).unwrap();
    let mut leaf = CertificateParams::default();
    valid(&mut leaf);
    leaf.subject_alt_names = vec![SanType::URI(orders().to_string().try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut leaf);
    (leaf.signed_by(&key, &root).unwrap().pem(), root.pem())
}

#[test]
fn every_rule_that_a_leaf_breaks_has_its_words() {
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    type Change = Box<dyn FnOnce(&mut CertificateParams)>;
    let long = format!("spiffe://shop.example/{}", "a".repeat(2049));
    let names = |names: Vec<SanType>| -> Change { Box::new(move |leaf| leaf.subject_alt_names = names) };
    let cases: Vec<(Change, &str)> = vec![
        (names(vec![uri("spiffe://shop.example/a"), uri("spiffe://shop.example/b")]), "has 2 URI names"),
        (names(vec![]), "has 0 URI names"),
        (names(vec![uri("spiffe://SHOP.example/a")]), "found `S`"),
        (names(vec![uri("spiffe://shop.example/a/../b")]), "`.` or `..` segment"),
        (names(vec![uri(&long)]), "at most 2048 bytes"),
        (names(vec![uri("spiffe://shop.example")]), "names the trust domain"),
        (names(vec![uri("spiffe://other.example/a")]), "is of trust domain `other.example`; the peer is of `shop.example`"),
        (Box::new(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "is an authority's"),
        (Box::new(|leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign)), "is an authority's"),
        (Box::new(|leaf| leaf.key_usages = vec![]), "it has no key usage"),
        (Box::new(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]), "a server would refuse it"),
        (Box::new(|leaf| leaf.not_after = (start() + HOUR / 2).into()), "expired at"),
        (Box::new(|leaf| leaf.not_before = (start() + HOUR * 2).into()), "is valid only from"),
    ];
    for (change, words) in cases {
        let (leaf, root) = chain(change);
        let report = inspect(leaf.as_bytes(), Some(root.as_bytes()), Some(&domain("shop.example")), start() + HOUR).unwrap();
        assert!(report.problems.iter().any(|problem| problem.contains(words)), "{words}: {report:?}");
    }
    let (leaf, root) = chain(|_| {});
    let report = inspect(leaf.as_bytes(), Some(root.as_bytes()), Some(&domain("shop.example")), start() + HOUR).unwrap();
    assert_eq!((report.problems, report.warnings), (vec![], vec![]));
}

#[test]
fn a_chain_in_disorder_another_bundle_and_the_end_of_a_life() {
    let (dir, authority) = mesh(start());
    let issued = authority.issue(&plain_request(), &orders(), HOUR, start()).unwrap();
    let (bundle, chain) = (authority.trust_bundle_pem(), issued.chain_pem);
    let look = |chain: &str, bundle: &str, at| inspect(chain.as_bytes(), Some(bundle.as_bytes()), None, at).unwrap();
    let good = look(&chain, &bundle, start());
    assert_eq!((good.problems.len(), good.warnings.len(), good.certificates.len()), (0, 0, 2));
    assert_eq!((good.certificates[0].role, good.certificates[1].role), ("leaf", "authority"));
    assert_eq!((&*good.certificates[0].serial, &*good.certificates[0].key), (&*issued.serial, "ECDSA, 256 bits"));
    let late = look(&chain, &bundle, start() + HOUR * 9 / 10);
    assert!(late.problems.is_empty() && late.warnings[0].contains("% of the leaf's life is over"), "{late:?}");
    assert!(look(&chain, &bundle, start() + 2 * HOUR).problems[0].contains("expired at"));
    let (_other_dir, other) = mesh(start());
    let (foreign, bundles) = (other.issue(&plain_request(), &orders(), HOUR, start()).unwrap().chain_pem, other.trust_bundle_pem());
    let refused = look(&chain, &bundles, start());
    assert!(refused.problems[0].contains("a client would refuse it: no root of the trust bundle signed its chain"), "{refused:?}");
    let leaf = |chain: &str| chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    let mixed = format!("{}{}", leaf(&chain), foreign.replace(&leaf(&foreign), ""));
    let disorder = look(&mixed, &bundle, start());
    assert!(disorder.problems[0].contains("certificate 1 was not signed by certificate 2"), "{disorder:?}");
    // openssl is of the same mind.
    for (chain, bundle, at, fine) in [
        (&chain, &bundle, start(), true),
        (&chain, &bundles, start(), false),
        (&mixed, &bundle, start(), false),
        (&chain, &bundle, start() + 2 * HOUR, false),
    ] {
        std::fs::write(dir.path().join("c.pem"), chain).unwrap();
        std::fs::write(dir.path().join("b.pem"), bundle).unwrap();
        let at = (seconds(at) + Duration::from_secs(1).as_secs()).to_string();
        let said = openssl(dir.path(), &["verify", "-attime", &at, "-CAfile", "b.pem", "-untrusted", "c.pem", "c.pem"]);
        assert_eq!(said.status.success(), fine, "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert_eq!(inspect(b"nothing", None, None, start()), Err(InspectError::Empty));
}

use meshwright_ca::{InvalidPeer, PeerCertificates};
use meshwright_identity::{InvalidSpiffeId, InvalidTrustDomain};
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};

use crate::support::{DAY, HOUR, domain, mesh, orders, plain_request, start};

/// What a leaf of ours looks like, before `change`.
fn certificate(uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> PeerCertificates {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    (params.not_before, params.not_after) = ((start() - HOUR).into(), (start() + HOUR).into());
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    PeerCertificates(vec![params.self_signed(&key).unwrap().der().clone()])
}

#[track_caller]
fn refused(peer: &PeerCertificates) -> InvalidPeer {
    peer.identity(&domain("shop.example"), start()).unwrap_err()
}

const GOOD: &str = "spiffe://shop.example/ns/bookshop/sa/orders";

#[test]
fn an_issued_leaf_is_its_identity_for_as_long_as_it_is_valid() {
    let (_dir, authority) = mesh(start());
    let issued = authority.issue(&plain_request(), &orders(), HOUR, start()).unwrap();
    let peer = PeerCertificates(issued.chain);
    let at = |now| peer.identity(&domain("shop.example"), now);
    assert_eq!(at(start()), Ok(orders()));
    assert_eq!(at(start() + HOUR), Ok(orders()));
    assert!(matches!(at(start() + HOUR + HOUR / 3600), Err(InvalidPeer::Expired(_))));
    assert!(matches!(at(start() - DAY), Err(InvalidPeer::NotYetValid(_))));
    assert_eq!(certificate(&[GOOD], |_| {}).identity(&domain("shop.example"), start()), Ok(orders()));
}

#[test]
fn names_that_are_not_exactly_one_spiffe_id_are_refused() {
    let named = |uris: &[&str]| refused(&certificate(uris, |_| {}));
    assert_eq!(named(&[]), InvalidPeer::Uris(0));
    assert_eq!(named(&[GOOD, "spiffe://shop.example/ns/a/sa/b"]), InvalidPeer::Uris(2));
    assert_eq!(named(&[GOOD, GOOD]), InvalidPeer::Uris(2));
    let upper = InvalidSpiffeId::TrustDomain(InvalidTrustDomain::Character('S'));
    assert_eq!(named(&["spiffe://Shop.example/ns/bookshop/sa/orders"]), upper.into());
    assert_eq!(named(&["spiffe://shop.example/ns/../sa/orders"]), InvalidSpiffeId::DotSegment.into());
    assert_eq!(named(&["https://shop.example/ns/bookshop/sa/orders"]), InvalidSpiffeId::Scheme.into());
    let long = format!("spiffe://shop.example/{}", "a".repeat(2049 - "spiffe://shop.example/".len()));
    assert_eq!(named(&[&long]), InvalidSpiffeId::TooLong(2049).into());
    assert_eq!(named(&["spiffe://shop.example"]), InvalidPeer::NoPath(domain("shop.example")));
    let (found, expected) = (domain("other.example"), domain("shop.example"));
    assert_eq!(named(&["spiffe://other.example/ns/bookshop/sa/orders"]), InvalidPeer::TrustDomain { found, expected });
}

#[test]
fn certificates_that_are_not_a_workloads_are_refused() {
    let with = |change: fn(&mut CertificateParams)| refused(&certificate(&[GOOD], change));
    assert_eq!(with(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)), InvalidPeer::Authority);
    let signs = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    assert_eq!(with(signs), InvalidPeer::Authority);
    assert!(matches!(with(|params| params.key_usages.clear()), InvalidPeer::Usage(_)));
    assert!(matches!(with(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), InvalidPeer::Usage(_)));
    assert!(matches!(with(|params| params.extended_key_usages.clear()), InvalidPeer::Usage(_)));
    assert!(matches!(with(|params| drop(params.extended_key_usages.pop())), InvalidPeer::Usage(_)));
    assert_eq!(refused(&PeerCertificates::default()), InvalidPeer::None);
    assert_eq!(refused(&PeerCertificates(vec![vec![1, 2, 3].into()])), InvalidPeer::Malformed);
}

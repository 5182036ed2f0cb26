use std::time::{Duration, SystemTime};

use meshwright_ca::{Authority, IssueError, Issued, MAX_LEAF_TTL, MIN_LEAF_TTL};
use meshwright_identity::SpiffeId;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::UnixTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use crate::support::{DAY, HOUR, mesh, open, openssl, openssl_ok, orders, plain_request, request_of, seconds, start};

fn issue(authority: &Authority, ttl: Duration, now: SystemTime) -> Issued {
    authority.issue(&plain_request(), &orders(), ttl, now).unwrap()
}

fn read(der: &[u8]) -> X509Certificate<'_> {
    x509_parser::parse_x509_certificate(der).unwrap().1
}

fn webpki(authority: &Authority, issued: &Issued, at: SystemTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_certificate()).unwrap();
    let leaf = ParsedCertificate::try_from(&issued.chain[0]).unwrap();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds(at)));
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &issued.chain[1..], at, algorithms)
}

/// What `openssl verify` says of the chain, for each purpose.
fn openssl_verifies(dir: &std::path::Path, authority: &Authority, issued: &Issued, at: SystemTime) -> bool {
    std::fs::write(dir.join("bundle.pem"), authority.trust_bundle_pem()).unwrap();
    std::fs::write(dir.join("chain.pem"), &issued.chain_pem).unwrap();
    let at = seconds(at).to_string();
    let verdicts = ["sslserver", "sslclient"].map(|purpose| {
        let arguments = [
            "verify",
            "-x509_strict",
            "-attime",
            &at,
            "-purpose",
            purpose,
            "-CAfile",
            "bundle.pem",
            "-untrusted",
            "chain.pem",
            "chain.pem",
        ];
        openssl(dir, &arguments).status.success()
    });
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

#[test]
fn a_leaf_is_an_x509_svid_and_nothing_more() {
    let (_dir, authority) = mesh(start());
    let key = KeyPair::generate().unwrap();
    let issued = authority.issue(&request_of(&key, |_| {}), &orders(), 12 * HOUR, start()).unwrap();
    let leaf = read(&issued.chain[0]);
    let intermediate = read(&issued.chain[1]);
    assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
    assert_eq!(leaf.subject().iter().count(), 0, "empty subject");
    assert_eq!(leaf.validity().not_before.timestamp(), 1_800_000_000 - 60);
    assert_eq!(leaf.validity().not_after.timestamp(), 1_800_000_000 + 12 * 3600);
    assert_eq!(issued.not_after, start() + 12 * HOUR);
    assert_eq!(leaf.raw_serial().len(), 16, "128 bits");
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://shop.example/ns/bookshop/sa/orders")]);
    let constraints = leaf.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && !constraints.value.ca);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1, "digitalSignature alone");
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any && extended.other.is_empty());
    assert_eq!(authority_key(&leaf), subject_key(&intermediate), "authority key identifier");
    assert!(intermediate.is_ca());
    assert_eq!(intermediate.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    assert_eq!(authority_key(&intermediate), subject_key(&read(&authority.root_certificate())));
}

fn authority_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let found = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

fn subject_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let found = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn webpki_and_openssl_agree_on_every_moment_of_a_leaf() {
    let (dir, authority) = mesh(start());
    let issued = issue(&authority, 12 * HOUR, start());
    let second = Duration::from_secs(1);
    for (at, valid) in [
        (start() - 60 * second, true),
        (start(), true),
        (start() + 12 * HOUR - second, true),
        (start() - 62 * second, false),
        (start() + 12 * HOUR + 2 * second, false),
    ] {
        assert_eq!(webpki(&authority, &issued, at).is_ok(), valid, "webpki at {at:?}");
        assert_eq!(openssl_verifies(dir.path(), &authority, &issued, at), valid, "openssl at {at:?}");
    }
}

#[test]
fn another_meshs_root_verifies_nothing_of_ours() {
    let (dir, ours) = mesh(start());
    let (_other_dir, theirs) = mesh(start());
    let issued = issue(&ours, HOUR, start());
    assert_eq!(webpki(&theirs, &issued, start()), Err(rustls::CertificateError::UnknownIssuer.into()));
    assert!(!openssl_verifies(dir.path(), &theirs, &issued, start()));
    assert!(openssl_verifies(dir.path(), &ours, &issued, start()));
}

#[test]
fn openssl_finds_the_lines_that_spiffe_wants() {
    let (dir, authority) = mesh(start());
    std::fs::write(dir.path().join("leaf.pem"), issue(&authority, HOUR, start()).chain_pem).unwrap();
    let text = openssl_ok(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]);
    for line in [
        "X509v3 Subject Alternative Name: critical",
        "URI:spiffe://shop.example/ns/bookshop/sa/orders",
        "X509v3 Key Usage: critical",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "CA:FALSE",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn serial_numbers_do_not_repeat_for_one_key() {
    let (_dir, authority) = mesh(start());
    let request = plain_request();
    let serials: std::collections::BTreeSet<String> =
        (0..50).map(|_| authority.issue(&request, &orders(), HOUR, start()).unwrap().serial).collect();
    assert_eq!(serials.len(), 50);
    assert!(serials.iter().all(|serial| serial.len() == 32));
}

#[test]
fn every_accepted_kind_of_key_gets_a_leaf_that_verifies() {
    let (dir, authority) = mesh(start());
    let generate: [&[&str]; 4] = [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "ED25519"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ];
    for options in generate {
        openssl_ok(dir.path(), &[&["genpkey", "-out", "key.pem"], options].concat());
        openssl_ok(dir.path(), &["req", "-new", "-key", "key.pem", "-subj", "/CN=ignored", "-outform", "DER", "-out", "csr.der"]);
        let csr = std::fs::read(dir.path().join("csr.der")).unwrap();
        let issued = authority.issue(&csr, &orders(), HOUR, start()).unwrap();
        assert_eq!(read(&issued.chain[0]).subject().iter().count(), 0, "the requested subject is not copied");
        assert_eq!(webpki(&authority, &issued, start()), Ok(()), "{options:?}");
        assert!(openssl_verifies(dir.path(), &authority, &issued, start()), "{options:?}");
    }
}

#[test]
fn a_wish_for_life_is_brought_within_the_limits() {
    let (_dir, authority) = mesh(start());
    for (wish, life) in [(Duration::ZERO, MIN_LEAF_TTL), (HOUR, HOUR), (365 * DAY, MAX_LEAF_TTL)] {
        assert_eq!(issue(&authority, wish, start()).not_after, start() + life, "{wish:?}");
    }
}

#[test]
fn only_workloads_of_this_mesh_get_a_certificate_and_never_the_control_planes() {
    let (_dir, authority) = mesh(start());
    let refused = |id: &str| authority.issue(&plain_request(), &SpiffeId::parse(id).unwrap(), HOUR, start()).unwrap_err();
    assert!(matches!(refused("spiffe://other.example/ns/a/sa/b"), IssueError::TrustDomain { .. }));
    assert!(matches!(refused("spiffe://shop.example"), IssueError::NoPath(_)));
    for namespace in ["mesh-system", "elsewhere"] {
        let id = format!("spiffe://shop.example/ns/{namespace}/sa/meshwright-control-plane");
        assert!(matches!(refused(&id), IssueError::Reserved(_)), "{id}");
    }
}

#[test]
fn the_longest_spiffe_id_gets_a_leaf_that_verifies() {
    let (dir, authority) = mesh(start());
    let prefix = "spiffe://shop.example/ns/";
    let longest = SpiffeId::parse(&format!("{prefix}{}", "a".repeat(2048 - prefix.len()))).unwrap();
    let issued = authority.issue(&plain_request(), &longest, HOUR, start()).unwrap();
    assert_eq!(webpki(&authority, &issued, start()), Ok(()));
    assert!(openssl_verifies(dir.path(), &authority, &issued, start()));
}

#[test]
fn the_intermediate_is_renewed_in_time_and_both_chains_verify() {
    let (dir, authority) = mesh(start());
    let early = issue(&authority, 7 * DAY, start() + 19 * DAY);
    let late = issue(&authority, 7 * DAY, start() + 21 * DAY);
    assert_ne!(early.chain[1], late.chain[1], "another intermediate");
    assert_eq!(late.not_after, start() + 28 * DAY, "no leaf is cut short");
    for issued in [&early, &late] {
        assert_eq!(webpki(&authority, issued, start() + 22 * DAY), Ok(()));
        assert!(openssl_verifies(dir.path(), &authority, issued, start() + 22 * DAY));
    }
    // The renewed one is what a restart finds.
    let reopened = open(dir.path(), start() + 22 * DAY);
    assert_eq!(issue(&reopened, HOUR, start() + 22 * DAY).chain[1], late.chain[1]);
}

#[test]
fn when_renewal_fails_the_old_intermediate_serves_to_its_end() {
    let (dir, authority) = mesh(start());
    std::fs::rename(dir.path().join("ca"), dir.path().join("away")).unwrap();
    let now = start() + 21 * DAY;
    let issued = issue(&authority, 7 * DAY, now);
    assert_eq!(webpki(&authority, &issued, now), Ok(()));
    let ended = authority.issue(&plain_request(), &orders(), HOUR, start() + 31 * DAY).unwrap_err();
    assert!(matches!(ended, IssueError::Store(_)), "{ended}");
    std::fs::rename(dir.path().join("away"), dir.path().join("ca")).unwrap();
    assert!(authority.issue(&plain_request(), &orders(), HOUR, start() + 31 * DAY).is_ok(), "it recovers without a restart");
}

#[test]
fn an_intermediate_that_ended_while_nobody_ran_is_replaced_at_start() {
    let (dir, authority) = mesh(start());
    let root = authority.root_fingerprint();
    drop(authority);
    let later = start() + 60 * DAY;
    let reopened = open(dir.path(), later);
    assert_eq!(reopened.root_fingerprint(), root);
    assert_eq!(webpki(&reopened, &issue(&reopened, HOUR, later), later), Ok(()));
}

#[test]
fn near_the_roots_end_leaves_get_shorter_and_then_are_refused() {
    let (dir, authority) = mesh(start());
    let end = authority.expiries().0;
    let last_days = open(dir.path(), end - 3 * DAY);
    let issued = issue(&last_days, 7 * DAY, end - 3 * DAY);
    assert!(issued.not_after < end && issued.not_after > end - HOUR, "as long as the root lets it");
    assert_eq!(webpki(&last_days, &issued, issued.not_after), Ok(()));
    assert!(openssl_verifies(dir.path(), &last_days, &issued, issued.not_after - Duration::from_secs(1)));
    let too_late = last_days.issue(&plain_request(), &orders(), 12 * HOUR, end - HOUR / 2).unwrap_err();
    assert!(matches!(too_late, IssueError::IssuerExpires { .. }), "{too_late}");
}

#[test]
fn a_clock_five_minutes_back_or_a_day_ahead_does_no_harm() {
    let (dir, authority) = mesh(start());
    for now in [start() - Duration::from_secs(300), start() + DAY] {
        let issued = issue(&authority, HOUR, now);
        assert_eq!(webpki(&authority, &issued, now), Ok(()));
        assert!(openssl_verifies(dir.path(), &authority, &issued, now));
        assert_eq!(open(dir.path(), now).root_fingerprint(), authority.root_fingerprint());
    }
    let far_back = authority.issue(&plain_request(), &orders(), HOUR, start() - 2 * DAY).unwrap_err();
    assert!(matches!(far_back, IssueError::ClockBehind { .. }), "{far_back}");
}

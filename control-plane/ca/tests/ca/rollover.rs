use std::time::{Duration, SystemTime};

use meshwright_ca::{
    Authority, AuthorityOptions, Issued, NewRoot, Observed, ObservedProxy, OpenError, PeerCertificates, RolloverError, abort_rollover,
    client, confirm_rollover, create_join_token, rotate, server_tls_config,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;

use crate::served::{module, serve};
use crate::support::{HOUR, domain, openssl, orders, plain_request, seconds, start};

fn options() -> AuthorityOptions {
    AuthorityOptions { leaf_ttl: HOUR, ..AuthorityOptions::default() }
}

fn open(dir: &TempDir, now: SystemTime) -> Authority {
    Authority::open_with(dir.path(), &domain("shop.example"), "mesh-system", options(), now).unwrap()
}

fn issue(authority: &Authority, now: SystemTime) -> Issued {
    authority.issue(&plain_request(), &orders(), HOUR, now).unwrap()
}

fn accepted(chain: &[CertificateDer<'static>], bundle: &str, now: SystemTime) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let leaf = ParsedCertificate::try_from(&chain[0]).unwrap();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds(now)));
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &chain[1..], at, algorithms).is_ok()
}

fn openssl_accepts(chain: &[CertificateDer<'static>], bundle: &str, now: SystemTime) -> bool {
    let dir = TempDir::new().unwrap();
    let to_pem = |der: &CertificateDer<'_>| pem(der);
    std::fs::write(dir.path().join("bundle.pem"), bundle).unwrap();
    std::fs::write(dir.path().join("chain.pem"), chain.iter().map(to_pem).collect::<String>()).unwrap();
    let at = seconds(now).to_string();
    let arguments = ["verify", "-x509_strict", "-attime", &at, "-CAfile", "bundle.pem", "-untrusted", "chain.pem", "chain.pem"];
    openssl(dir.path(), &arguments).status.success()
}

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[test]
fn a_whole_rollover_and_what_verifies_in_each_phase() {
    let dir = TempDir::new().unwrap();
    let now = start();
    let authority = open(&dir, now);
    let nobody = Observed { leaf_ttl: HOUR, ..Observed::default() };
    let (old_bundle, old_leaf) = (authority.trust_bundle_pem(), issue(&authority, now));
    let old_root = authority.root_fingerprint();
    assert!(!authority.advance(&nobody, now).unwrap(), "nothing to do");

    rotate(dir.path(), NewRoot::Make, &options(), now).unwrap();
    assert!(matches!(rotate(dir.path(), NewRoot::Make, &options(), now), Err(OpenError::Rollover(RolloverError::UnderWay("publish")))));
    let mut bundles = authority.trust_bundles();
    assert!(authority.advance(&nobody, now).unwrap());
    assert!(bundles.has_changed().unwrap());
    let both = bundles.borrow_and_update().to_string();
    assert_eq!((both.matches("BEGIN").count(), authority.root_fingerprint()), (2, old_root));
    assert_eq!(open(&dir, now).trust_bundle_pem(), both, "a restart changes nothing");

    // Not before the leaves of before have ended, nor before the proxy has acknowledged.
    let proxy = |holds| ObservedProxy { name: "cart".to_owned(), identity: orders().to_string(), holds, away_since: None };
    let seen = |holds| Observed { proxies: vec![proxy(holds)], ..nobody.clone() };
    assert!(!authority.advance(&seen(true), now + HOUR / 2).unwrap());
    let later = now + 3 * HOUR;
    assert!(!authority.advance(&seen(false), later).unwrap());
    let status = authority.rollover_status(&seen(false), later);
    assert_eq!((status.phase, status.blockers), ("publish", vec!["`cart` has not acknowledged the trust bundle".to_owned()]));
    let last_old_leaf = issue(&authority, later);
    assert!(authority.advance(&seen(true), later).unwrap());

    let new_leaf = issue(&authority, later);
    assert_ne!(authority.root_fingerprint(), old_root);
    assert_eq!(authority.trust_bundle_pem(), both, "the same bytes: nothing is sent again");
    for leaf in [&last_old_leaf, &new_leaf] {
        assert!(accepted(&leaf.chain, &both, later) && openssl_accepts(&leaf.chain, &both, later));
    }
    assert!(!accepted(&new_leaf.chain, &old_bundle, later) && !openssl_accepts(&new_leaf.chain, &old_bundle, later));
    // The control plane itself is accepted by those who know either root alone.
    let server = authority.server_identity(later).unwrap();
    let new_bundle = pem(&authority.root_certificate());
    for bundle in [&old_bundle, &new_bundle, &both] {
        assert!(accepted(&server.chain, bundle, later) && openssl_accepts(&server.chain, bundle, later));
    }

    assert!(!authority.advance(&seen(true), later + HOUR / 2).unwrap(), "a leaf of the old root lives");
    let end = later + HOUR + Duration::from_secs(2);
    assert!(authority.advance(&seen(true), end).unwrap());
    assert_eq!((authority.phase().name(), authority.trust_bundle_pem()), ("retire", new_bundle.clone()));
    assert!(authority.advance(&seen(true), end).unwrap());
    assert_eq!(authority.phase().name(), "stable");
    assert!(!accepted(&last_old_leaf.chain, &new_bundle, later) && accepted(&old_leaf.chain, &old_bundle, now));
    let files: Vec<_> = std::fs::read_dir(dir.path().join("ca")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name == "root.pem" || name == "intermediate.pem"), "the old keys are gone: {files:?}");
    assert_eq!(open(&dir, end).trust_bundle_pem(), new_bundle);
}

#[test]
fn an_abort_in_each_phase_and_what_cannot_be() {
    let dir = TempDir::new().unwrap();
    let now = start();
    let authority = open(&dir, now);
    let nobody = Observed::default();
    let root = authority.root_fingerprint();
    assert!(matches!(abort_rollover(dir.path(), now), Err(OpenError::Rollover(RolloverError::None))));
    rotate(dir.path(), NewRoot::Make, &options(), now).unwrap();
    abort_rollover(dir.path(), now).unwrap();
    assert!(!authority.advance(&nobody, now).unwrap(), "nobody has seen it");
    rotate(dir.path(), NewRoot::Make, &options(), now).unwrap();
    confirm_rollover(dir.path()).unwrap();
    assert!(authority.advance(&nobody, now).unwrap() && authority.advance(&nobody, now).unwrap());
    assert_eq!(authority.phase().name(), "sign");
    let of_new = issue(&authority, now);
    abort_rollover(dir.path(), now).unwrap();
    let of_new_too = issue(&authority, now + Duration::from_secs(5));
    assert!(authority.advance(&nobody, now + Duration::from_secs(5)).unwrap());
    assert_eq!(authority.root_fingerprint(), root, "the old one signs again");
    let bundle = authority.trust_bundle_pem();
    assert!(accepted(&of_new.chain, &bundle, now) && accepted(&of_new_too.chain, &bundle, now + HOUR));
    assert!(!authority.advance(&nobody, of_new_too.not_after).unwrap(), "leaves of the new root live");
    let status = authority.rollover_status(&nobody, now + Duration::from_secs(6));
    assert!(status.reverting && status.blockers[0].starts_with("certificates of the old root live until"), "{status:?}");
    let end = now + 4 * HOUR;
    assert!(authority.advance(&nobody, end).unwrap() && authority.advance(&nobody, end).unwrap());
    assert_eq!((authority.phase().name(), authority.root_fingerprint()), ("stable", root));
}

/// Over real TLS: tokens and certificates of before are good for as long as they live.
#[tokio::test]
async fn sidecars_join_and_renew_through_a_rollover() {
    let served = serve(module(vec![])).await;
    let now = SystemTime::now();
    let joined = served.joined().await;
    let old_token = served.token("orders");
    rotate(served.dir.path(), NewRoot::Make, &options(), now).unwrap();
    confirm_rollover(served.dir.path()).unwrap();
    let holds = ObservedProxy { name: "orders".to_owned(), identity: orders().to_string(), holds: true, away_since: None };
    let observed = Observed { proxies: vec![holds], leaf_ttl: HOUR, ..Observed::default() };
    assert!(served.advance(&observed) && served.advance(&observed));
    assert_eq!(served.authority.phase().name(), "sign");
    let renewed = client::renew(&served.address, &joined, now).await.unwrap();
    assert_eq!(renewed.trust_bundle_pem(), served.authority.trust_bundle_pem());
    client::join(&served.address, &old_token, now).await.unwrap();
    let new_token = create_join_token(served.dir.path(), "bookshop", "orders", HOUR, now).unwrap();
    assert_ne!(new_token.root_fingerprint(), old_token.root_fingerprint());
    client::join(&served.address, &new_token, now).await.unwrap();
    client::renew(&served.address, &renewed, now).await.unwrap();
    // A token that names the old root and was not used is one more thing to wait for.
    let status = served.authority.rollover_status(&observed, now);
    assert!(!status.blockers.iter().any(|why| why.contains("join tokens")), "{status:?}");
}

#[test]
fn the_servers_certificate_follows_the_phase() {
    let dir = TempDir::new().unwrap();
    let authority = open(&dir, start());
    let (_config, certificate) = server_tls_config(&authority, start()).unwrap();
    assert!(!certificate.renew_if_due(&authority, start()).unwrap());
    rotate(dir.path(), NewRoot::Make, &options(), start()).unwrap();
    authority.advance(&Observed::default(), start()).unwrap();
    assert!(certificate.renew_if_due(&authority, start()).unwrap());
    assert!(!certificate.renew_if_due(&authority, start()).unwrap());
    assert!(PeerCertificates(authority.server_identity(start()).unwrap().chain).identity(&domain("shop.example"), start()).is_ok());
}

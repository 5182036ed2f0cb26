//! The same chains before four verifiers: webpki (what rustls asks), openssl, the `spiffe` crate's reading of X.509-SVIDs, and `inspect`.
//! What the authority issues all of them accept. What one of them refuses, `inspect` refuses too: it is never the most lenient.

use std::path::Path;
use std::time::Duration;

use meshwright_ca::{Authority, AuthorityOptions, Imported, KeyAlgorithm, import, inspect};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};
use spiffe::X509Svid;
use tempfile::TempDir;

use crate::support::{DAY, HOUR, domain, openssl, orders, request_of, seconds, start};

/// A chain, leaf first, the root that it should end in, and the leaf's key.
struct Presented {
    chain: Vec<CertificateDer<'static>>,
    root: CertificateDer<'static>,
    key: Vec<u8>,
}

/// Of webpki, openssl, the `spiffe` crate and `inspect`: who accepts.
type Verdicts = [bool; 4];

impl Presented {
    fn verdicts(&self, dir: &Path) -> Verdicts {
        [self.webpki(), self.openssl(dir), self.spiffe(), self.inspect()]
    }

    fn webpki(&self) -> bool {
        let (Some((leaf, rest)), mut roots) = (self.chain.split_first(), RootCertStore::empty()) else { return false };
        roots.add(self.root.clone()).unwrap();
        let Ok(parsed) = ParsedCertificate::try_from(leaf) else { return false };
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds(start())));
        let algorithms = provider.signature_verification_algorithms.all;
        let server = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, now, algorithms).is_ok();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        server && clients.verify_client_cert(leaf, rest, now).is_ok()
    }

    fn openssl(&self, dir: &Path) -> bool {
        std::fs::write(dir.join("root.pem"), pem(std::slice::from_ref(&self.root))).unwrap();
        std::fs::write(dir.join("chain.pem"), pem(&self.chain)).unwrap();
        let at = seconds(start()).to_string();
        ["sslserver", "sslclient"].iter().all(|purpose| {
            let options = ["verify", "-attime", &at, "-purpose", purpose];
            let files = ["-no-CApath", "-CAfile", "root.pem", "-untrusted", "chain.pem", "chain.pem"];
            openssl(dir, &[&options[..], &files].concat()).status.success()
        })
    }

    fn spiffe(&self) -> bool {
        X509Svid::parse_from_der(&self.chain.iter().flat_map(|der| der.to_vec()).collect::<Vec<u8>>(), &self.key).is_ok()
    }

    fn inspect(&self) -> bool {
        let report = inspect(
            pem(&self.chain).as_bytes(),
            Some(pem(std::slice::from_ref(&self.root)).as_bytes()),
            Some(&domain("shop.example")),
            start(),
        );
        report.is_ok_and(|report| report.problems.is_empty())
    }
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec()))).collect()
}

type Change = fn(&mut CertificateParams);

fn same(_params: &mut CertificateParams) {}

fn named(params: &mut CertificateParams, name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = ((start() - HOUR).into(), (start() + DAY).into());
}

fn authority(name: &str, change: Change) -> CertificateParams {
    let mut params = CertificateParams::default();
    named(&mut params, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    params
}

/// Root, intermediate, leaf, as they should be but for the changes.
fn made(root: Change, intermediate: Change, leaf: Change) -> Presented {
    let root = CertifiedIssuer::self_signed(authority("root", root), KeyPair::generate().unwrap()).unwrap();
    let intermediate = CertifiedIssuer::signed_by(authority("intermediate", intermediate), KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = CertificateParams::default();
    named(&mut params, "leaf");
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = uris(&[&orders().to_string()]);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &intermediate).unwrap();
    Presented { chain: vec![leaf.der().clone(), intermediate.der().clone()], root: root.der().clone(), key: key.serialize_der() }
}

fn uris(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect()
}

fn issued(algorithm: KeyAlgorithm) -> Presented {
    let dir = TempDir::new().unwrap();
    let options = AuthorityOptions { algorithm, ..AuthorityOptions::default() };
    let authority = Authority::open_with(dir.path(), &domain("shop.example"), "mesh", options, start()).unwrap();
    let key = KeyPair::generate().unwrap();
    let issued = authority.issue(&request_of(&key, |_| {}), &orders(), HOUR, start()).unwrap();
    Presented { chain: issued.chain, root: authority.root_certificate(), key: key.serialize_der() }
}

const ALL: Verdicts = [true; 4];

#[test]
fn every_verifier_accepts_what_is_issued_with_every_kind_of_key() {
    let dir = TempDir::new().unwrap();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        assert_eq!(issued(algorithm).verdicts(dir.path()), ALL, "{algorithm:?}");
    }
}

/// What SPIFFE forbids in a leaf is nothing to who only builds paths.
#[test]
fn leaves_that_are_no_svids() {
    let dir = TempDir::new().unwrap();
    let no_svid = [true, true, false, false];
    let cases: [(&str, Change, Verdicts); 11] = [
        ("as it should be", same, ALL),
        ("two names", |leaf| leaf.subject_alt_names = uris(&["spiffe://shop.example/a", "spiffe://shop.example/b"]), no_svid),
        // The crate lowers it first, as URIs may be; the specification has it lower case, and two spellings of a name are two in a policy.
        ("an upper case trust domain", |leaf| leaf.subject_alt_names = uris(&["spiffe://Shop.example/a"]), [true, true, true, false]),
        ("a path with ..", |leaf| leaf.subject_alt_names = uris(&["spiffe://shop.example/a/../b"]), no_svid),
        ("no path", |leaf| leaf.subject_alt_names = uris(&["spiffe://shop.example"]), no_svid),
        ("2049 bytes", |leaf| leaf.subject_alt_names = uris(&[&format!("spiffe://shop.example/{}", "a".repeat(2027))]), no_svid),
        ("another scheme", |leaf| leaf.subject_alt_names = uris(&["https://shop.example/a"]), no_svid),
        ("may sign", |leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign), no_svid),
        ("may sign lists", |leaf| leaf.key_usages.push(KeyUsagePurpose::CrlSign), no_svid),
        // A bundle of this trust domain vouches for no other.
        ("another trust domain", |leaf| leaf.subject_alt_names = uris(&["spiffe://other.example/a"]), [true, true, true, false]),
        ("for servers alone", |leaf| drop(leaf.extended_key_usages.pop()), [false, false, true, false]),
    ];
    let wrong: Vec<_> = cases
        .into_iter()
        .map(|(what, change, expected)| (what, made(same, same, change).verdicts(dir.path()), expected))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn chains_that_end_nowhere() {
    let dir = TempDir::new().unwrap();
    let no_path = [false, false, true, false];
    let refused = |what: &str, presented: Presented, expected: Verdicts| assert_eq!(presented.verdicts(dir.path()), expected, "{what}");
    let good = || issued(KeyAlgorithm::EcdsaP256);
    refused("another mesh's root", Presented { root: good().root, ..good() }, no_path);
    refused("no intermediate", Presented { chain: good().chain.into_iter().take(1).collect(), ..good() }, no_path);
    let (mut mixed, other) = (good(), good());
    mixed.chain[1] = other.chain[1].clone();
    refused("another mesh's intermediate", mixed, no_path);
    refused("a leaf of yesterday", made(same, same, |leaf| leaf.not_after = (start() - HOUR / 2).into()), no_path);
    refused("a leaf of tomorrow", made(same, same, |leaf| leaf.not_before = (start() + HOUR).into()), no_path);
    refused("an intermediate of yesterday", made(same, |ca| ca.not_after = (start() - HOUR / 2).into(), same), no_path);
    let short: Change = |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    refused("a root for leaves alone", made(short, same, same), [true, false, true, false]);
    refused("an intermediate for leaves alone is right", made(same, short, same), ALL);
    refused("an intermediate that is no authority", made(same, |ca| ca.is_ca = IsCa::ExplicitNoCa, same), [false; 4]);
}

#[test]
fn a_leaf_signs_nobody() {
    let dir = TempDir::new().unwrap();
    let mesh = TempDir::new().unwrap();
    let authority = Authority::open(mesh.path(), &domain("shop.example"), "mesh", start()).unwrap();
    let thief = KeyPair::generate().unwrap();
    let theirs = authority.issue(&request_of(&thief, |_| {}), &orders(), HOUR, start()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&theirs.chain[0], thief).unwrap();
    let mut params = CertificateParams::default();
    named(&mut params, "forged");
    params.subject_alt_names = uris(&["spiffe://shop.example/ns/bookshop/sa/payments"]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate().unwrap();
    let forged = params.signed_by(&key, &issuer).unwrap().der().clone();
    let chain = [vec![forged], theirs.chain].concat();
    let presented = Presented { chain, root: authority.root_certificate(), key: key.serialize_der() };
    assert_eq!(presented.verdicts(dir.path()), [false; 4]);
}

/// Every byte for webpki and `inspect`; openssl, being a process each time, sees some.
#[test]
fn no_byte_of_a_chain_can_be_changed() {
    let dir = TempDir::new().unwrap();
    let good = issued(KeyAlgorithm::EcdsaP256);
    for certificate in 0..good.chain.len() {
        for at in 0..good.chain[certificate].len() {
            let mut bytes = good.chain[certificate].to_vec();
            bytes[at] ^= 1 << (at % 8);
            let mut chain = good.chain.clone();
            chain[certificate] = bytes.into();
            let changed = Presented { chain, root: good.root.clone(), key: good.key.clone() };
            assert!(!changed.webpki() && !changed.inspect(), "byte {at} of certificate {certificate}");
            assert!(at % 64 != 0 || !changed.openssl(dir.path()), "openssl accepts a change of byte {at} of certificate {certificate}");
        }
    }
    assert_eq!(good.verdicts(dir.path()), ALL);
}

/// Envoy would refuse all that a mesh under it signs.
#[test]
fn a_root_for_leaves_alone_is_not_plugged_in() {
    let plug = |path_length: u8| {
        let mut params = authority("root", same);
        params.not_after = (start() + 400 * DAY).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let both = root.pem() + &root.key().serialize_pem();
        let imported = Imported { root: both.into_bytes(), ..Imported::default() };
        let data = TempDir::new().unwrap();
        import(data.path(), &domain("shop.example"), &imported, &AuthorityOptions::default(), start()).map(drop)
    };
    plug(1).unwrap();
    let error = plug(0).unwrap_err().to_string();
    assert!(error.contains("its root allows fewer than the 1 authorities below it"), "{error}");
}

use meshwright_ca::{IssueError, PeerCertificates, RefusedRequest};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType,
};

use crate::support::{HOUR, mesh, openssl_ok, orders, plain_request, request, request_of, start};

const OWN: &str = "spiffe://shop.example/ns/bookshop/sa/orders";

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[track_caller]
fn refused(csr: &[u8]) -> RefusedRequest {
    let (_dir, authority) = mesh(start());
    match authority.issue(csr, &orders(), HOUR, start()) {
        Err(IssueError::Request(why)) => why,
        other => panic!("not refused as a request: {other:?}"),
    }
}

#[track_caller]
fn foreign(names: Vec<SanType>, expected: &str) {
    let allowed = OWN.to_owned();
    let found = expected.to_owned();
    assert_eq!(refused(&request(|params| params.subject_alt_names = names)), RefusedRequest::ForeignName { found, allowed });
}

#[test]
fn a_request_may_name_its_own_identity_and_harmless_uses() {
    let (_dir, authority) = mesh(start());
    let modest = request(|params| {
        params.subject_alt_names = vec![uri(OWN)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(authority.issue(&modest, &orders(), HOUR, start()).is_ok());
}

#[test]
fn a_request_for_a_foreign_name_is_refused() {
    foreign(vec![uri("spiffe://shop.example/ns/bookshop/sa/payments")], "spiffe://shop.example/ns/bookshop/sa/payments");
    foreign(vec![uri(OWN), uri("spiffe://shop.example/ns/a/sa/b")], "spiffe://shop.example/ns/a/sa/b");
    foreign(vec![uri("spiffe://SHOP.example/ns/bookshop/sa/orders")], "spiffe://SHOP.example/ns/bookshop/sa/orders");
    foreign(vec![uri("spiffe://shop.example/ns/x/../bookshop/sa/orders")], "spiffe://shop.example/ns/x/../bookshop/sa/orders");
    foreign(vec![uri(OWN), dns("payments.bookshop")], "DNSName(payments.bookshop)");
    // A DNS name spelt like the identity is still not the identity.
    let own_as_mail = vec![SanType::Rfc822Name(OWN.try_into().unwrap())];
    foreign(own_as_mail, &format!("RFC822Name({OWN})"));
    let long = format!("spiffe://shop.example/{}", "a".repeat(2049 - "spiffe://shop.example/".len()));
    assert_eq!(long.len(), 2049);
    foreign(vec![uri(&long)], &long);
}

#[test]
fn two_names_are_refused_even_when_both_are_its_own() {
    assert_eq!(refused(&request(|params| params.subject_alt_names = vec![uri(OWN), uri(OWN)])), RefusedRequest::Names(2));
}

#[test]
fn a_request_to_be_an_authority_is_refused() {
    let check = |change: fn(&mut CertificateParams), why: RefusedRequest| assert_eq!(refused(&request(change)), why);
    check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), RefusedRequest::Authority);
    check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), RefusedRequest::Authority);
    check(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign], RefusedRequest::Usage("keyCertSign"));
    check(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign], RefusedRequest::Usage("cRLSign"));
    let extended = RefusedRequest::Usage("an extended key usage other than serverAuth and clientAuth");
    check(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning], extended.clone());
    check(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], extended);
    check(
        |params| params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0])],
        RefusedRequest::Extension("1.3.6.1.4.1.99999.1".to_owned()),
    );
}

#[test]
fn a_request_not_signed_by_its_own_key_is_refused() {
    let mut csr = plain_request();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    assert_eq!(refused(&csr), RefusedRequest::Signature);
    // Somebody else's public key put into one's own request.
    let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let csr = request_of(&mine, |_| {});
    let at = csr.windows(65).position(|window| window == mine.public_key_raw()).unwrap();
    let mut forged = csr.clone();
    forged[at..at + 65].copy_from_slice(theirs.public_key_raw());
    assert_eq!(refused(&forged), RefusedRequest::Signature);
}

#[test]
fn what_is_not_a_request_is_refused() {
    let csr = plain_request();
    let with_more = [csr.as_slice(), b"more"].concat();
    for bad in [&b""[..], b"not DER", &csr[..csr.len() - 1], &csr[..40], &with_more, &[0x30, 0x82, 0xff, 0xff]] {
        assert_eq!(refused(bad), RefusedRequest::Malformed, "{} bytes", bad.len());
    }
    assert_eq!(refused(&vec![0x30; 1 << 20]), RefusedRequest::TooLarge(1 << 20));
}

#[test]
fn no_change_of_a_byte_gets_another_key_or_name() {
    let (_dir, authority) = mesh(start());
    let key = KeyPair::generate().unwrap();
    let csr = request_of(&key, |params| params.subject_alt_names = vec![uri(OWN)]);
    let mut refused = 0;
    for (at, flip) in (0..csr.len()).flat_map(|at| [0x01, 0x20, 0x80].map(|flip| (at, flip))) {
        let mut changed = csr.clone();
        changed[at] ^= flip;
        // A few bits of the outer encoding are neither signed nor read; they change nothing.
        let Ok(issued) = authority.issue(&changed, &orders(), HOUR, start()) else {
            refused += 1;
            continue;
        };
        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        assert_eq!(leaf.public_key().raw, key.subject_public_key_info(), "byte {at} ^ {flip}");
        assert_eq!(PeerCertificates(issued.chain.clone()).identity(orders().trust_domain(), start()), Ok(orders()));
    }
    assert!(refused >= csr.len() * 3 - 10, "{refused} of {} refused", csr.len() * 3);
}

#[test]
fn weak_keys_and_hashes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let make = |key: &[&str], digest: &[&str]| {
        openssl_ok(dir.path(), &[&["genpkey", "-out", "key.pem"], key].concat());
        let req = ["req", "-new", "-key", "key.pem", "-subj", "/", "-outform", "DER", "-out", "csr.der"];
        openssl_ok(dir.path(), &[&req, digest].concat());
        std::fs::read(dir.path().join("csr.der")).unwrap()
    };
    let rsa = |bits: &str| make(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")], &["-sha256"]);
    assert_eq!(refused(&rsa("1024")), RefusedRequest::Key("RSA of fewer than 2048 bits"));
    let p521 = make(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], &["-sha256"]);
    assert_eq!(refused(&p521), RefusedRequest::Key("its curve is neither P-256 nor P-384"));
    let k256 = make(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], &["-sha256"]);
    assert_eq!(refused(&k256), RefusedRequest::Key("its curve is neither P-256 nor P-384"));
    let sha1 = make(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &["-sha1"]);
    assert_eq!(refused(&sha1), RefusedRequest::SignatureAlgorithm("1.2.840.113549.1.1.5".to_owned()));
}

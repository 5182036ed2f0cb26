//! Authorities made elsewhere, keys at rest, other algorithms: judged by openssl and webpki.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use meshwright_ca::{
    Authority, AuthorityOptions, ImportError, Imported, InvalidMaterial, KeyAlgorithm, NewRoot, OpenError, Passphrase, TakenRoot,
};
use meshwright_ca::{import, rotate};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::{HOUR, domain, openssl, openssl_ok, orders, plain_request};

fn passphrase(text: &str) -> Option<Passphrase> {
    Some(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap())
}

fn open(dir: &Path, options: &AuthorityOptions) -> Result<Authority, OpenError> {
    Authority::open_with(dir, &domain("shop.example"), "mesh", options.clone(), SystemTime::now())
}

/// What openssl says of a fresh leaf, with the authority's own bundle.
fn good(authority: &Authority) {
    let dir = TempDir::new().unwrap();
    let issued = authority.issue(&plain_request(), &orders(), HOUR, SystemTime::now()).unwrap();
    fs::write(dir.path().join("bundle.pem"), authority.trust_bundle_pem()).unwrap();
    fs::write(dir.path().join("chain.pem"), &issued.chain_pem).unwrap();
    for purpose in ["sslserver", "sslclient"] {
        openssl_ok(dir.path(), &["verify", "-purpose", purpose, "-CAfile", "bundle.pem", "-untrusted", "chain.pem", "chain.pem"]);
    }
}

/// An openssl root (`root.pem`, `root.key`) and an intermediate (`int.pem`, `int.key`) with these extensions.
fn company(root_key: &[&str], intermediate_extensions: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let at = dir.path();
    let extensions = format!(
        "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nO=Example Corp\nCN=Example Root\n[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n[int]\n{intermediate_extensions}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    );
    fs::write(at.join("c.cnf"), extensions).unwrap();
    let mut arguments = vec!["genpkey", "-out", "root.key"];
    arguments.extend(root_key);
    openssl_ok(at, &arguments);
    openssl_ok(
        at,
        &["req", "-x509", "-new", "-key", "root.key", "-days", "400", "-out", "root.pem", "-config", "c.cnf", "-extensions", "root"],
    );
    openssl_ok(at, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "int.key"]);
    openssl_ok(at, &["req", "-new", "-key", "int.key", "-subj", "/CN=Mesh", "-out", "int.csr", "-config", "c.cnf"]);
    let sign = ["x509", "-req", "-in", "int.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "90"];
    openssl_ok(at, &[&sign[..], &["-extfile", "c.cnf", "-extensions", "int", "-out", "int.pem"]].concat());
    dir
}

const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const CA: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign";

fn read(dir: &TempDir, names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| fs::read(dir.path().join(name)).unwrap()).collect()
}

fn plug(data: &TempDir, imported: &Imported) -> Result<(), ImportError> {
    import(data.path(), &domain("shop.example"), imported, &AuthorityOptions::default(), SystemTime::now()).map(|_| ())
}

#[test]
fn a_root_with_its_key_of_every_kind() {
    for kind in [P384, &["-algorithm", "ed25519"], &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]] {
        let (company, data) = (company(kind, CA), TempDir::new().unwrap());
        plug(&data, &Imported { root: read(&company, &["root.pem", "root.key"]), ..Imported::default() }).unwrap();
        good(&open(data.path(), &AuthorityOptions::default()).unwrap());
    }
}

#[test]
fn an_intermediate_whose_root_stays_away_and_two_replicas_of_one_root() {
    let company = company(P384, CA);
    let away =
        Imported { root: read(&company, &["root.pem"]), intermediate: Some(read(&company, &["int.pem", "int.key"])), passphrase: None };
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    plug(&one, &away).unwrap();
    let with_key = Imported { root: read(&company, &["root.pem", "root.key"]), ..Imported::default() };
    plug(&two, &with_key).unwrap();
    let [one_open, two_open] = [&one, &two].map(|data| open(data.path(), &AuthorityOptions::default()).unwrap());
    good(&one_open);
    good(&two_open);
    assert_eq!(one_open.trust_bundle_pem(), two_open.trust_bundle_pem());
    let chains = [&one_open, &two_open].map(|open| open.issue(&plain_request(), &orders(), HOUR, SystemTime::now()).unwrap().chain);
    assert_ne!(chains[0][1], chains[1][1], "each its own intermediate");
    // Near its end nothing can be done about it here: it serves on, then it refuses, and another one can be plugged in.
    let later = SystemTime::now() + Duration::from_secs(89 * 24 * 3600);
    assert!(one_open.issue(&plain_request(), &orders(), HOUR, later).is_ok());
    plug(&one, &with_key).unwrap();
    let long_after = later + Duration::from_secs(5 * 24 * 3600);
    assert!(one_open.issue(&plain_request(), &orders(), HOUR, long_after).is_ok(), "taken up without a restart");
}

#[test]
fn what_could_not_sign_for_peers_is_refused_and_nothing_is_kept() {
    let good = company(P384, CA);
    let refused = |imported: Imported| {
        let data = TempDir::new().unwrap();
        let error = plug(&data, &imported).unwrap_err();
        assert!(!data.path().join("ca/root.pem").exists() && !data.path().join("ca/state.json").exists());
        error.to_string()
    };
    let with = |intermediate: Vec<u8>| Imported { root: read(&good, &["root.pem"]), intermediate: Some(intermediate), passphrase: None };
    assert!(refused(Imported { root: read(&good, &["root.pem"]), ..Imported::default() }).contains("nothing could sign"));
    assert!(refused(with(read(&good, &["int.pem", "root.key"]))).contains("not the certificate's"));
    let other = company(P384, CA);
    assert!(refused(with(read(&other, &["int.pem", "int.key"]))).contains("not signed by this root"));
    openssl_ok(good.path(), &["pkey", "-in", "int.key", "-traditional", "-out", "sec1.key"]);
    assert!(refused(with(read(&good, &["int.pem", "sec1.key"]))).contains("openssl pkcs8 -topk8"));
    let leaf = company(P384, "basicConstraints=critical,CA:FALSE");
    let of_leaf = Imported { root: read(&leaf, &["root.pem"]), intermediate: Some(read(&leaf, &["int.pem", "int.key"])), passphrase: None };
    assert!(refused(of_leaf).contains("may not sign"));
    let limited = company(P384, &format!("{CA}\nnameConstraints=critical,permitted;URI:other.example"));
    let of_limited =
        Imported { root: read(&limited, &["root.pem"]), intermediate: Some(read(&limited, &["int.pem", "int.key"])), passphrase: None };
    assert!(refused(of_limited).contains("what it signs is not accepted"));
    let foreign = company(P384, &format!("{CA}\nsubjectAltName=URI:spiffe://other.example"));
    let of_foreign =
        Imported { root: read(&foreign, &["root.pem"]), intermediate: Some(read(&foreign, &["int.pem", "int.key"])), passphrase: None };
    assert!(refused(of_foreign).contains("trust domain"));
}

#[test]
fn a_plugged_in_root_replaces_another_only_by_a_rollover() {
    let (company, data) = (company(P384, CA), TempDir::new().unwrap());
    let authority = open(data.path(), &AuthorityOptions::default()).unwrap();
    let imported = Imported { root: read(&company, &["root.pem", "root.key"]), ..Imported::default() };
    assert!(matches!(plug(&data, &imported), Err(ImportError::OtherRoot(_))));
    let taken = NewRoot::Take(Box::new(TakenRoot { pem: imported.root, passphrase: None }));
    rotate(data.path(), taken, &AuthorityOptions::default(), SystemTime::now()).unwrap();
    authority.advance(&meshwright_ca::Observed::default(), SystemTime::now()).unwrap();
    assert_eq!(authority.trust_bundle_pem().matches("BEGIN").count(), 2);
    good(&authority);
}

#[test]
fn keys_at_rest_are_openssls_and_need_their_passphrase() {
    let data = TempDir::new().unwrap();
    drop(open(data.path(), &AuthorityOptions::default()).unwrap());
    let plain = fs::read_to_string(data.path().join("ca/root.pem")).unwrap();
    let secret = crate::support::secret_lines(&plain).remove(0);
    let encrypted = AuthorityOptions { passphrase: passphrase("correct horse battery"), ..AuthorityOptions::default() };
    let first = open(data.path(), &encrypted).unwrap();
    for name in ["root.pem", "intermediate.pem"] {
        let text = fs::read_to_string(data.path().join("ca").join(name)).unwrap();
        assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("BEGIN PRIVATE KEY") && !text.contains(&secret), "{text}");
    }
    good(&first);
    good(&open(data.path(), &encrypted).unwrap());
    let at = data.path().join("ca");
    let decrypted = openssl_ok(&at, &["pkcs8", "-in", "root.pem", "-passin", "pass:correct horse battery"]);
    assert!(decrypted.contains(&secret), "openssl reads the same key");
    assert!(!openssl(&at, &["pkcs8", "-in", "root.pem", "-passin", "pass:wrong"]).status.success());
    let wrong = AuthorityOptions { passphrase: passphrase("incorrect horse battery"), ..AuthorityOptions::default() };
    for (options, why) in [(AuthorityOptions::default(), InvalidMaterial::Encrypted), (wrong, InvalidMaterial::Passphrase)] {
        let error = open(data.path(), &options).unwrap_err();
        assert!(matches!(&error, OpenError::Root { source, .. } if *source == why), "{error}");
        assert!(!error.to_string().contains("horse"));
    }
    // Who makes tokens needs no key.
    meshwright_ca::create_join_token(data.path(), "shop", "cart", HOUR, SystemTime::now()).unwrap();
    assert!(!format!("{encrypted:?}").contains("horse"));
}

#[test]
fn a_passphrase_file_is_its_owners_alone_and_long_enough() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("passphrase");
    assert!(Passphrase::from_file(&file).unwrap_err().to_string().contains("does not exist"));
    fs::write(&file, "short\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Passphrase::from_file(&file).unwrap_err().to_string().contains("chmod 0600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Passphrase::from_file(&file).unwrap_err().to_string().contains("at least 12 bytes, this one has 5"));
    fs::write(&file, [7; 32]).unwrap();
    assert!(Passphrase::from_file(&file).is_ok());
}

#[test]
fn every_algorithm_makes_chains_that_openssl_accepts() {
    for name in KeyAlgorithm::NAMES {
        let data = TempDir::new().unwrap();
        let algorithm = KeyAlgorithm::named(name).unwrap();
        let options = AuthorityOptions { algorithm, passphrase: passphrase("correct horse battery"), ..AuthorityOptions::default() };
        good(&open(data.path(), &options).unwrap());
        good(&open(data.path(), &options).unwrap());
    }
}

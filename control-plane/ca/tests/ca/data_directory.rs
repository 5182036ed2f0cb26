use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshwright_ca::{Authority, InvalidMaterial, OpenError, StoreError, TokenStore, create_join_token};

use crate::support::{DAY, HOUR, domain, mesh, open, orders, plain_request, secret_lines, start};

fn try_open(dir: &Path) -> Result<Authority, OpenError> {
    Authority::open(dir, &domain("shop.example"), "mesh-system", start())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn every_path_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(every_path_below(&path));
        }
        found.push(path);
    }
    found
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = every_path_below(dir).into_iter().filter(|p| p.is_file()).map(|p| (p.clone(), fs::read(&p).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn everything_it_keeps_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made/on/first/start");
    open(&data, start());
    create_join_token(&data, "bookshop", "orders", HOUR, start()).unwrap();
    assert_eq!(mode(&data), 0o700);
    let paths = every_path_below(&data);
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn a_restart_keeps_the_authority_and_changes_no_file() {
    let (dir, authority) = mesh(start());
    let before = contents(dir.path());
    let issued = authority.issue(&plain_request(), &orders(), HOUR, start()).unwrap();
    let root = authority.root_fingerprint();
    drop(authority);
    let reopened = open(dir.path(), start() + DAY);
    assert_eq!(reopened.root_fingerprint(), root);
    let again = reopened.issue(&plain_request(), &orders(), HOUR, start() + DAY).unwrap();
    assert_eq!(again.chain[1], issued.chain[1], "the same intermediate");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn many_first_starts_at_once_make_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| open(path, start()).root_fingerprint())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
}

#[test]
fn another_meshs_directory_is_refused_and_untouched() {
    let (dir, authority) = mesh(start());
    drop(authority);
    let before = contents(dir.path());
    let error = Authority::open(dir.path(), &domain("other.example"), "mesh-system", start()).unwrap_err();
    assert!(matches!(error, OpenError::OtherTrustDomain { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("`shop.example`") && text.contains("`other.example`"), "{text}");
    assert_eq!(contents(dir.path()), before);
}

/// `damage` on one file: opening fails, names the file, and changes nothing.
#[track_caller]
fn damaged(file: &str, damage: impl FnOnce(&Path, &Path), expected: InvalidMaterial) {
    let (dir, authority) = mesh(start());
    drop(authority);
    let path = dir.path().join("ca").join(file);
    damage(dir.path(), &path);
    let before = contents(dir.path());
    let error = try_open(dir.path()).unwrap_err();
    match &error {
        OpenError::Root { path: named, source } | OpenError::Intermediate { path: named, source } => {
            assert_eq!((named, source), (&path, &expected));
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
    assert_eq!(contents(dir.path()), before, "existing material is never replaced");
}

fn cut(path: &Path, keep: usize) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..keep.min(content.len())]).unwrap();
}

#[test]
fn damaged_files_are_refused_and_never_regenerated() {
    for file in ["root.pem", "intermediate.pem"] {
        damaged(file, |_, path| cut(path, 0), InvalidMaterial::Sections);
        damaged(file, |_, path| cut(path, 100), InvalidMaterial::Sections);
        let key_cut = |_: &Path, path: &Path| cut(path, fs::read(path).unwrap().len() - 60);
        damaged(file, key_cut, InvalidMaterial::Sections);
        damaged(file, |_, path| fs::write(path, [0xff; 300]).unwrap(), InvalidMaterial::Sections);
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        let twice = |_: &Path, path: &Path| fs::write(path, text(path).repeat(2)).unwrap();
        damaged(file, twice, InvalidMaterial::Sections);
        let other_key = |_: &Path, path: &Path| {
            let content = text(path);
            let certificate = content.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
            fs::write(path, certificate + &rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        };
        damaged(file, other_key, InvalidMaterial::OtherKey);
    }
    let other_root = |_: &Path, path: &Path| {
        let (other, _authority) = mesh(start());
        fs::copy(other.path().join("ca/intermediate.pem"), path).unwrap();
    };
    damaged("intermediate.pem", other_root, InvalidMaterial::OtherRoot);
    let (dir, authority) = mesh(start());
    drop(authority);
    fs::copy(dir.path().join("ca/intermediate.pem"), dir.path().join("ca/root.pem")).unwrap();
    let before = contents(dir.path());
    assert!(matches!(try_open(dir.path()).unwrap_err(), OpenError::NamedRootMissing { .. }));
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_lost_root_beside_its_intermediate_is_an_error_not_a_new_mesh() {
    let (dir, authority) = mesh(start());
    drop(authority);
    fs::remove_file(dir.path().join("ca/root.pem")).unwrap();
    let before = contents(dir.path());
    assert!(matches!(try_open(dir.path()).unwrap_err(), OpenError::NamedRootMissing { .. }));
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn material_open_to_others_is_refused_with_the_command_that_closes_it() {
    let (dir, authority) = mesh(start());
    drop(authority);
    TokenStore::open(dir.path()).unwrap();
    for (path, good, bad) in [("ca/root.pem", 0o600, 0o640), ("ca/intermediate.pem", 0o600, 0o604), ("ca", 0o700, 0o750)] {
        let path = dir.path().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        let error = try_open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod {good:04o}")) && error.contains(&path.display().to_string()), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
    }
    fs::set_permissions(dir.path().join("join-tokens"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(TokenStore::open(dir.path()), Err(StoreError::TooOpen { .. })));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(try_open(dir.path()), Err(OpenError::Store(StoreError::Writable { .. }))));
}

#[test]
fn what_a_kill_between_writes_leaves_is_ignored() {
    // Killed while the root was being written: nothing but a half-written file.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let ca = dir.path().join("ca");
    fs::create_dir(&ca).unwrap();
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(ca.join(".root.pem.0011223344556677.tmp"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let root = open(dir.path(), start()).root_fingerprint();
    // Killed between root and intermediate, and while the intermediate was being written.
    fs::rename(ca.join("intermediate.pem"), ca.join(".intermediate.pem.8899aabbccddeeff.tmp")).unwrap();
    let reopened = open(dir.path(), start());
    assert_eq!(reopened.root_fingerprint(), root, "the root that was finished is kept");
    assert!(reopened.issue(&plain_request(), &orders(), HOUR, start()).is_ok());
}

#[test]
fn a_data_directory_that_cannot_be_one_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = try_open(&file).unwrap_err().to_string();
    assert!(error.contains("file` cannot be created"), "{error}");
    let (data, authority) = mesh(start());
    drop(authority);
    fs::remove_file(data.path().join("ca/root.pem")).unwrap();
    fs::create_dir(data.path().join("ca/root.pem")).unwrap();
    fs::set_permissions(data.path().join("ca/root.pem"), fs::Permissions::from_mode(0o700)).unwrap();
    let error = try_open(data.path()).unwrap_err().to_string();
    assert!(error.contains("root.pem`"), "{error}");
}

#[test]
fn an_expired_root_says_so() {
    let (dir, authority) = mesh(start());
    let end = authority.expiries().0;
    let error = Authority::open(dir.path(), &domain("shop.example"), "mesh-system", end + DAY).unwrap_err();
    assert!(matches!(error, OpenError::RootValidity { .. }), "{error}");
}

#[test]
fn no_debug_output_shows_a_key() {
    let (dir, authority) = mesh(start());
    let server = authority.server_identity(start()).unwrap();
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    let shown = format!("{authority:?}\n{server:?}\n{:?}\n{token:?}", server.key);
    let mut secrets: Vec<String> = vec![token.reveal().split('.').nth(1).unwrap().to_owned()];
    for (path, content) in contents(dir.path()).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "pem")) {
        secrets.extend(secret_lines(&String::from_utf8(content).unwrap_or_else(|_| panic!("{}", path.display()))));
    }
    secrets.extend(secret_lines(server.key.pem()));
    assert_eq!(secrets.len(), 1 + 3 * 2);
    for secret in &secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
    // Nor as the list of numbers that a derived Debug would print.
    use rustls_pki_types::PrivateKeyDer;
    if let PrivateKeyDer::Pkcs8(der) = server.key.to_der() {
        let numbers = format!("{:?}", &der.secret_pkcs8_der()[36..68]);
        assert!(!shown.contains(numbers.trim_matches(['[', ']'])));
    }
}

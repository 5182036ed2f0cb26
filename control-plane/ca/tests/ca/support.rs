use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshwright_ca::{Authority, AuthorityOptions};
use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The injected clock's start: some time in 2027.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

pub(crate) fn orders() -> SpiffeId {
    SpiffeId::parse("spiffe://shop.example/ns/bookshop/sa/orders").unwrap()
}

pub(crate) fn open(data_dir: &Path, now: SystemTime) -> Authority {
    Authority::open(data_dir, &domain("shop.example"), "mesh-system", now).unwrap()
}

/// A mesh of its own that goes with the test.
pub(crate) fn mesh(now: SystemTime) -> (TempDir, Authority) {
    mesh_with(AuthorityOptions::default(), now)
}

pub(crate) fn mesh_with(options: AuthorityOptions, now: SystemTime) -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_with(dir.path(), &domain("shop.example"), "mesh-system", options, now).unwrap();
    (dir, authority)
}

pub(crate) fn request(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    request_of(&KeyPair::generate().unwrap(), change)
}

pub(crate) fn request_of(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(key).unwrap().der().to_vec()
}

pub(crate) fn plain_request() -> Vec<u8> {
    request(|_| {})
}

/// The lines of a PKCS #8 PEM that hold a P-256 key's secret: bytes 36 to 67. What follows is its public half.
pub(crate) fn secret_lines(pem: &str) -> Vec<String> {
    let body = pem.split("-----BEGIN PRIVATE KEY-----").nth(1).expect("a key in PKCS #8");
    let lines: Vec<String> = body.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).map(str::to_owned).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.len() == 64), "64 characters a line");
    lines
}

pub(crate) fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    let run = Command::new("openssl").args(arguments).current_dir(dir).output();
    run.expect("these tests compare with the `openssl` command; install it (Debian: apt-get install openssl)")
}

/// Runs it and wants success; standard output.
pub(crate) fn openssl_ok(dir: &Path, arguments: &[&str]) -> String {
    let output = openssl(dir, arguments);
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

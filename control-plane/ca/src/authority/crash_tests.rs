//! Killed, or with a full disk, before every single change of the disk: the authority opens again, with what it was or what it was to be.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use meshwright_durable::faults::{self, Fault};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::rollover::Observed;

const TTL: Duration = Duration::from_secs(100);

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn domain() -> TrustDomain {
    TrustDomain::parse("shop.example").unwrap()
}

fn options() -> AuthorityOptions {
    AuthorityOptions { leaf_ttl: TTL, ..AuthorityOptions::default() }
}

fn open(dir: &Path, options: AuthorityOptions, now: SystemTime) -> Result<Authority, OpenError> {
    Authority::open_with(dir, &domain(), "mesh", options, now)
}

fn issue(authority: &Authority, now: SystemTime) -> Result<Issued, IssueError> {
    let id = SpiffeId::parse("spiffe://shop.example/ns/shop/sa/cart").unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
    authority.issue(&key.signing_request().unwrap(), &id, TTL, now)
}

/// Runs `work` on what `prepare` made, with each fault at each change of the disk; then the directory must open, be in a phase that is
/// allowed, issue, and be good for `work` again. Returns how many changes of the disk there are.
fn everywhere(
    prepare: impl Fn(&Path),
    work: impl Fn(&Path) -> Result<(), OpenError>,
    now: SystemTime,
    after: &[&str],
    reopen: &AuthorityOptions,
) -> u32 {
    for steps in 0.. {
        let mut came_to_it = false;
        for fault in [Fault::Killed, Fault::Full] {
            let dir = TempDir::new().unwrap();
            prepare(dir.path());
            let (result, struck) = faults::with(steps, fault, || work(dir.path()));
            assert!(struck || result.is_ok(), "{fault:?} {steps}: {result:?}");
            came_to_it |= struck;
            let opened = open(dir.path(), reopen.clone(), now).unwrap_or_else(|error| panic!("{fault:?} {steps}: {error}"));
            assert!(after.contains(&opened.phase().name()), "{fault:?} {steps}: {:?}", opened.phase());
            let chain = issue(&opened, now).unwrap().chain;
            assert_eq!(chain.len(), 2);
            let files = std::fs::read_dir(dir.path().join(FOLDER)).unwrap();
            let keys = files.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".pem")).count();
            let unfinished = std::fs::read_dir(dir.path().join(FOLDER)).unwrap().filter(|file| {
                let path = file.as_ref().unwrap().path();
                meshwright_durable::is_unfinished(&path)
            });
            assert_eq!(unfinished.count(), 0, "{fault:?} {steps}: half a key is left behind");
            assert!(keys <= 2 * opened.phase().kept().len(), "{fault:?} {steps}: a key is left behind");
        }
        if !came_to_it {
            return steps;
        }
    }
    0
}

fn made(dir: &Path) {
    open(dir, options(), start()).unwrap();
}

fn rotated(dir: &Path) {
    made(dir);
    rotate(dir, NewRoot::Make, &options(), start()).unwrap();
}

/// Opens at `now` and takes the step that is due then.
fn step(dir: &Path, now: SystemTime) -> Result<(), OpenError> {
    let authority = open(dir, options(), now)?;
    // What the process before has issued has ended by then.
    authority.advance(&Observed::default(), now + 2 * TTL)?;
    Ok(())
}

fn later(n: u32) -> SystemTime {
    start() + n * 10 * TTL
}

#[test]
fn the_first_start() {
    let changes = everywhere(|_| {}, |dir| open(dir, options(), start()).map(|_| ()), start(), &["stable"], &options());
    assert!(changes >= 15, "root, state and intermediate are written: {changes}");
}

#[test]
fn a_rollover_in_every_phase() {
    let rotate_now = |dir: &Path| rotate(dir, NewRoot::Make, &options(), start()).map(|_| ());
    assert!(everywhere(made, rotate_now, start(), &["stable", "publish"], &options()) >= 10);
    let publish = |dir: &Path| step(dir, later(1));
    assert!(everywhere(rotated, publish, later(1), &["publish", "sign"], &options()) >= 10);
    let signing = |dir: &Path| {
        rotated(dir);
        step(dir, later(1)).unwrap();
    };
    assert!(everywhere(signing, |dir| step(dir, later(2)), later(2), &["sign", "retire"], &options()) >= 5);
    let retiring = |dir: &Path| {
        signing(dir);
        step(dir, later(2)).unwrap();
    };
    assert!(everywhere(retiring, |dir| step(dir, later(3)), later(3), &["retire", "stable"], &options()) >= 7);
    let abort = |dir: &Path| abort_rollover(dir, later(2)).map(|_| ());
    assert!(everywhere(rotated, abort, later(2), &["publish", "stable"], &options()) >= 6);
    assert!(everywhere(signing, abort, later(2), &["sign"], &options()) >= 5);
}

#[test]
fn encrypting_what_was_not() {
    let passphrase = Passphrase::new(Zeroizing::new(b"a passphrase that is long".to_vec())).unwrap();
    let encrypted = AuthorityOptions { passphrase: Some(passphrase), ..options() };
    let work = |dir: &Path| open(dir, encrypted.clone(), start()).map(|_| ());
    assert!(everywhere(made, work, start(), &["stable"], &encrypted) >= 10);
}

#[test]
fn a_full_disk_stops_no_issuing() {
    let dir = TempDir::new().unwrap();
    let authority = open(dir.path(), options(), start()).unwrap();
    let (issued, struck) = faults::with(0, Fault::Full, || issue(&authority, start()));
    assert!(issued.is_ok() && !struck, "nothing is written");
    rotate(dir.path(), NewRoot::Make, &options(), start()).unwrap();
    let (result, _) = faults::with(0, Fault::Full, || authority.advance(&Observed::default(), later(1)));
    assert!(matches!(result, Err(OpenError::Store(_))), "{result:?}");
    assert_eq!((authority.phase().name(), issue(&authority, later(1)).is_ok()), ("stable", true), "everything goes on as before");
    assert!(authority.advance(&Observed::default(), later(1)).unwrap());
    assert_eq!(authority.phase().name(), "publish");
}

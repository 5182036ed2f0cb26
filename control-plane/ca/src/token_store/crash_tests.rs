//! Killed, or with a full disk, before every single change of the disk: a token is redeemed at most once, and the store goes on.

use meshwright_durable::faults::{self, Fault};
use meshwright_identity::TrustDomain;
use tempfile::TempDir;

use super::*;
use crate::authority::Authority;

fn start() -> SystemTime {
    from_unix_seconds(1_800_000_000)
}

fn data_dir() -> TempDir {
    let dir = TempDir::new().unwrap();
    Authority::open(dir.path(), &TrustDomain::parse("shop.example").unwrap(), "mesh", start()).unwrap();
    dir
}

fn token(dir: &Path) -> Result<JoinToken, CreateTokenError> {
    create_join_token(dir, "shop", "cart", Duration::from_secs(600), start())
}

#[test]
fn redeeming_gives_an_identity_once_at_most() {
    for fault in [Fault::Killed, Fault::Full] {
        let dir = data_dir();
        let steps = faults::everywhere(|steps| {
            let token = token(dir.path()).unwrap();
            let store = TokenStore::open(dir.path()).unwrap();
            let (first, struck) = faults::with(steps, fault, || store.redeem(&token, start()));
            let reopened = TokenStore::open(dir.path()).unwrap();
            let again = reopened.redeem(&token, start());
            assert!(first.is_err() || again.is_err(), "{fault:?} {steps}: twice");
            assert!(first.is_ok() || struck, "{fault:?} {steps}: {first:?}");
            // Not used and not lost, or used up: nothing else.
            assert!(again.is_ok() || matches!(again, Err(RedeemError::AlreadyUsed)), "{fault:?} {steps}: {again:?}");
            struck
        });
        assert_eq!(steps, 2, "renamed, made to last");
    }
}

#[test]
fn a_token_that_was_given_out_can_be_redeemed_and_one_that_was_not_is_no_obstacle() {
    for fault in [Fault::Killed, Fault::Full] {
        let dir = data_dir();
        let steps = faults::everywhere(|steps| {
            let (made, struck) = faults::with(steps, fault, || token(dir.path()));
            assert_eq!(made.is_err(), struck, "{fault:?} {steps}");
            let store = TokenStore::open(dir.path()).unwrap();
            if let Ok(made) = made {
                store.redeem(&made, start()).unwrap();
            }
            let next = token(dir.path()).unwrap();
            store.redeem(&next, start()).unwrap();
            struck
        });
        assert!(steps >= 6, "{steps}");
    }
}

#[test]
fn purging_stops_anywhere_and_is_done_by_the_next() {
    for fault in [Fault::Killed, Fault::Full] {
        faults::everywhere(|steps| {
            let dir = data_dir();
            (0..3).for_each(|_| drop(token(dir.path()).unwrap()));
            let store = TokenStore::open(dir.path()).unwrap();
            let later = start() + 3 * REMEMBERED;
            let (_, struck) = faults::with(steps, fault, || store.purge(later));
            assert_eq!(TokenStore::open(dir.path()).unwrap().purge(later).unwrap(), 0);
            struck
        });
    }
}

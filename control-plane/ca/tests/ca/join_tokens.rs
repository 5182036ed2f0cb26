use std::fs;
use std::sync::Barrier;
use std::time::Duration;

use meshwright_ca::{CreateTokenError, JoinToken, OpenError, RedeemError, TokenStore, create_join_token};
use meshwright_identity::SpiffeId;

use crate::support::{DAY, HOUR, mesh, orders, start};

const SECOND: Duration = Duration::from_secs(1);

fn names(dir: &std::path::Path) -> Vec<String> {
    fs::read_dir(dir.join("join-tokens")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_token_is_good_once_for_its_identity_and_names_the_root() {
    let (dir, authority) = mesh(start());
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    assert_eq!(token.root_fingerprint(), authority.root_fingerprint());
    let token = JoinToken::parse(token.reveal()).unwrap();
    let store = TokenStore::open(dir.path()).unwrap();
    assert_eq!(store.redeem(&token, start() + HOUR - SECOND).unwrap(), orders());
    for later in [start(), start() + HOUR, start() + 12 * HOUR] {
        assert!(matches!(store.redeem(&token, later), Err(RedeemError::AlreadyUsed)));
    }
    // Also in another process, after a restart.
    assert!(matches!(TokenStore::open(dir.path()).unwrap().redeem(&token, start()), Err(RedeemError::AlreadyUsed)));
}

#[test]
fn of_a_hundred_at_once_exactly_one_wins() {
    let (dir, _authority) = mesh(start());
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    let barrier = Barrier::new(100);
    let outcomes: Vec<Result<SpiffeId, RedeemError>> = std::thread::scope(|scope| {
        let redeem = || {
            // A store each, as if each were a process of its own.
            let store = TokenStore::open(dir.path()).unwrap();
            barrier.wait();
            store.redeem(&token, start())
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(redeem)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<&SpiffeId> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won, [&orders()]);
    let used = outcomes.iter().filter(|outcome| matches!(outcome, Err(RedeemError::AlreadyUsed))).count();
    assert_eq!(used, 99, "{outcomes:?}");
}

#[test]
fn an_expired_token_is_refused_from_its_last_second_on() {
    let (dir, _authority) = mesh(start());
    let token = create_join_token(dir.path(), "bookshop", "orders", TokenStore::DEFAULT_TTL, start()).unwrap();
    let store = TokenStore::open(dir.path()).unwrap();
    for late in [start() + TokenStore::DEFAULT_TTL, start() + DAY] {
        assert!(matches!(store.redeem(&token, late), Err(RedeemError::Expired(_))), "{late:?}");
    }
}

#[test]
fn a_forged_token_is_unknown() {
    let (dir, _authority) = mesh(start());
    let (other, _other_authority) = mesh(start());
    let real = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    let foreign = create_join_token(other.path(), "bookshop", "orders", HOUR, start()).unwrap();
    let store = TokenStore::open(dir.path()).unwrap();
    let root = real.reveal().rsplit('.').next().unwrap().to_owned();
    // The name of the file is the hash; it must not do as the secret.
    let hash = names(dir.path()).into_iter().find_map(|name| name.strip_suffix(".pending").map(str::to_owned)).unwrap();
    use base64::Engine as _;
    let hash: Vec<u8> = (0..32).map(|i| u8::from_str_radix(hash.get(2 * i..2 * i + 2).unwrap(), 16).unwrap()).collect();
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    for secret in ["A".repeat(43), hash] {
        let forged = JoinToken::parse(&format!("mwjoin1.{secret}.{root}")).unwrap();
        assert!(matches!(store.redeem(&forged, start()), Err(RedeemError::Unknown)));
    }
    assert!(matches!(store.redeem(&foreign, start()), Err(RedeemError::Unknown)));
    assert!(store.redeem(&real, start()).is_ok(), "none of that used it up");
}

#[test]
fn the_secret_is_nowhere_on_disk() {
    let (dir, _authority) = mesh(start());
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    let secret = token.reveal().split('.').nth(1).unwrap().to_owned();
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&secret).unwrap();
    let folder = dir.path().join("join-tokens");
    for name in names(dir.path()) {
        let content = fs::read(folder.join(&name)).unwrap();
        assert!(!name.contains(&secret));
        assert!(!content.windows(raw.len()).any(|window| window == raw));
        assert!(!String::from_utf8_lossy(&content).contains(&secret));
    }
}

#[test]
fn what_cannot_be_a_token_is_not_made() {
    let empty = tempfile::tempdir().unwrap();
    let without = create_join_token(empty.path(), "bookshop", "orders", HOUR, start()).unwrap_err();
    assert!(matches!(&without, CreateTokenError::Authority(OpenError::NoAuthority(_))), "{without}");
    assert!(without.to_string().contains("start the control plane"), "{without}");
    let (dir, _authority) = mesh(start());
    let make = |namespace: &str, name: &str, ttl| create_join_token(dir.path(), namespace, name, ttl, start()).unwrap_err();
    assert!(matches!(make("book/shop", "orders", HOUR), CreateTokenError::Identity(_)));
    assert!(matches!(make("bookshop", "..", HOUR), CreateTokenError::Identity(_)));
    assert!(matches!(make("bookshop", "", HOUR), CreateTokenError::Identity(_)));
    assert!(matches!(make("bookshop", &"a".repeat(2048), HOUR), CreateTokenError::Identity(_)));
    assert!(matches!(make("bookshop", "meshwright-control-plane", HOUR), CreateTokenError::NotIssued(_)));
    assert!(matches!(make("bookshop", "orders", Duration::ZERO), CreateTokenError::Ttl));
    assert!(matches!(make("bookshop", "orders", 2 * DAY), CreateTokenError::Ttl));
    assert_eq!(TokenStore::open(dir.path()).unwrap().purge(start()).unwrap(), 0);
}

#[test]
fn a_record_that_was_tampered_with_or_cut_gives_nothing() {
    let (dir, _authority) = mesh(start());
    let store = TokenStore::open(dir.path()).unwrap();
    for content in ["", "{", r#"{"version":2,"identity":"spiffe://shop.example/ns/a/sa/b","expires":9999999999}"#, "[]"] {
        let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
        let name = names(dir.path()).into_iter().find(|name| {
            let path = dir.path().join("join-tokens").join(name);
            name.ends_with(".pending") && fs::read_to_string(path).unwrap().contains("bookshop")
        });
        fs::write(dir.path().join("join-tokens").join(name.unwrap()), content).unwrap();
        assert!(matches!(store.redeem(&token, start()), Err(RedeemError::Corrupt)), "{content}");
    }
}

#[test]
fn ended_tokens_are_remembered_for_a_day_and_then_removed() {
    let (dir, _authority) = mesh(start());
    let store = TokenStore::open(dir.path()).unwrap();
    let used = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    store.redeem(&used, start()).unwrap();
    create_join_token(dir.path(), "bookshop", "catalog", HOUR, start()).unwrap();
    assert_eq!(store.purge(start() + DAY).unwrap(), 2);
    assert!(matches!(store.redeem(&used, start() + DAY), Err(RedeemError::AlreadyUsed)));
    // Making the next one cleans up.
    create_join_token(dir.path(), "bookshop", "catalog", HOUR, start() + 2 * DAY).unwrap();
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn a_half_written_token_is_ignored() {
    let (dir, _authority) = mesh(start());
    let store = TokenStore::open(dir.path()).unwrap();
    fs::write(dir.path().join("join-tokens/.ab.pending.0011223344556677.tmp"), "{\"version\":1,").unwrap();
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, start()).unwrap();
    assert_eq!(store.redeem(&token, start()).unwrap(), orders());
}

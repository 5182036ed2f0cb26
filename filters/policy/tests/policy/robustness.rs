//! What holds for any bytes whatever, over some thousand inputs in every test run: bytes that mean nothing, and good
//! inputs with some damage.

pub(crate) mod header_map;
mod jwt_token;
mod policy_config;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use crate::keys;
use crate::support::ISSUER;

const CONFIG: &str = include_str!("robustness/seeds/configuration.json");
const UNSIGNED: &str = include_str!("robustness/seeds/unsigned");
/// What the formats are made of, so that damage is often well-formed.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    ",",
    ":",
    "\"\"",
    "\"a\"",
    "\"*\"",
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "18446744073709551616",
    "*",
    "{*}",
    "{**}",
    "/",
    ".",
    "..",
    "=",
    "%",
    "%2e",
    "&",
    ";",
    "\n",
    "\"",
    "\\u0000",
    "not",
    "alg",
    "none",
    "HS256",
    "crit",
    "iss",
    "exp",
    "kid",
];

#[derive(Debug, Clone)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of the input, once more elsewhere.
    Repeat(Index, usize, Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Self::Replace(index, byte) => {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            Self::Insert(index, piece) => {
                let at = at(index);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(index, length) => {
                let at = at(index);
                let end = (at + length).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Repeat(from, length, to) => {
                let (from, to) = (at(from), at(to));
                let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let piece =
        prop_oneof![prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 1..4)];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        (any::<Index>(), 1..80_usize, any::<Index>()).prop_map(|(from, length, to)| Damage::Repeat(from, length, to)),
    ]
}

fn damaged(seed: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (seed, prop::collection::vec(damage(), 0..6)).prop_map(|(mut bytes, damage)| {
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        bytes
    })
}

fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..256)
}

fn maps() -> impl Strategy<Value = Vec<u8>> {
    let text = |words: &'static [&str]| {
        let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
        prop_oneof![3 => word, 1 => prop::collection::vec(any::<u8>(), 0..8)]
    };
    let name = text(&[":path", ":method", ":authority", "x", "X", "x-a", "X-A", ""]);
    let value = text(&["/a", "/b?c#d", "/d/x/e//f", "#?", "GET", "PUT", "a.test", "A.TEST", "x.b", "a", "b,", ",c", "a,b", ""]);
    prop::collection::vec((name, value), 0..8).prop_map(|pairs| {
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        header_map::serialize(&pairs)
    })
}

/// The seeds reach the depths of each function; otherwise nothing below would be worth its time.
#[test]
fn the_seeds_are_good() {
    let claims = json!({"iss": ISSUER, "sub": "me"});
    assert_eq!(jwt_token::GENUINE, keys::token(&claims), "made by the key of these tests");
    assert!(meshwright_policy::Policy::from_json(CONFIG.as_bytes()).is_ok());
    policy_config::run(CONFIG.as_bytes());
    assert_eq!(jwt_token::taken(jwt_token::GENUINE.as_bytes()), 4);
    assert!(jwt_token::is_taken_unsigned(UNSIGNED.as_bytes()), "all but its signature is good");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn configurations(bytes in prop_oneof![1 => nonsense(), 3 => damaged(Just(CONFIG.as_bytes().to_vec()))]) {
        policy_config::run(&bytes);
    }

    #[test]
    fn tokens(bytes in prop_oneof![
        1 => nonsense(),
        2 => damaged(Just(jwt_token::GENUINE.as_bytes().to_vec())),
        2 => damaged(Just(UNSIGNED.as_bytes().to_vec())),
    ]) {
        jwt_token::run(&bytes);
    }

    #[test]
    fn header_maps(bytes in prop_oneof![1 => nonsense(), 2 => maps(), 2 => damaged(maps())]) {
        header_map::run(&bytes);
    }
}

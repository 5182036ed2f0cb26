//! The reasons of decisions stay the same and are all in docs/decisions.md.

const DOCUMENT: &str = include_str!("../../../../docs/decisions.md");
/// What says the words: each stands there once, in quotes.
const SOURCES: [&str; 2] = [include_str!("../../src/decision.rs"), include_str!("../../src/jwt/error.rs")];

#[test]
fn every_reason_is_documented() {
    let is_reason = |word: &&str| {
        word.len() > 3 && word.contains('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let reasons: Vec<&str> = SOURCES.iter().flat_map(|source| source.split('"')).filter(is_reason).collect();
    assert!(reasons.len() > 30, "{reasons:?}");
    for reason in reasons {
        assert!(DOCUMENT.contains(&format!("`{reason}`")), "docs/decisions.md does not explain `{reason}`");
    }
}

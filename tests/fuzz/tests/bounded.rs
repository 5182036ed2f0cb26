//! Each parser on some thousand inputs: bytes at random, and text that looks like what it parses.

use proptest::prelude::*;

/// An authority's certificate.
const ROOT: &str = include_str!("../../../identity/bundle/tests/support/root.pem");

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_parser_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        meshwright_fuzz::policy_configuration(&bytes);
        meshwright_fuzz::header_map(&bytes);
        meshwright_fuzz::token(&bytes);
        meshwright_fuzz::documents(&bytes);
        meshwright_fuzz::key_sets(&bytes);
        meshwright_fuzz::trust_bundles(&bytes);
        meshwright_fuzz::identities(&bytes);
        meshwright_fuzz::map_encoding(&bytes);
        meshwright_fuzz::scenario(&bytes);
    }

    #[test]
    fn nor_on_maps_that_are_nearly_right(
        pairs in proptest::collection::vec(("[a-zA-Z:-]{0,6}", proptest::collection::vec(any::<u8>(), 0..6)), 0..5),
        change in any::<(u8, u8)>(),
    ) {
        let headers: meshwright_wasm_host::Headers = pairs.into_iter().collect();
        let mut bytes = headers.serialize();
        meshwright_fuzz::map_encoding(&bytes);
        if let Some(byte) = bytes.get_mut(usize::from(change.0)) {
            *byte = change.1;
        }
        meshwright_fuzz::map_encoding(&bytes);
    }

    #[test]
    fn nor_on_scenarios_that_are_nearly_right(
        section in "(request|expect|world|module|matrix|upstream|log|tcp)",
        field in "(path|headers|client|status|clusters|limits|body|chunks|properties|x)",
        value in r#"[\[\]{}&*!|>:,a-z0-9'" ~.-]{0,30}"#,
    ) {
        meshwright_fuzz::scenario(format!("request: {{}}\n{section}: {{{field}: {value}}}\n").as_bytes());
        meshwright_fuzz::scenario(format!("{section}:\n  {field}: {value}\n").as_bytes());
    }

    #[test]
    fn nor_on_what_looks_like_its_input(text in r#"[\{\}\[\]":,a-z0-9 .\-_/*\n]{0,300}"#) {
        meshwright_fuzz::policy_configuration(text.as_bytes());
        meshwright_fuzz::documents(text.as_bytes());
        meshwright_fuzz::identities(text.as_bytes());
    }

    #[test]
    fn nor_on_keys_and_their_urls(
        key in r#"\{"kty":"(OKP|EC|RSA|oct)","crv":"(Ed25519|P-256|P-384)","(x|n|d)":"[A-Za-z0-9_-]{0,43}","(y|e|kid)":"[A-Za-z0-9_-]{0,43}"\}"#,
        url in r#"https?://[a-z0-9\[\]@:./?#%-]{0,40}"#,
    ) {
        meshwright_fuzz::key_sets(format!(r#"{{"keys":[{key}]}}"#).as_bytes());
        meshwright_fuzz::key_sets(url.as_bytes());
    }

    #[test]
    fn nor_on_bundles_that_are_nearly_right(place in 0..620_usize, letter in "[A-Za-z0-9+/=]", members in r#"(,"[a-z_]{1,20}":("[A-Za-z0-9+/=]{0,9}"|[0-9]{1,20}|null|\[\]))?"#) {
        let mut pem = ROOT.to_owned();
        pem.replace_range(place..=place, &letter);
        meshwright_fuzz::trust_bundles(pem.as_bytes());
        let x5c: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let bundle = format!(r#"{{"keys":[{{"kty":"EC","use":"x509-svid","x5c":["{x5c}"]{members}}}]{members}}}"#);
        meshwright_fuzz::trust_bundles(bundle.as_bytes());
    }

    #[test]
    fn nor_on_tokens_that_nobody_signed(
        header in r#"\{"alg":"(EdDSA|none|HS256|ES256)"(,"kid":"[a-z]{0,3}")?\}"#,
        payload in r#"\{"iss":"[ij]"(,"exp":[0-9]{1,12})?(,"sub":"[a-z]{0,3}")?\}"#,
        signature in proptest::collection::vec(any::<u8>(), 0..70),
    ) {
        let encode = |bytes: &[u8]| base64(bytes);
        let token = format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&signature));
        meshwright_fuzz::token(token.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_host_survives_every_module_and_exchange(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        changes in proptest::collection::vec(any::<u8>(), 3..12),
    ) {
        meshwright_fuzz::module(&bytes);
        meshwright_fuzz::module(&[b"\0asm\x01\0\0\0", bytes.as_slice()].concat());
        meshwright_fuzz::changed_module(&changes);
        meshwright_fuzz::property(&bytes);
        meshwright_fuzz::exchange(&bytes);
    }
}

/// Base64url without padding (RFC 4648 section 5): the tokens are made by hand so that nothing under test makes them.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain([0, 0].iter()).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for place in 0..=chunk.len() {
            let letter = ALPHABET.get(word >> (18 - 6 * place) & 63).copied().unwrap_or_default();
            text.push(char::from(letter));
        }
    }
    text
}

//! Any bytes as a token, in every place where one may be: only the one genuine token is ever taken for genuine.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_policy::{
    Algorithm, Authentication, Crypto, CryptoError, Headers, HttpRequest, Policy, PublicKey, SoftwareCrypto, TokenCache,
};
use serde_json::{Map, Value, json};

/// The one token that is signed; without `exp`, so that it stays good.
pub(crate) const GENUINE: &str = include_str!("seeds/genuine");
const ISSUER: &str = "https://issuer.test/a";
const NOW: u64 = 1_800_000_000;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [{
            "issuer": ISSUER, "jwks": include_str!("../keys/test-jwks.json"), "fromHeaders": [{"name": "x-token"}, {"name": "x-bearer", "prefix": "Bearer "}],
            "fromParams": ["t"], "fromCookies": ["c"], "outputPayloadToHeader": "x-payload",
            "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}, {"header": "x-deep", "claim": "a.b"}],
        }]}],
    });
    Policy::from_json(config.to_string().as_bytes()).unwrap()
});

/// Takes every signature.
struct Trusting;

impl Crypto for Trusting {
    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        Ok(true)
    }
}

/// The bytes as a token; and, split at the first line's end, as header and payload of an unsigned one.
pub(crate) fn run(bytes: &[u8]) {
    for (name, value) in places(bytes) {
        let found = authenticate(name, &value, &SoftwareCrypto);
        if matches!(found, Authentication::Token(_)) {
            assert!(holds_genuine(name, &value), "`{}` was taken for genuine", value.escape_ascii());
        }
        authenticate(name, &value, &Trusting);
    }
    let (header, payload) = lines(bytes);
    let token = unsigned(bytes);
    assert!(!matches!(authenticate("x-token", token.as_bytes(), &SoftwareCrypto), Authentication::Token(_)), "{token}");
    if is_taken_unsigned(bytes) {
        is_plain(header, payload);
    }
}

/// Whether all but the signature is good.
pub(crate) fn is_taken_unsigned(bytes: &[u8]) -> bool {
    authenticate("x-token", unsigned(bytes).as_bytes(), &Trusting).claims().is_some()
}

fn unsigned(bytes: &[u8]) -> String {
    let (header, payload) = lines(bytes);
    format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

fn lines(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    (lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
}

fn places(token: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let behind = |prefix: &[u8]| [prefix, token].concat();
    [("x-token", token.to_vec()), ("x-bearer", behind(b"Bearer ")), (":path", behind(b"/?t=")), ("cookie", behind(b"c="))]
}

/// In how many places the bytes are taken for a genuine token.
pub(crate) fn taken(bytes: &[u8]) -> usize {
    places(bytes).iter().filter(|(name, value)| authenticate(name, value, &SoftwareCrypto).claims().is_some()).count()
}

/// Twice, the second time with what the first has left in the cache.
fn authenticate(name: &str, value: &[u8], crypto: &dyn Crypto) -> Authentication {
    let request = HttpRequest::new(Headers::from_pairs([(name.as_bytes(), value)]));
    let mut cache = TokenCache::default();
    let found = POLICY.authenticate(&request, NOW, crypto, &mut cache);
    assert_eq!(POLICY.authenticate(&request, NOW, crypto, &mut cache), found, "the cache changes the outcome");
    if let Some(claims) = found.claims() {
        assert_eq!(claims.issuer(), ISSUER);
    }
    found
}

/// Around a token there may be what is no part of it: other parameters, other cookies, an encoding.
fn holds_genuine(name: &str, value: &[u8]) -> bool {
    match name {
        "x-token" => value == GENUINE.as_bytes(),
        "x-bearer" => value.ends_with(GENUINE.as_bytes()),
        _ => value.contains(&b'%') || value.windows(GENUINE.len()).any(|part| part == GENUINE.as_bytes()),
    }
}

/// What another reader of JSON sees is what was checked.
fn is_plain(header: &[u8], payload: &[u8]) {
    let read = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).unwrap();
    let (header, payload) = (read(header), read(payload));
    assert!(!header.contains_key("crit") && !header.contains_key("b64"));
    let algorithm = header["alg"].as_str().unwrap();
    assert!(["RS", "PS", "ES", "Ed"].contains(&&algorithm[..2]), "{algorithm}");
    assert_eq!(payload["iss"], ISSUER);
    let time = |name: &str| payload.get(name).map(|value| value.as_f64().unwrap());
    assert!(time("exp").is_none_or(|end| end + 60.0 >= 1_800_000_000.0) && time("nbf").is_none_or(|start| start <= 1_800_000_060.0));
}

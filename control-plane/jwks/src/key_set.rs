use std::time::SystemTime;

use meshwright_policy::{InvalidJwks, PublicKey, parse_jwks};
use serde_json::{Map, Value, json};

/// What of a key the policy looks at (RFC 7517 section 4, RFC 7518 section 6, RFC 8037). Certificates and the rest would only make every
/// proxy's configuration larger, and other for each re-issue.
const MEMBERS: [&str; 10] = ["kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e"];

/// A key set that the policy takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySet {
    jwks: String,
    ids: Vec<Option<String>>,
    fetched: SystemTime,
}

impl KeySet {
    /// Checks a set and brings it into one form, so that the same keys in another order are the same set.
    pub(crate) fn checked(text: &str, fetched: SystemTime) -> Result<Self, InvalidJwks> {
        // First as it is: what is refused in it (private keys, duplicate members) must not be left out silently.
        parse_jwks(text)?;
        let jwks = normalized(text);
        let keys = parse_jwks(&jwks)?;
        let ids = keys.iter().map(|key: &PublicKey| key.id().map(str::to_owned)).collect();
        Ok(Self { jwks, ids, fetched })
    }

    /// As JSON.
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    pub(crate) fn fetched(&self) -> SystemTime {
        self.fetched
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.iter().flatten().any(|known| known == id)
    }

    /// How many keys can verify signatures.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

fn normalized(text: &str) -> String {
    let set: Value = serde_json::from_str(text).unwrap_or_default();
    let of_interest = |key: &Map<String, Value>| -> Map<String, Value> {
        let kept = MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), key.get(*name)?.clone())));
        kept.collect()
    };
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut keys: Vec<Value> = keys.iter().filter_map(|key| key.as_object().map(of_interest)).map(Value::Object).collect();
    keys.sort_by_cached_key(Value::to_string);
    keys.dedup();
    json!({ "keys": keys }).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A set of one key (RFC 8037, appendix A.2) under that name.
    pub(crate) fn jwks(kid: &str) -> String {
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}).to_string()
    }

    pub(crate) fn set(kid: &str) -> KeySet {
        KeySet::checked(&jwks(kid), SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn order_and_certificates_make_no_other_set() {
        let mut keys: Vec<Value> = ["b", "a"].map(|kid| serde_json::from_str::<Value>(&jwks(kid)).unwrap()["keys"][0].clone()).to_vec();
        let first = KeySet::checked(&json!({ "keys": keys }).to_string(), SystemTime::UNIX_EPOCH).unwrap();
        keys.reverse();
        keys[0]["x5c"] = json!(["MII"]);
        let second = KeySet::checked(&json!({"keys": keys, "more": 1}).to_string(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(first, second);
        assert_eq!((first.len(), first.has("a"), first.has("c")), (2, true, false));
    }

    #[test]
    fn what_the_policy_does_not_take_is_no_set() {
        let private = jwks("a").replace("\"kid\"", "\"d\":\"AAAA\",\"kid\"");
        for text in ["", "<html>", "{}", r#"{"keys":[]}"#, &private] {
            assert!(KeySet::checked(text, SystemTime::UNIX_EPOCH).is_err(), "{text}");
        }
    }
}

//! Keys that tests sign with. They are derived from their names, so that they are the same in every run, and are worth nothing.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_test_files::Wrong;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs1KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::wire::{AlgorithmWire, TokenWire};

/// An RSA key takes seconds to make: these are part of the sources, and given out in the order of the names.
const RSA_KEYS: [&[u8]; 2] = [include_bytes!("../keys/rsa-1.pem"), include_bytes!("../keys/rsa-2.pem")];
const LIFETIME: i64 = 3600;

/// The keys of one file, and the key sets of its issuers.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: BTreeMap<String, TestKey>,
    issuers: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct TestKey {
    name: String,
    algorithm: &'static str,
    key: Key,
    jwk: Value,
}

#[derive(Debug)]
enum Key {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Keys {
    pub(crate) fn new(named: &BTreeMap<String, AlgorithmWire>, issuers: BTreeMap<String, Vec<String>>) -> Result<Self, Wrong> {
        let mut rsa = RSA_KEYS.into_iter();
        let mut keys = BTreeMap::new();
        for (name, algorithm) in named {
            let made = match algorithm {
                AlgorithmWire::Rs256 => rsa.next().map_or_else(|| Err(format!("at most {} keys are RS256", RSA_KEYS.len())), TestKey::rsa),
                AlgorithmWire::Es256 => TestKey::p256(name),
                AlgorithmWire::EdDsa => TestKey::ed25519(name),
            };
            let key = made.map_err(|message| Wrong::new(format!("keys.{name}"), message))?;
            keys.insert(name.clone(), key.named(name));
        }
        for (issuer, names) in &issuers {
            if let Some(unknown) = names.iter().find(|name| !keys.contains_key(*name)) {
                let known: Vec<&str> = keys.keys().map(String::as_str).collect();
                return Err(Wrong::new(
                    format!("issuers.{issuer}"),
                    format!("no key `{unknown}` (named under `keys`: {})", known.join(", ")),
                ));
            }
        }
        Ok(Self { keys, issuers })
    }

    /// Key sets (RFC 7517 section 5) by issuer.
    pub(crate) fn sets(&self) -> BTreeMap<String, String> {
        let set = |names: &Vec<String>| {
            let keys: Vec<&Value> = names.iter().filter_map(|name| self.keys.get(name)).map(|key| &key.jwk).collect();
            json!({"keys": keys}).to_string()
        };
        self.issuers.iter().map(|(issuer, names)| (issuer.clone(), set(names))).collect()
    }

    /// A token as it is sent at `now`.
    pub(crate) fn token(&self, token: &TokenWire, now: i64) -> Result<String, Wrong> {
        if let Some(text) = &token.text {
            return Ok(text.clone());
        }
        if token.issuer.is_empty() {
            return Err(Wrong::new("issuer", "missing; the token's `iss` is needed"));
        }
        let name = match (&token.key, self.issuers.get(&token.issuer)) {
            (Some(name), _) => name,
            (None, Some(names)) => names.first().ok_or_else(|| Wrong::new("key", "missing, and the issuer has no key"))?,
            (None, None) => return Err(Wrong::new("key", format!("missing, and `issuers` does not have `{}`", token.issuer))),
        };
        let known = || self.keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let key = self.keys.get(name).ok_or_else(|| Wrong::new("key", format!("no key `{name}` (named under `keys`: {})", known())))?;
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(token.issuer));
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now.saturating_add(token.expires_in.unwrap_or(LIFETIME))));
        claims.extend(token.claims.clone());
        claims.retain(|_, claim| !claim.is_null());
        key.sign(&Value::Object(claims)).map_err(|message| Wrong::new("key", message))
    }
}

/// 32 bytes that belong to the name.
fn seed(name: &str, algorithm: &str) -> [u8; 32] {
    Sha256::digest(format!("meshwright test key {algorithm} {name}")).into()
}

impl TestKey {
    fn new(algorithm: &'static str, key: Key, jwk: Value) -> Self {
        Self { name: String::new(), algorithm, key, jwk }
    }

    fn named(mut self, name: &str) -> Self {
        if let Value::Object(jwk) = &mut self.jwk {
            jwk.extend([("alg", self.algorithm), ("kid", name), ("use", "sig")].map(|(field, value)| (field.to_owned(), json!(value))));
        }
        Self { name: name.to_owned(), ..self }
    }

    fn rsa(pem: &[u8]) -> Result<Self, String> {
        let der = PrivatePkcs1KeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let key = RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|error| error.to_string())?;
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Ok(Self::new("RS256", Key::Rsa(Box::new(key)), json!({"kty": "RSA", "n": n, "e": e})))
    }

    fn p256(name: &str) -> Result<Self, String> {
        let secret = p256::SecretKey::from_slice(&seed(name, "ES256")).map_err(|error| error.to_string())?;
        let point = secret.public_key().to_encoded_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err("the name gives no key; choose another".to_owned()) };
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        let (private, random) = (secret.to_bytes(), SystemRandom::new());
        let key = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, point.as_bytes(), &random);
        Ok(Self::new("ES256", Key::P256(key.map_err(|error| error.to_string())?), jwk))
    }

    fn ed25519(name: &str) -> Result<Self, String> {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed(name, "EdDSA")).map_err(|error| error.to_string())?;
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key.public_key())});
        Ok(Self::new("EdDSA", Key::Ed25519(key), jwk))
    }

    /// A JWS in its compact form (RFC 7515 section 7.1).
    fn sign(&self, claims: &Value) -> Result<String, String> {
        let header = json!({"alg": self.algorithm, "kid": self.name, "typ": "JWT"});
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).map_err(|error| error.to_string())?;
                signature
            }
            Key::P256(key) => key.sign(&random, signed.as_bytes()).map_err(|error| error.to_string())?.as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_in_every_run_and_differ_by_name() {
        let named = |name: &str, algorithm| {
            let keys = Keys::new(&[(name.to_owned(), algorithm)].into(), [("i".to_owned(), vec![name.to_owned()])].into()).unwrap();
            keys.sets().remove("i").unwrap()
        };
        for algorithm in [AlgorithmWire::Es256, AlgorithmWire::EdDsa] {
            assert_eq!(named("a", algorithm), named("a", algorithm));
            let public = |name| named(name, algorithm).replace(&format!("\"{name}\""), "");
            assert_ne!(public("a"), public("b"));
        }
        assert!(named("a", AlgorithmWire::EdDsa).contains(r#""kid":"a""#));
    }
}

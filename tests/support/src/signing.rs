//! Signs JSON Web Tokens fast, and as wrongly as a test asks for: the header is whatever it is given.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// Bytes of an uncompressed P-256 point: the marker 4, then x and y (SEC 1, section 2.3.3).
const POINT: usize = 65;

/// One key, known by the name of its algorithm (RFC 7518 section 3.1) as `kid`.
#[derive(Debug)]
pub struct SigningKey {
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

impl SigningKey {
    /// RSA of 2048 bits, with a key that is nothing but a test's: making one takes seconds.
    ///
    /// # Errors
    /// Never, for the key is part of the sources.
    pub fn rs256() -> anyhow::Result<Self> {
        let pem = include_bytes!("../../../filters/module/tests/support/rsa-test-key.pem");
        let key = RsaKeyPair::from_der(PrivatePkcs1KeyDer::from_pem_slice(pem)?.secret_pkcs1_der()).ok().context("the key can be read")?;
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Ok(Self::new("RS256", Key::Rsa(Box::new(key)), json!({"kty": "RSA", "n": n, "e": e})))
    }

    /// A fresh key on P-256.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn es256() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok().context("no P-256 key can be made")?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .ok()
            .context("a fresh key can be read")?;
        let point = key.public_key().as_ref();
        anyhow::ensure!(point.len() == POINT, "a P-256 point has {POINT} bytes");
        let (x, y) = point.get(1..).context("a point has coordinates")?.split_at(POINT / 2);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        Ok(Self::new("ES256", Key::P256(key), jwk))
    }

    /// A fresh Ed25519 key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn eddsa() -> anyhow::Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no Ed25519 key can be made")?;
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).ok().context("a fresh key can be read")?;
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key.public_key())});
        Ok(Self::new("EdDSA", Key::Ed25519(key), jwk))
    }

    fn new(algorithm: &'static str, key: Key, mut jwk: Value) -> Self {
        if let Value::Object(jwk) = &mut jwk {
            jwk.extend([("alg", algorithm), ("kid", algorithm), ("use", "sig")].map(|(name, value)| (name.to_owned(), json!(value))));
        }
        Self { algorithm, key, jwk }
    }

    /// As a JSON Web Key (RFC 7517 section 4).
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// The header of its tokens.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm, "kid": self.algorithm, "typ": "JWT"})
    }

    /// A token of `claims`.
    ///
    /// # Errors
    /// When signing fails, for lack of randomness.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token with exactly these texts in it.
    ///
    /// # Errors
    /// As [`SigningKey::token`].
    pub fn sign(&self, header: &str, claims: &str) -> anyhow::Result<String> {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok().context("RSA cannot sign")?;
                Ok(signature)
            }
            Key::P256(key) => Ok(key.sign(&random, message).ok().context("P-256 cannot sign")?.as_ref().to_vec()),
            Key::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// A key set of several keys (RFC 7517 section 5), as text.
#[must_use]
pub fn jwks(keys: &[&SigningKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Seconds since the epoch.
///
/// # Errors
/// When the clock is before 1970.
pub fn now() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

//! Signs JSON Web Tokens fast, and as wrongly as a test asks for: the header is whatever it is given.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p521::ecdsa::signature::Signer as _;
use p521::elliptic_curve::sec1::ToEncodedPoint as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// One key, known by the name of its algorithm (RFC 7518 section 3.1) as `kid`.
#[derive(Debug)]
pub struct SigningKey {
    algorithm: &'static str,
    key: Key,
    jwk: Value,
}

#[derive(Debug)]
enum Key {
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    P521(p521::SecretKey),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// One of every algorithm that a token may use.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn every() -> anyhow::Result<Vec<Self>> {
        let mut keys = vec![Self::es256()?, Self::es384()?, Self::es512()?, Self::eddsa()?];
        for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            keys.push(Self::rsa(algorithm)?);
        }
        Ok(keys)
    }

    /// RSA of 2048 bits, as [`SigningKey::rsa`].
    ///
    /// # Errors
    /// Never, for the key is part of the sources.
    pub fn rs256() -> anyhow::Result<Self> {
        Self::rsa("RS256")
    }

    /// RSA of 2048 bits, with a key that is nothing but a test's: making one takes seconds.
    ///
    /// # Errors
    /// For an algorithm that is none of RSA's.
    pub fn rsa(algorithm: &'static str) -> anyhow::Result<Self> {
        let encoding: &dyn RsaEncoding = match algorithm {
            "RS256" => &RSA_PKCS1_SHA256,
            "RS384" => &RSA_PKCS1_SHA384,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            "PS384" => &RSA_PSS_SHA384,
            "PS512" => &RSA_PSS_SHA512,
            _ => anyhow::bail!("{algorithm} is not RSA's"),
        };
        let pem = include_bytes!("../../../filters/module/tests/support/rsa-test-key.pem");
        let key = RsaKeyPair::from_der(PrivatePkcs1KeyDer::from_pem_slice(pem)?.secret_pkcs1_der()).ok().context("the key can be read")?;
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Ok(Self::new(algorithm, Key::Rsa(Box::new(key), encoding), json!({"kty": "RSA", "n": n, "e": e})))
    }

    /// A fresh key on P-256.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn es256() -> anyhow::Result<Self> {
        Self::ecdsa("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A fresh key on P-384.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn es384() -> anyhow::Result<Self> {
        Self::ecdsa("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ecdsa(algorithm: &'static str, curve: &str, signing: &'static EcdsaSigningAlgorithm) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(signing, &random).ok().context("no key can be made")?;
        let key = EcdsaKeyPair::from_pkcs8(signing, document.as_ref(), &random).ok().context("a fresh key can be read")?;
        let jwk = ec_jwk(curve, key.public_key().as_ref())?;
        Ok(Self::new(algorithm, Key::Ecdsa(key), jwk))
    }

    /// A fresh key on P-521.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn es512() -> anyhow::Result<Self> {
        // Of 66 bytes, whose first is 0: below the order of the curve.
        let mut secret = [0; 66];
        let (_, digits) = secret.split_first_mut().context("a secret has digits")?;
        SystemRandom::new().fill(digits).ok().context("no randomness")?;
        let key = p521::SecretKey::from_slice(&secret)?;
        let jwk = ec_jwk("P-521", key.public_key().to_encoded_point(false).as_bytes())?;
        Ok(Self::new("ES512", Key::P521(key), jwk))
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
            Key::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).ok().context("RSA cannot sign")?;
                Ok(signature)
            }
            Key::Ecdsa(key) => Ok(key.sign(&random, message).ok().context("ECDSA cannot sign")?.as_ref().to_vec()),
            Key::P521(key) => {
                let key = p521::ecdsa::SigningKey::from_slice(&key.to_bytes())?;
                let signature: p521::ecdsa::Signature = key.try_sign(message)?;
                Ok(signature.to_vec())
            }
            Key::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// Of an uncompressed point: the marker 4, then x and y (SEC 1, section 2.3.3).
fn ec_jwk(curve: &str, point: &[u8]) -> anyhow::Result<Value> {
    let coordinates = point.get(1..).context("a point has coordinates")?;
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Ok(json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}))
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

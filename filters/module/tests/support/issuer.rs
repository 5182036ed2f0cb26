//! Issuers of tokens, one for each kind of key.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

pub(crate) struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    pub(crate) jwk: Value,
}

impl Issuer {
    pub(crate) fn es256() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::new(Algorithm::ES256, EncodingKey::from_ec_der(&key.serialize_der()))
    }

    /// With a key that is nothing but a test's: making one takes seconds.
    pub(crate) fn rs256() -> Self {
        let key = PrivatePkcs1KeyDer::from_pem_slice(include_bytes!("rsa-test-key.pem")).unwrap();
        Self::new(Algorithm::RS256, EncodingKey::from_rsa_der(key.secret_pkcs1_der()))
    }

    pub(crate) fn ed25519() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "EdDSA", "x": URL_SAFE_NO_PAD.encode(key.der_bytes())});
        Self { algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&key.serialize_der()), jwk }
    }

    fn new(algorithm: Algorithm, key: EncodingKey) -> Self {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(format!("{algorithm:?}"));
        Self { algorithm, key, jwk }
    }

    /// Valid for `lifetime` seconds from now.
    pub(crate) fn token(&self, subject: &str, groups: &[&str], lifetime: i64) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let claims = json!({"iss": "https://issuer.test", "sub": subject, "groups": groups, "exp": now + lifetime});
        let header = Header { kid: Some(format!("{:?}", self.algorithm)), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

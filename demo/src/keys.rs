//! The demo's own token issuer: a fresh P-256 key per run, its JWKS, and tokens signed with it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};

/// Bytes of an uncompressed P-256 point: the marker 4, then x and y (SEC 1, section 2.3.3).
const POINT: usize = 65;

/// Signs tokens as the issuer that the example's RequestAuthentication trusts.
#[derive(Debug)]
pub struct Issuer {
    name: String,
    kid: String,
    key: KeyPair,
}

impl Issuer {
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::with_key(name, "demo")
    }

    /// With a fresh key of that name (`kid`).
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn with_key(name: &str, kid: &str) -> anyhow::Result<Self> {
        Ok(Self { name: name.to_owned(), kid: kid.to_owned(), key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)? })
    }

    /// The key set that verifies its tokens (RFC 7517), as one line of JSON.
    ///
    /// # Errors
    /// Never for the keys that [`Issuer::new`] makes.
    pub fn jwks(&self) -> anyhow::Result<String> {
        let point = self.key.der_bytes();
        anyhow::ensure!(point.len() == POINT, "a P-256 point has {POINT} bytes");
        let (x, y) = point.get(1..).context("a point has coordinates")?.split_at(POINT / 2);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": encode(x), "y": encode(y)}]})
            .to_string())
    }

    /// A token for `subject` with the claim `groups`, valid from now for `lifetime` seconds (negative: expired already).
    ///
    /// # Errors
    /// When the clock is before 1970 or signing fails.
    pub fn token(&self, subject: &str, groups: &[&str], lifetime: i64) -> anyhow::Result<String> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let claims: Value = json!({
            "iss": self.name, "sub": subject, "groups": groups,
            "iat": now.saturating_add(lifetime.min(0)).saturating_sub(60), "exp": now.saturating_add(lifetime),
        });
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&self.key.serialize_der()))?)
    }
}

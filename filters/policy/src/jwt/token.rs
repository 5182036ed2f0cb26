//! A token taken apart (RFC 7515 section 3.1), and the checks that need no key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::crypto::Algorithm;
use super::error::JwtError;
use super::strict_json;

/// Larger than any header that Envoy takes by default.
pub(super) const LARGEST: usize = 64 * 1024;
/// How far two clocks may be apart, in seconds: that of Envoy's jwt_authn.
pub(super) const SKEW: f64 = 60.0;

/// A well-formed token that nobody has verified yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
    pub(super) subject: Option<String>,
    audiences: Vec<String>,
    not_before: Option<f64>,
    pub(super) expires: Option<f64>,
    pub(super) payload: Map<String, Value>,
    /// What is signed: header, dot, payload.
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, JwtError> {
        if bytes.len() > LARGEST {
            return Err(JwtError::TooLarge);
        }
        let mut parts = bytes.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(JwtError::BadFormat);
        };
        let message_length = header.len().saturating_add(1).saturating_add(payload.len());
        let message = bytes.get(..message_length).ok_or(JwtError::BadFormat)?;
        // This engine refuses padding, trailing bits and trailing characters: each token has one spelling.
        let decode = |part: &[u8], error| URL_SAFE_NO_PAD.decode(part).map_err(|_| error);
        let header = strict_json::object(&decode(header, JwtError::HeaderBadBase64)?).ok_or(JwtError::HeaderBadJson)?;
        let (algorithm, key_id) = read_header(&header)?;
        let payload = strict_json::object(&decode(payload, JwtError::PayloadBadBase64)?).ok_or(JwtError::PayloadBadJson)?;
        let signature = decode(signature, JwtError::SignatureBadBase64)?;
        let issuer = string(&payload, "iss", JwtError::BadIssuer)?.unwrap_or_default();
        let subject = string(&payload, "sub", JwtError::BadSubject)?;
        let (not_before, expires) = (time(&payload, "nbf")?, time(&payload, "exp")?);
        time(&payload, "iat")?;
        let audiences = audiences(&payload);
        Ok(Self { algorithm, key_id, issuer, subject, audiences, not_before, expires, payload, message, signature })
    }

    pub(super) fn check_time(&self, now: f64) -> Result<(), JwtError> {
        if self.not_before.is_some_and(|start| start > now + SKEW) {
            return Err(JwtError::NotYetValid);
        }
        if self.expires.is_some_and(|end| end + SKEW < now) {
            return Err(JwtError::Expired);
        }
        Ok(())
    }

    /// Any of them will do; none allowed means that any is.
    pub(super) fn check_audience(&self, allowed: &[String]) -> Result<(), JwtError> {
        if allowed.is_empty() || allowed.iter().any(|audience| self.audiences.contains(audience)) {
            return Ok(());
        }
        Err(JwtError::AudienceNotAllowed)
    }
}

/// Keys that the header itself brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are ignored: only the issuer's own count.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), JwtError> {
    // No extension is understood, so each that must be is refused; `b64` is one of them (RFC 7797 section 6).
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(JwtError::HeaderCritical);
    }
    let Some(Value::String(algorithm)) = header.get("alg") else { return Err(JwtError::HeaderBadAlg) };
    let algorithm = Algorithm::parse(algorithm).ok_or(JwtError::HeaderUnsupportedAlg)?;
    Ok((algorithm, string(header, "kid", JwtError::HeaderBadKid)?))
}

fn string(object: &Map<String, Value>, name: &str, error: JwtError) -> Result<Option<String>, JwtError> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(error),
    }
}

/// A NumericDate (RFC 7519 section 2): seconds since the epoch, fractions allowed.
fn time(payload: &Map<String, Value>, name: &str) -> Result<Option<f64>, JwtError> {
    match payload.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().filter(|seconds| seconds.is_finite()).map(Some).ok_or(JwtError::BadTime),
    }
}

fn audiences(payload: &Map<String, Value>) -> Vec<String> {
    match payload.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

//! A token taken apart (RFC 7515 section 3.1), and the checks that need no key.

use std::sync::Arc;

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
pub(super) struct Token {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
    pub(super) subject: Option<String>,
    audiences: Vec<String>,
    not_before: Option<f64>,
    pub(super) expires: Option<f64>,
    pub(super) payload: Arc<Map<String, Value>>,
    /// How much of the token is signed: header, dot, payload.
    pub(super) message_length: usize,
    pub(super) signature: Vec<u8>,
}

impl Token {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, JwtError> {
        if bytes.len() > LARGEST {
            return Err(JwtError::TooLarge);
        }
        let parts = Parts::of(bytes).ok_or(JwtError::BadFormat)?;
        // Three parts have two dots. Between them there is none, or it is no base64, so that only what is wrong anyway is looked through.
        Self::of(&parts).map_err(|error| if memchr::memchr(b'.', parts.payload).is_some() { JwtError::BadFormat } else { error })
    }

    #[inline(never)]
    fn of(Parts { header, payload, signature }: &Parts<'_>) -> Result<Self, JwtError> {
        let message_length = header.len().saturating_add(1).saturating_add(payload.len());
        // This engine refuses padding, trailing bits and trailing characters: each token has one spelling.
        let decode = |part: &[u8], error| URL_SAFE_NO_PAD.decode(part).map_err(|_| error);
        let header = strict_json::object(&decode(header, JwtError::HeaderBadBase64)?).ok_or(JwtError::HeaderBadJson)?;
        let (algorithm, key_id) = read_header(&header)?;
        let payload = strict_json::object(&decode(payload, JwtError::PayloadBadBase64)?).ok_or(JwtError::PayloadBadJson)?;
        let signature = decode(signature, JwtError::SignatureBadBase64)?;
        let issuer = string(&payload, "iss", JwtError::BadIssuer)?.unwrap_or_default();
        let subject = string(&payload, "sub", JwtError::BadSubject)?;
        time(&payload, "iat", Time::ISSUED_AT)?;
        let (not_before, expires) = (time(&payload, "nbf", Time::NOT_BEFORE)?, time(&payload, "exp", Time::EXPIRES)?);
        string(&payload, "jti", JwtError::BadId)?;
        let audiences = audiences(&payload)?;
        let payload = Arc::new(payload);
        Ok(Self { algorithm, key_id, issuer, subject, audiences, not_before, expires, payload, message_length, signature })
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
        if allowed.is_empty() || self.audiences.iter().any(|found| allowed.iter().any(|audience| bare(audience) == bare(found))) {
            return Ok(());
        }
        Err(JwtError::AudienceNotAllowed)
    }
}

/// What is before the first dot, behind the last one, and in between.
struct Parts<'t> {
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
}

impl<'t> Parts<'t> {
    fn of(token: &'t [u8]) -> Option<Self> {
        let (first, last) = (memchr::memchr(b'.', token)?, memchr::memrchr(b'.', token)?);
        Some(Self {
            header: token.get(..first)?,
            payload: token.get(first.checked_add(1)?..last)?,
            signature: token.get(last.checked_add(1)?..)?,
        })
    }
}

/// An audience without scheme and without a slash at its end, as Envoy's jwt_authn compares them.
fn bare(audience: &str) -> &str {
    let behind = audience.strip_prefix("http://").or_else(|| audience.strip_prefix("https://")).unwrap_or(audience);
    behind.strip_suffix('/').unwrap_or(behind)
}

/// Keys that the header itself brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are ignored: only the issuer's own count.
#[inline(never)]
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

/// What is wrong with a time, when something is.
struct Time {
    not_a_number: JwtError,
    out_of_range: JwtError,
}

impl Time {
    const ISSUED_AT: Self = Self { not_a_number: JwtError::BadIssuedAt, out_of_range: JwtError::IssuedAtOutOfRange };
    const NOT_BEFORE: Self = Self { not_a_number: JwtError::BadNotBefore, out_of_range: JwtError::NotBeforeOutOfRange };
    const EXPIRES: Self = Self { not_a_number: JwtError::BadExpiry, out_of_range: JwtError::ExpiryOutOfRange };
}

/// A NumericDate (RFC 7519 section 2): seconds since the epoch, fractions allowed.
fn time(payload: &Map<String, Value>, name: &str, wrong: Time) -> Result<Option<f64>, JwtError> {
    /// 2 to the power of 64.
    const TOO_LATE: f64 = 18_446_744_073_709_551_616.0;
    match payload.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().ok_or(wrong.not_a_number)?;
            if (0.0..TOO_LATE).contains(&seconds) { Ok(Some(seconds)) } else { Err(wrong.out_of_range) }
        }
    }
}

/// One string or a list of strings (RFC 7519 section 4.1.3).
fn audiences(payload: &Map<String, Value>) -> Result<Vec<String>, JwtError> {
    match payload.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(list)) => {
            list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or(JwtError::BadAudience)
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(JwtError::BadAudience),
    }
}

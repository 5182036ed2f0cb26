//! A token taken apart (RFC 7515 section 3.1), and the checks that need no key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::crypto::Algorithm;
use super::error::JwtError;
use super::object::{Kind, Object, Span, Value};
use super::strict_json;

/// Larger than any header that Envoy takes by default.
pub(super) const LARGEST: usize = 64 * 1024;
/// How far two clocks may be apart, in seconds: that of Envoy's jwt_authn.
pub(super) const SKEW: f64 = 60.0;

/// A well-formed token that nobody has verified yet.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) header: Arc<Header>,
    pub(super) issuer: Span,
    pub(super) subject: Span,
    not_before: Option<f64>,
    pub(super) expires: Option<f64>,
    pub(super) payload: Object,
    /// How much of the token is its header.
    pub(super) header_length: usize,
    /// How much of the token is signed: header, dot, payload.
    pub(super) message_length: usize,
    pub(super) signature: Vec<u8>,
}

/// The JOSE header, as far as it counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

impl Token {
    /// `known`: the header that bytes are known to be. An issuer's tokens mostly have one between them.
    pub(super) fn parse(bytes: &[u8], known: impl FnOnce(&[u8]) -> Option<Arc<Header>>) -> Result<Self, JwtError> {
        if bytes.len() > LARGEST {
            return Err(JwtError::TooLarge);
        }
        let parts = Parts::of(bytes).ok_or(JwtError::BadFormat)?;
        // Three parts have two dots. Between them there is none, or it is no base64, so that only what is wrong anyway is looked through.
        Self::of(&parts, known(parts.header))
            .map_err(|error| if memchr::memchr(b'.', parts.payload).is_some() { JwtError::BadFormat } else { error })
    }

    #[inline(never)]
    fn of(Parts { header, payload, signature }: &Parts<'_>, known: Option<Arc<Header>>) -> Result<Self, JwtError> {
        let header_length = header.len();
        let message_length = header_length.saturating_add(1).saturating_add(payload.len());
        // This engine refuses padding, trailing bits and trailing characters: each token has one spelling.
        let decode = |part: &[u8], error| URL_SAFE_NO_PAD.decode(part).map_err(|_| error);
        let header = match known {
            Some(known) => known,
            None => {
                let header = strict_json::object(decode(header, JwtError::HeaderBadBase64)?).ok_or(JwtError::HeaderBadJson)?;
                Arc::new(read_header(&header)?)
            }
        };
        let payload = strict_json::object(decode(payload, JwtError::PayloadBadBase64)?).ok_or(JwtError::PayloadBadJson)?;
        let signature = decode(signature, JwtError::SignatureBadBase64)?;
        let claims = Registered::of(&payload);
        let (issuer, subject) = (string(claims.iss, JwtError::BadIssuer)?, string(claims.sub, JwtError::BadSubject)?);
        time(claims.iat, Time::ISSUED_AT)?;
        let (not_before, expires) = (time(claims.nbf, Time::NOT_BEFORE)?, time(claims.exp, Time::EXPIRES)?);
        string(claims.jti, JwtError::BadId)?;
        if claims.has_aud {
            check_audience(&payload)?;
        }
        Ok(Self { header, issuer, subject, not_before, expires, payload, header_length, message_length, signature })
    }

    /// Empty when it has none.
    pub(super) fn issuer(&self) -> &str {
        self.issuer.of(self.payload.text())
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
        let is_allowed = |found: &str| allowed.iter().any(|audience| bare(audience) == bare(found));
        let is_good = match self.payload.get("aud") {
            _ if allowed.is_empty() => true,
            Some(Value::List(list)) => list.iter().filter_map(Value::as_str).any(is_allowed),
            Some(one) => one.as_str().is_some_and(is_allowed),
            None => false,
        };
        if is_good {
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
fn read_header(header: &Object) -> Result<Header, JwtError> {
    // No extension is understood, so each that must be is refused; `b64` is one of them (RFC 7797 section 6).
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(JwtError::HeaderCritical);
    }
    let Some(Value::String(algorithm)) = header.get("alg") else { return Err(JwtError::HeaderBadAlg) };
    let algorithm = Algorithm::parse(algorithm).ok_or(JwtError::HeaderUnsupportedAlg)?;
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.to_owned()),
        Some(_) => return Err(JwtError::HeaderBadKid),
    };
    Ok(Header { algorithm, key_id })
}

/// None is an empty one.
fn string(claim: Option<Kind>, error: JwtError) -> Result<Span, JwtError> {
    match claim {
        None => Ok(Span::default()),
        Some(Kind::String(span)) => Ok(span),
        Some(_) => Err(error),
    }
}

/// The claims of a payload that have a meaning of their own (RFC 7519 section 4.1).
#[derive(Default)]
struct Registered {
    iss: Option<Kind>,
    sub: Option<Kind>,
    iat: Option<Kind>,
    nbf: Option<Kind>,
    exp: Option<Kind>,
    jti: Option<Kind>,
    has_aud: bool,
}

impl Registered {
    fn of(payload: &Object) -> Self {
        let mut found = Self::default();
        for (name, kind) in payload.kinds().filter(|(name, _)| name.len() == 3) {
            match name {
                "iss" => found.iss = Some(kind),
                "sub" => found.sub = Some(kind),
                "iat" => found.iat = Some(kind),
                "nbf" => found.nbf = Some(kind),
                "exp" => found.exp = Some(kind),
                "jti" => found.jti = Some(kind),
                "aud" => found.has_aud = true,
                _ => {}
            }
        }
        found
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
fn time(claim: Option<Kind>, wrong: Time) -> Result<Option<f64>, JwtError> {
    /// 2 to the power of 64.
    const TOO_LATE: f64 = 18_446_744_073_709_551_616.0;
    match claim {
        None => Ok(None),
        Some(Kind::Number(number)) => {
            let seconds = number.as_f64();
            if (0.0..TOO_LATE).contains(&seconds) { Ok(Some(seconds)) } else { Err(wrong.out_of_range) }
        }
        Some(_) => Err(wrong.not_a_number),
    }
}

/// One string or a list of strings (RFC 7519 section 4.1.3).
fn check_audience(payload: &Object) -> Result<(), JwtError> {
    let is_good = match payload.get("aud") {
        None | Some(Value::String(_)) => true,
        Some(Value::List(list)) => list.iter().all(|one| one.as_str().is_some()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => false,
    };
    if is_good { Ok(()) } else { Err(JwtError::BadAudience) }
}

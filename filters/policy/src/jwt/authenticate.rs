use std::sync::Arc;

use super::cache::TokenCache;
use super::changes::{self, HeaderChange};
use super::claims::Claims;
use super::crypto::Crypto;
use super::error::JwtError;
use super::location::Found;
use super::rule::JwtRule;
use super::token::{SKEW, Token};
use crate::policy::Policy;
use crate::request::HttpRequest;

/// More tokens than this in one request are an attack on the worker's time.
const MOST_TOKENS: usize = 8;

/// What became of the request's tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Authentication {
    /// None was presented, or none is asked for.
    #[default]
    Anonymous,
    Token(Verified),
    Refused(Refusal),
}

/// A verified token, and what it changes in the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    claims: Arc<Claims>,
    changes: Vec<HeaderChange>,
}

/// A token that is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    error: JwtError,
}

impl Refusal {
    #[must_use]
    pub fn error(&self) -> JwtError {
        self.error
    }
}

impl Authentication {
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Token(verified) => Some(&verified.claims),
            Self::Anonymous | Self::Refused(_) => None,
        }
    }

    /// What to do to the headers of a request that passes, in order.
    #[must_use]
    pub fn changes(&self) -> &[HeaderChange] {
        match self {
            Self::Token(verified) => &verified.changes,
            Self::Anonymous | Self::Refused(_) => &[],
        }
    }
}

/// What one rule says of a request.
enum Outcome {
    Missing,
    Good(Verified),
    Bad(JwtError),
}

impl Policy {
    /// Verifies the request's tokens. `now` is in seconds since the epoch. With one rule a token of it must be good; with several, one rule
    /// whose tokens are all good suffices, and without any token the request is anonymous (Istio, RequestAuthentication).
    #[must_use]
    pub fn authenticate(&self, request: &HttpRequest<'_>, now: u64, crypto: &dyn Crypto, cache: &mut TokenCache) -> Authentication {
        if self.jwt_rules.is_empty() || is_cors_preflight(request) {
            return Authentication::Anonymous;
        }
        // Past 2^32 seconds (2106) precision is still that of a second.
        let now = seconds(now);
        let mut worst = None;
        for (index, rule) in self.jwt_rules.iter().enumerate() {
            match check(index, rule, request, now, crypto, cache) {
                Outcome::Good(verified) => return Authentication::Token(verified),
                Outcome::Missing => {}
                // Of several, what is wrong with the rule's own token says more than that a token is another issuer's.
                Outcome::Bad(error) if worst.is_none_or(|known| known == JwtError::UnknownIssuer) => worst = Some(error),
                Outcome::Bad(_) => {}
            }
        }
        match worst {
            Some(error) => Authentication::Refused(Refusal { error }),
            None => Authentication::Anonymous,
        }
    }
}

/// Every token that the rule finds must be good; the first is the one that counts.
fn check(index: usize, rule: &JwtRule, request: &HttpRequest<'_>, now: f64, crypto: &dyn Crypto, cache: &mut TokenCache) -> Outcome {
    let found: Vec<(&[u8], Found)> = rule.locations.iter().flat_map(|location| location.tokens(request)).collect();
    if found.len() > MOST_TOKENS {
        return Outcome::Bad(JwtError::TooLarge);
    }
    let mut first = None;
    for (token, _) in &found {
        match verify(index, rule, token, now, crypto, cache) {
            Ok(claims) => first = first.or(Some(claims)),
            Err(error) => return Outcome::Bad(error),
        }
    }
    let Some(claims) = first else { return Outcome::Missing };
    let found: Vec<Found> = found.into_iter().map(|(_, location)| location).collect();
    let changes = changes::of(rule, &claims, &found, request);
    Outcome::Good(Verified { claims, changes })
}

fn verify(
    index: usize,
    rule: &JwtRule,
    bytes: &[u8],
    now: f64,
    crypto: &dyn Crypto,
    cache: &mut TokenCache,
) -> Result<Arc<Claims>, JwtError> {
    if let Some(claims) = cache.get(index, bytes, now) {
        return Ok(claims);
    }
    let token = Token::parse(bytes)?;
    if token.issuer != rule.issuer() {
        return Err(JwtError::UnknownIssuer);
    }
    token.check_time(now)?;
    token.check_audience(rule.audiences())?;
    check_signature(rule, &token, crypto)?;
    let expires = token.expires.map(|end| end + SKEW);
    let claims = Arc::new(Claims::new(token.issuer, token.subject, token.payload, rule.space_delimited()));
    cache.insert(index, bytes, Arc::clone(&claims), expires, now);
    Ok(claims)
}

/// The token says which key by `kid`, never how that key may be used: the key says that.
fn check_signature(rule: &JwtRule, token: &Token<'_>, crypto: &dyn Crypto) -> Result<(), JwtError> {
    let fits = |wanted: &str, id: Option<&str>| id.is_none_or(|id| id == wanted);
    let keys = rule
        .keys()
        .iter()
        .filter(|key| key.algorithms().contains(&token.algorithm) && token.key_id.as_deref().is_none_or(|wanted| fits(wanted, key.id())));
    let mut error = JwtError::NoKey;
    for key in keys {
        match crypto.verify(token.algorithm, key, token.message, &token.signature) {
            Ok(true) => return Ok(()),
            Ok(false) | Err(_) => error = JwtError::VerificationFailed,
        }
    }
    Err(error)
}

/// A preflight carries no credentials (Fetch, "CORS-preflight fetch").
fn is_cors_preflight(request: &HttpRequest<'_>) -> bool {
    let has = |name| request.headers().first(name).is_some_and(|value| !value.is_empty());
    request.method() == b"OPTIONS" && has("origin") && has("access-control-request-method")
}

fn seconds(now: u64) -> f64 {
    f64::from(u32::try_from(now).unwrap_or(u32::MAX))
}

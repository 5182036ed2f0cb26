use std::sync::Arc;

use super::cache::TokenCache;
use super::changes::{self, HeaderChange};
use super::claims::Claims;
use super::crypto::Crypto;
use super::error::JwtError;
use super::jwks::PublicKey;
use super::location::Found;
use super::rule::JwtRule;
use super::token::{LARGEST, SKEW, Token};
use crate::policy::Policy;
use crate::request::HttpRequest;

/// More tokens than this in one request are an attack on the worker's time.
pub(super) const MOST_TOKENS: usize = 8;

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
    lasts: Option<GoodUntil>,
}

/// Until when the same request's tokens are as good as they were found, so that nobody need look at them again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoodUntil(f64);

impl GoodUntil {
    /// `now` is in seconds since the epoch.
    #[must_use]
    pub fn includes(self, now: u64) -> bool {
        seconds(now) <= self.0
    }
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
    /// Of a token that was verified before, as far as a log knows it. It grants nothing new: whoever calls it says that it was verified.
    #[must_use]
    pub fn recorded(issuer: &str, subject: Option<&str>) -> Self {
        Self::Token(Verified { claims: Arc::new(Claims::recorded(issuer, subject)), changes: Vec::new(), lasts: None })
    }

    /// Of a token; none also when something about the request would be found otherwise later on: of several tokens one was no good.
    #[must_use]
    pub fn lasts(&self) -> Option<GoodUntil> {
        match self {
            Self::Token(verified) => verified.lasts,
            Self::Anonymous | Self::Refused(_) => None,
        }
    }

    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Token(verified) => Some(&verified.claims),
            Self::Anonymous | Self::Refused(_) => None,
        }
    }

    /// What [`Authentication::changes`] says, to keep.
    #[must_use]
    pub fn into_changes(self) -> Vec<HeaderChange> {
        match self {
            Self::Token(verified) => verified.changes,
            Self::Anonymous | Self::Refused(_) => Vec::new(),
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
    #[inline(never)]
    pub fn authenticate(&self, request: &HttpRequest<'_>, now: u64, crypto: &dyn Crypto, cache: &mut TokenCache) -> Authentication {
        if self.jwt_rules.is_empty() || is_cors_preflight(request) {
            return Authentication::Anonymous;
        }
        // Past 2^32 seconds (2106) precision is still that of a second.
        let is_alone = self.jwt_rules.len() == 1;
        let mut verifier = Verifier { request, now: seconds(now), crypto, cache, is_alone, refused: Vec::new() };
        let mut worst = None;
        for (index, rule) in self.jwt_rules.iter().enumerate() {
            match verifier.check(index, rule) {
                Outcome::Good(verified) => {
                    // What another rule refuses it may take later: a token that is not good yet.
                    let lasts = verified.lasts.filter(|_| worst.is_none());
                    return Authentication::Token(Verified { lasts, ..verified });
                }
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

/// What verifying the tokens of one request takes.
struct Verifier<'a, 'e> {
    request: &'e HttpRequest<'a>,
    now: f64,
    crypto: &'e dyn Crypto,
    cache: &'e mut TokenCache,
    /// There is one rule: nobody else looks at a token that it refuses.
    is_alone: bool,
    /// Several rules may find the same token, which is taken apart once.
    refused: Vec<(Vec<u8>, Result<Token, JwtError>)>,
}

impl Verifier<'_, '_> {
    /// Every token that the rule finds must be good; the first is the one that counts.
    #[inline(never)]
    fn check(&mut self, index: usize, rule: &JwtRule) -> Outcome {
        let mut found = Vec::new();
        rule.locations().iter().for_each(|location| location.tokens(self.request, &mut found));
        if found.len() > MOST_TOKENS {
            return Outcome::Bad(JwtError::TooMany);
        }
        let (mut first, mut until) = (None, f64::INFINITY);
        for Found { token, .. } in &found {
            match self.verify(index, rule, token) {
                Ok((claims, end)) => {
                    first = first.or(Some(claims));
                    until = until.min(end);
                }
                Err(error) => return Outcome::Bad(error),
            }
        }
        let Some(claims) = first else { return Outcome::Missing };
        let changes = changes::of(rule, &claims, &found, self.request);
        Outcome::Good(Verified { claims, changes, lasts: Some(GoodUntil(until)) })
    }

    #[inline(never)]
    fn verify(&mut self, index: usize, rule: &JwtRule, bytes: &[u8]) -> Result<(Arc<Claims>, f64), JwtError> {
        if bytes.len() > LARGEST {
            return Err(JwtError::TooLarge);
        }
        if let Some(known) = self.cache.get(index, bytes, self.now) {
            return Ok(known);
        }
        let known = self.refused.iter().position(|(known, _)| known == bytes);
        let parsed = match known {
            Some(place) => self.refused.swap_remove(place).1,
            None => Token::parse(bytes, |header| self.cache.header(header)),
        };
        let checked = parsed.as_ref().map_err(|error| *error).and_then(|token| check(rule, token, bytes, self.now, self.crypto));
        let token = match (checked, parsed) {
            (Ok(()), Ok(token)) => token,
            (Err(error), parsed) | (Ok(()), parsed @ Err(error)) => {
                if !self.is_alone {
                    self.refused.push((bytes.to_vec(), parsed));
                }
                return Err(error);
            }
        };
        self.cache.keep_header(bytes.get(..token.header_length).unwrap_or_default(), &token.header);
        let expires = token.expires.map(|end| end + SKEW);
        let claims = Arc::new(Claims::new(token.payload, token.issuer, token.subject, rule.space_delimited()));
        let until = self.cache.insert(index, bytes, Arc::clone(&claims), expires, self.now);
        Ok((claims, until))
    }
}

#[inline(never)]
fn check(rule: &JwtRule, token: &Token, bytes: &[u8], now: f64, crypto: &dyn Crypto) -> Result<(), JwtError> {
    if token.issuer() != rule.issuer() {
        return Err(JwtError::UnknownIssuer);
    }
    token.check_time(now)?;
    token.check_audience(rule.audiences())?;
    check_signature(rule, token, bytes, crypto)
}

/// The token says which key by `kid`, never how that key may be used: the key says that.
#[inline(never)]
fn check_signature(rule: &JwtRule, token: &Token, bytes: &[u8], crypto: &dyn Crypto) -> Result<(), JwtError> {
    let message = bytes.get(..token.message_length).ok_or(JwtError::BadFormat)?;
    // A key without `kid` may be any that the token names (Envoy's jwt_authn).
    let is_named = |key: &PublicKey| match (token.header.key_id.as_deref(), key.id()) {
        (Some(wanted), Some(id)) => wanted == id,
        (None, _) | (_, None) => true,
    };
    let algorithm = token.header.algorithm;
    let keys = rule.keys().iter().filter(|key| key.algorithms().contains(&algorithm) && is_named(key));
    let mut error = JwtError::NoKey;
    for key in keys {
        match crypto.verify(algorithm, key, message, &token.signature) {
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

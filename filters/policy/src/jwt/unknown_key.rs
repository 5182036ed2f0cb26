//! Which key a refused token wants: an issuer may have begun to sign with one that nobody here has fetched yet.

use super::authenticate::{Authentication, MOST_TOKENS};
use super::error::JwtError;
use super::location::Found;
use super::token::Token;
use crate::policy::Policy;
use crate::request::HttpRequest;

/// Longer names are cut: anybody can make one up.
const LONGEST: usize = 128;

/// A key that a token names and that is not among its issuer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    pub issuer: String,
    /// At most 128 bytes.
    pub kid: String,
}

impl Policy {
    /// What to look for after a refusal; none when the token was refused for another reason, or names no key. It takes the tokens apart
    /// anew, so it is not for every request.
    #[must_use]
    #[inline(never)]
    pub fn unknown_key(&self, request: &HttpRequest<'_>, authentication: &Authentication) -> Option<UnknownKey> {
        let Authentication::Refused(refusal) = authentication else { return None };
        if !matches!(refusal.error(), JwtError::NoKey | JwtError::VerificationFailed) {
            return None;
        }
        self.jwt_rules.iter().find_map(|rule| {
            let mut found = Vec::new();
            rule.locations().iter().for_each(|location| location.tokens(request, &mut found));
            found.into_iter().take(MOST_TOKENS).find_map(|Found { token, .. }| {
                let token = Token::parse(token.as_ref(), |_| None).ok()?;
                let kid = token.header.key_id.as_deref().filter(|kid| !kid.is_empty() && token.issuer() == rule.issuer())?;
                (!self.has_key(rule.issuer(), kid)).then(|| UnknownKey { issuer: token.issuer().to_owned(), kid: cut(kid) })
            })
        })
    }

    /// Several rules may have one issuer.
    fn has_key(&self, issuer: &str, kid: &str) -> bool {
        let rules = self.jwt_rules.iter().filter(|rule| rule.issuer() == issuer);
        rules.flat_map(|rule| rule.keys()).any(|key| key.id() == Some(kid))
    }
}

fn cut(kid: &str) -> String {
    kid.get(..kid.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::fingerprint::Fingerprint;
use crate::store;

const PREFIX: &str = "mwjoin1";

/// A single-use secret by which a sidecar proves who it is, with the fingerprint by which it knows the control plane:
/// `mwjoin1.<secret>.<SHA-256 of the root certificate>`, both 32 bytes in base64url. Its `Debug` does not show it.
#[derive(Clone)]
pub struct JoinToken {
    text: Zeroizing<String>,
    secret_hash: [u8; 32],
    root: Fingerprint,
}

/// Why a text is not a join token. The text itself is never in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJoinToken {
    #[error("a join token starts with `mwjoin1.`")]
    Prefix,
    #[error("a join token has three parts joined by `.`, the last two of 43 characters of base64url; this one was probably cut or wrapped")]
    Shape,
}

impl JoinToken {
    /// # Errors
    /// [`InvalidJoinToken`] when it has not the form of one. Whitespace around it is no matter.
    pub fn parse(text: &str) -> Result<Self, InvalidJoinToken> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')).ok_or(InvalidJoinToken::Prefix)?;
        let (secret, root) = rest.split_once('.').ok_or(InvalidJoinToken::Shape)?;
        Ok(Self::new(&Zeroizing::new(part(secret)?), Fingerprint::from_bytes(part(root)?)))
    }

    pub(crate) fn new(secret: &[u8; 32], root: Fingerprint) -> Self {
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
        let text = Zeroizing::new(format!("{PREFIX}.{}.{}", *encoded, root.to_base64url()));
        Self { text, secret_hash: Sha256::digest(secret).into(), root }
    }

    /// The whole token. It is a secret: show it once, to whoever made it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The root certificate that the control plane's chain must end in.
    #[must_use]
    pub fn root_fingerprint(&self) -> Fingerprint {
        self.root
    }

    /// What is kept of the secret. It has 256 random bits, so a plain hash cannot be searched.
    pub(crate) fn id(&self) -> String {
        store::hex(&self.secret_hash)
    }
}

fn part(text: &str) -> Result<[u8; 32], InvalidJoinToken> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidJoinToken::Shape)?);
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| InvalidJoinToken::Shape)
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("root", &self.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_shows_nothing_in_debug() {
        let token = JoinToken::new(&[7; 32], Fingerprint::from_bytes([9; 32]));
        let read = JoinToken::parse(&format!(" {}\n", token.reveal())).unwrap();
        assert_eq!((read.id(), read.root_fingerprint(), read.reveal()), (token.id(), token.root_fingerprint(), token.reveal()));
        let secret = token.reveal().split('.').nth(1).unwrap();
        assert!(!format!("{token:?}").contains(secret));
        assert!(!format!("{token:?}").contains(&token.id()));
    }

    #[test]
    fn refuses_what_is_not_one() {
        let good = JoinToken::new(&[7; 32], Fingerprint::from_bytes([9; 32]));
        let cut = good.reveal().get(..60).unwrap();
        let long = format!("{}A", good.reveal());
        let megabyte = format!("mwjoin1.{}", "a".repeat(1 << 20));
        for (bad, why) in [
            ("", InvalidJoinToken::Prefix),
            ("mwjoin2.a.b", InvalidJoinToken::Prefix),
            ("mwjoin1", InvalidJoinToken::Prefix),
            ("mwjoin1.", InvalidJoinToken::Shape),
            ("mwjoin1.a.b", InvalidJoinToken::Shape),
            (cut, InvalidJoinToken::Shape),
            (&long, InvalidJoinToken::Shape),
            (&megabyte, InvalidJoinToken::Shape),
        ] {
            assert_eq!(JoinToken::parse(bad).unwrap_err(), why, "{}", bad.len());
        }
    }
}

//! JSON Web Tokens: which keys and rules verify them, where they are found, what is wrong with one (RFC 7515, 7517, 7519).

mod authenticate;
mod cache;
mod changes;
mod claims;
mod crypto;
mod curve;
mod error;
mod jwks;
mod key_server;
mod key_url;
mod location;
mod object;
pub(crate) mod rule;
mod software;
mod strict_json;
mod token;
mod unknown_key;

pub use authenticate::{Authentication, GoodUntil, Refusal, Verified};
pub use cache::{TokenCache, TokenCounts};
pub use changes::{HeaderChange, HeaderValue};
pub use claims::Claims;
pub use crypto::{Algorithm, Crypto, CryptoError};
pub use error::JwtError;
pub use jwks::{InvalidJwks, NO_KEYS, PublicKey, parse_jwks};
pub use key_server::refused_key_server;
pub use key_url::check_key_url;
pub use software::SoftwareCrypto;
pub use unknown_key::UnknownKey;

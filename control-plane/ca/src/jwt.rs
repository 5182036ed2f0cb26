//! Proof of identity by a JWT of a pinned issuer and audience whose subject is a service account: the shape of Kubernetes' projected tokens
//! (`system:serviceaccount:<namespace>:<name>`). The keys are a file of the operator's, read again for each proof.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use meshwright_identity::{SpiffeId, TrustDomain};
use serde::Deserialize;

use crate::time::{from_unix_seconds, unix_seconds, utc};

const MAX_TOKEN: usize = 8 * 1024;
const MAX_KEYS: u64 = 256 * 1024;
const SKEW: Duration = Duration::from_secs(30);
const SUBJECT: &str = "system:serviceaccount:";

/// Whose tokens are proof of who a workload is.
#[derive(Debug, Clone)]
pub struct JwtIssuer {
    /// What `iss` must be.
    pub issuer: String,
    /// What must be among `aud`: a name of this mesh's own, so that a token for anybody else is worth nothing here.
    pub audience: String,
    /// A JWK set.
    pub keys: PathBuf,
}

/// Why a JWT is no proof. Never holds any of it but its claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwt {
    #[error("this control plane takes no JWTs: it was started without --jwt-issuer")]
    NotTaken,
    #[error("the keys of the issuer `{0}` cannot be read")]
    Keys(String),
    #[error("the JWT is not one that can be read")]
    Malformed,
    #[error("the JWT's algorithm is not accepted; use RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA")]
    Algorithm,
    #[error("the JWT names a key that its issuer does not have")]
    UnknownKey,
    #[error("the JWT is not accepted: {0}")]
    Refused(String),
    #[error("the JWT expired at {0}")]
    Expired(String),
    #[error("the JWT is valid only from {0}")]
    NotYetValid(String),
    #[error("the JWT's subject is `{0}`; expected `system:serviceaccount:NAMESPACE:NAME`")]
    Subject(String),
    #[error("the JWT's claim `kubernetes.io` is of another service account than its subject")]
    Contradiction,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default, rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Debug, Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl JwtIssuer {
    /// Whose proof `token` is at `now`.
    ///
    /// # Errors
    /// When it is nobody's, or not at that time; or when the keys cannot be read.
    pub fn verify(&self, token: &str, trust_domain: &TrustDomain, now: SystemTime) -> Result<SpiffeId, InvalidJwt> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidJwt::Malformed);
        }
        let header = decode_header(token).map_err(|_| InvalidJwt::Malformed)?;
        if !accepted(header.alg) {
            return Err(InvalidJwt::Algorithm);
        }
        let keys = self.read_keys().ok_or_else(|| InvalidJwt::Keys(self.issuer.clone()))?;
        let key = match (&header.kid, keys.keys.as_slice()) {
            (Some(kid), _) => keys.find(kid),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let key = DecodingKey::from_jwk(key.ok_or(InvalidJwt::UnknownKey)?).map_err(|_| InvalidJwt::UnknownKey)?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By the clock that is given, below.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims = decode::<Claims>(token, &key, &validation).map_err(|error| InvalidJwt::Refused(error.to_string()))?.claims;
        claims.check_time(now)?;
        claims.identity(trust_domain)
    }

    fn read_keys(&self) -> Option<JwkSet> {
        let mut text = String::new();
        File::open(&self.keys).ok()?.take(MAX_KEYS).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// No shared secrets: whoever could check such a token could make one.
fn accepted(algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512 | ES256 | ES384 | EdDSA)
}

impl Claims {
    fn check_time(&self, now: SystemTime) -> Result<(), InvalidJwt> {
        if unix_seconds(now) >= self.exp.saturating_add(SKEW.as_secs()) {
            return Err(InvalidJwt::Expired(utc(from_unix_seconds(self.exp))));
        }
        match self.nbf {
            Some(from) if unix_seconds(now + SKEW) < from => Err(InvalidJwt::NotYetValid(utc(from_unix_seconds(from)))),
            _ => Ok(()),
        }
    }

    fn identity(&self, trust_domain: &TrustDomain) -> Result<SpiffeId, InvalidJwt> {
        let invalid = || InvalidJwt::Subject(self.sub.clone());
        let (namespace, name) = self.sub.strip_prefix(SUBJECT).and_then(|rest| rest.split_once(':')).ok_or_else(invalid)?;
        if self.kubernetes.as_ref().is_some_and(|claim| claim.namespace != namespace || claim.serviceaccount.name != name) {
            return Err(InvalidJwt::Contradiction);
        }
        SpiffeId::for_service_account(trust_domain, namespace, name).map_err(|_| invalid())
    }
}

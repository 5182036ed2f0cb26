//! Who may ask the admin API. On a loopback address in plaintext: whoever is on this machine, and no web page that a browser on it shows.
//! Else: whoever has the token, or a certificate of the mesh for an identity that the operator named. `/healthz` and `/readyz` tell nothing
//! and are for everybody.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use meshwright_ca::{InvalidPeer, PeerCertificates};
use meshwright_identity::{SpiffeId, TrustDomain};
use sha2::{Digest as _, Sha256};

use super::{Admin, documents::problem};
use crate::denials::{ADMIN, Peer};

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 32;
const TOKEN: &str = "`Authorization: Bearer TOKEN` is needed, with the admin token";
const CERTIFICATE: &str = "a client certificate of the mesh is needed, for an identity that --admin-identity names";

/// What a request must show.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// That it comes from no web page.
    Local,
    /// One of these.
    Shown {
        /// The token with this hash; the token itself is not kept.
        token: Option<[u8; 32]>,
        /// Over TLS, a certificate of one of these.
        identities: BTreeSet<SpiffeId>,
    },
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    status: StatusCode,
    why: String,
    /// Who showed a certificate that is not enough.
    identity: Option<SpiffeId>,
}

impl Access {
    /// Beyond this machine nothing is told to whoever shows nothing.
    ///
    /// # Errors
    /// When nothing is asked for on an address that is not loopback; when the token cannot be read, is too short, or others than its owner
    /// may read it.
    pub(crate) fn new(address: SocketAddr, token_file: Option<&Path>, identities: &[SpiffeId]) -> anyhow::Result<Self> {
        if token_file.is_none() && identities.is_empty() {
            anyhow::ensure!(
                address.ip().is_loopback(),
                "the admin API on `{address}` needs a token or an identity, which a loopback address does not: name a file with \
                 --admin-token-file, or who may ask with --admin-identity spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"
            );
            return Ok(Self::Local);
        }
        Ok(Self::Shown { token: token_file.map(token_hash).transpose()?, identities: identities.iter().cloned().collect() })
    }

    /// Only certificates of the mesh's own trust domain are taken: an identity of another could never ask.
    ///
    /// # Errors
    /// When one is of another.
    pub(crate) fn check_trust_domain(&self, trust_domain: &TrustDomain) -> anyhow::Result<()> {
        let foreign = self.identities().into_iter().flatten().find(|identity| identity.trust_domain() != trust_domain);
        match foreign {
            Some(foreign) => {
                anyhow::bail!(
                    "--admin-identity: `{foreign}` can never ask: only certificates of the trust domain `{trust_domain}` are taken"
                )
            }
            None => Ok(()),
        }
    }

    /// Beyond this machine, and where a certificate is to be shown.
    pub(crate) fn needs_tls(&self, address: SocketAddr) -> bool {
        !address.ip().is_loopback() || self.identities().is_some_and(|identities| !identities.is_empty())
    }

    fn identities(&self) -> Option<&BTreeSet<SpiffeId>> {
        match self {
            Self::Local => None,
            Self::Shown { identities, .. } => Some(identities),
        }
    }

    /// Who asks, where a certificate is why it is answered.
    fn permits(&self, headers: &HeaderMap, shown: Result<SpiffeId, InvalidPeer>) -> Result<Option<SpiffeId>, Refused> {
        match self {
            Self::Local if headers.contains_key(header::ORIGIN) => Err(Refused::forbidden("no web page may ask")),
            Self::Local if !is_local(headers) => Err(Refused::forbidden("ask by address or as `localhost`")),
            Self::Local => Ok(None),
            Self::Shown { token: Some(expected), .. } if has_token(headers, expected) => Ok(None),
            Self::Shown { token, identities } if identities.is_empty() => Err(Refused::unknown(token.is_some(), false, None)),
            Self::Shown { token, identities } => match shown {
                // A browser shows its certificate for every page that asks.
                Ok(_) if headers.contains_key(header::ORIGIN) => Err(Refused::forbidden("no web page may ask")),
                Ok(identity) if identities.contains(&identity) => Ok(Some(identity)),
                Ok(identity) => {
                    let why = format!("`{identity}` may not ask: --admin-identity of the control plane names who may");
                    Err(Refused { identity: Some(identity), ..Refused::forbidden(&why) })
                }
                Err(InvalidPeer::None) => Err(Refused::unknown(token.is_some(), true, None)),
                Err(error) => Err(Refused::unknown(token.is_some(), true, Some(&error))),
            },
        }
    }
}

impl Refused {
    fn forbidden(why: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, why: why.to_owned(), identity: None }
    }

    fn unknown(token: bool, certificate: bool, error: Option<&InvalidPeer>) -> Self {
        let needed: Vec<&str> =
            [(certificate, CERTIFICATE), (token, TOKEN)].into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
        let why = error.map(|error| format!("{error}; ")).unwrap_or_default() + &needed.join("; or ");
        Self { status: StatusCode::UNAUTHORIZED, why, identity: None }
    }
}

/// The hash of the token in a file.
fn token_hash(file: &Path) -> anyhow::Result<[u8; 32]> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = file.display();
    let metadata = std::fs::metadata(file).with_context(|| format!("the admin token `{shown}` cannot be read"))?;
    anyhow::ensure!(metadata.permissions().mode() & 0o077 == 0, "others may read the admin token `{shown}`: `chmod 600` it");
    let text = std::fs::read_to_string(file).with_context(|| format!("the admin token `{shown}` cannot be read"))?;
    let token = text.trim();
    anyhow::ensure!(
        token.len() >= SHORTEST_TOKEN,
        "the admin token `{shown}` has {} bytes, at least {SHORTEST_TOKEN} are needed",
        token.len()
    );
    Ok(hash(token))
}

fn has_token(headers: &HeaderMap, expected: &[u8; 32]) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Of hashes: how long the comparison takes tells nothing of the token.
    shown.is_some_and(|token| hash(token) == *expected)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Named by address: a name may be made to resolve to this machine by anybody.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// The middleware.
pub(super) async fn check(State((access, admin)): State<(Access, Admin)>, request: Request, next: Next) -> Response {
    let certificates = request.extensions().get::<PeerCertificates>().cloned().unwrap_or_default();
    // For each request: the connection may outlive the certificate.
    let shown = certificates.identity(admin.trust.authority.trust_domain(), SystemTime::now());
    let refused = match access.permits(request.headers(), shown) {
        Ok(None) => return next.run(request).await,
        Ok(Some(identity)) => match admin.denials.refuse(ADMIN, &Peer::new(identity, Some(&certificates))) {
            None => return next.run(request).await,
            Some(why) => Refused::forbidden(&why),
        },
        Err(refused) => refused,
    };
    if let Some(identity) = &refused.identity {
        tracing::warn!(%identity, "the admin API answers only those whom --admin-identity names");
    }
    problem(refused.status, &refused.why)
}

#[cfg(test)]
mod tests;

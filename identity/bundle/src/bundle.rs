use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshwright_identity::TrustDomain;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::json;
use crate::root::{self, InvalidRoot};

/// More than any rollover needs; each is tried at each handshake.
const MOST_ROOTS: usize = 32;

/// The roots of one trust domain: at least one, each once, in an order that does not depend on where they came from.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    roots: Vec<CertificateDer<'static>>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

/// Why a text is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    #[error("it is not a SPIFFE bundle: {0}")]
    Json(String),
    #[error("it is not PEM: {0}")]
    Pem(String),
    #[error("section {0} of the PEM is not a certificate")]
    Section(usize),
    #[error("keys[{0}]: a root has exactly one certificate in `x5c`, found {1}")]
    Certificates(usize, usize),
    #[error("keys[{0}]: `x5c` is not base64")]
    Base64(usize),
    #[error("keys[{0}]: it has a private key in it")]
    Private(usize),
    #[error("certificate {0}: {1}")]
    Root(usize, InvalidRoot),
    #[error("it has no root for X.509 certificates")]
    Empty,
    #[error("it has {0} roots, allowed {MOST_ROOTS}")]
    TooMany(usize),
}

impl TrustBundle {
    /// # Errors
    /// [`InvalidBundle`] when there is no root, too many, or one that is not the trust domain's.
    pub fn new(trust_domain: &TrustDomain, roots: Vec<CertificateDer<'static>>) -> Result<Self, InvalidBundle> {
        let mut roots = roots;
        if roots.is_empty() {
            return Err(InvalidBundle::Empty);
        }
        if roots.len() > MOST_ROOTS {
            return Err(InvalidBundle::TooMany(roots.len()));
        }
        for (index, der) in roots.iter().enumerate() {
            root::check(der, trust_domain).map_err(|error| InvalidBundle::Root(index.saturating_add(1), error))?;
        }
        roots.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        roots.dedup();
        Ok(Self { trust_domain: trust_domain.clone(), roots, sequence: None, refresh_hint: None })
    }

    /// PEM certificates, or SPIFFE's JSON, which begins with `{`.
    ///
    /// # Errors
    /// [`InvalidBundle`], as all that makes bundles.
    pub fn parse(trust_domain: &TrustDomain, text: &str) -> Result<Self, InvalidBundle> {
        if text.trim_start().starts_with('{') { Self::from_json(trust_domain, text) } else { Self::from_pem(trust_domain, text) }
    }

    /// # Errors
    /// [`InvalidBundle`]: also for sections that are no certificates.
    pub fn from_pem(trust_domain: &TrustDomain, text: &str) -> Result<Self, InvalidBundle> {
        let mut roots = Vec::new();
        for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).enumerate() {
            match section {
                Ok((SectionKind::Certificate, der)) => roots.push(CertificateDer::from(der)),
                Ok(_) => return Err(InvalidBundle::Section(index.saturating_add(1))),
                Err(error) => return Err(InvalidBundle::Pem(error.to_string())),
            }
        }
        Self::new(trust_domain, roots)
    }

    /// # Errors
    /// [`InvalidBundle`]. Keys for anything but X.509 certificates are passed over, as the specification asks.
    pub fn from_json(trust_domain: &TrustDomain, text: &str) -> Result<Self, InvalidBundle> {
        let json::Read { roots, sequence, refresh_hint } = json::read(text)?;
        Ok(Self { sequence, refresh_hint, ..Self::new(trust_domain, roots)? })
    }

    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// At least one.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// `spiffe_sequence`: grows with each change.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// `spiffe_refresh_hint`: how often to look for another.
    #[must_use]
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    /// Whether the same roots are in both, whatever else is said of them.
    #[must_use]
    pub fn has_roots_of(&self, other: &Self) -> bool {
        self.trust_domain == other.trust_domain && self.roots == other.roots
    }

    #[must_use]
    pub fn numbered(self, sequence: u64, refresh_hint: Duration) -> Self {
        Self { sequence: Some(sequence), refresh_hint: Some(refresh_hint), ..self }
    }

    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut pem = String::new();
        for root in &self.roots {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let text = STANDARD.encode(root);
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
                pem.push_str(line);
                pem.push('\n');
                rest = after;
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// SPIFFE's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self)
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, roots, sequence, refresh_hint } = self;
        let mut shown = f.debug_struct("TrustBundle");
        shown.field("trust_domain", trust_domain).field("roots", &roots.len()).field("sequence", sequence);
        shown.field("refresh_hint", refresh_hint).finish()
    }
}

#[cfg(test)]
mod tests;

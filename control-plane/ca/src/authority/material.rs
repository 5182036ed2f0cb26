//! A certificate and its key as one PEM file, so that no crash can leave one without the other.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::{self, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::IssueError;
use super::profile::Validity;
use crate::private_key::PrivateKey;
use crate::store::{self, StoreError};
use crate::time::from_asn1;

/// Why a stored certificate and key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMaterial {
    #[error("it does not hold exactly one certificate and one private key in PEM")]
    Sections,
    #[error("its certificate cannot be read")]
    Certificate,
    #[error("its private key cannot be read")]
    Key,
    #[error("its private key is not the certificate's")]
    OtherKey,
    #[error("its certificate may not sign certificates")]
    NotAuthority,
    #[error("its certificate does not name one trust domain as `spiffe://<trust domain>`")]
    TrustDomain,
    #[error("it was not signed by this root")]
    OtherRoot,
}

/// An authority's certificate and key.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) trust_domain: TrustDomain,
    pub(super) validity: Validity,
    key: PrivateKey,
}

/// Where material is, and what it says when it is not good.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{source}")]
    Invalid { path: PathBuf, source: InvalidMaterial },
}

impl Material {
    pub(super) fn load(dir: &Path, name: &str) -> Result<Option<Self>, LoadError> {
        let path = dir.join(name);
        let Some(content) = store::read(&path)? else { return Ok(None) };
        Self::parse(&content).map(Some).map_err(|source| LoadError::Invalid { path, source })
    }

    pub(super) fn save(&self, dir: &Path, name: &str) -> Result<(), StoreError> {
        let content = Zeroizing::new(format!("{}{}", to_pem(&self.certificate), self.key.pem()));
        store::write(dir, name, content.as_bytes())
    }

    fn parse(content: &[u8]) -> Result<Self, InvalidMaterial> {
        let (certificate, key) = sections(content)?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| InvalidMaterial::Key)?;
        Self::new(certificate, PrivateKey::new(pair))
    }

    /// Reads back what the certificate says; nothing is believed that is not in it.
    pub(super) fn new(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Self, InvalidMaterial> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| InvalidMaterial::Certificate)?;
        if !rest.is_empty() {
            return Err(InvalidMaterial::Certificate);
        }
        if parsed.public_key().raw != key.pair().subject_public_key_info() {
            return Err(InvalidMaterial::OtherKey);
        }
        let signs = parsed.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err(InvalidMaterial::NotAuthority);
        }
        let uri = crate::peer::single_uri(&parsed).map_err(|_| InvalidMaterial::TrustDomain)?;
        let id = SpiffeId::parse(&uri).map_err(|_| InvalidMaterial::TrustDomain)?;
        if !id.path().is_empty() {
            return Err(InvalidMaterial::TrustDomain);
        }
        let validity = Validity { from: from_asn1(parsed.validity().not_before), until: from_asn1(parsed.validity().not_after) };
        Ok(Self { trust_domain: id.trust_domain().clone(), validity, certificate, key })
    }

    pub(super) fn check_signed_by(&self, issuer: &Self) -> Result<(), InvalidMaterial> {
        let child = crate::peer::parse(&self.certificate).map_err(|_| InvalidMaterial::Certificate)?;
        let parent = crate::peer::parse(&issuer.certificate).map_err(|_| InvalidMaterial::Certificate)?;
        let named = child.issuer().as_raw() == parent.subject().as_raw();
        if !named || child.verify_signature(Some(parent.public_key())).is_err() || self.trust_domain != issuer.trust_domain {
            return Err(InvalidMaterial::OtherRoot);
        }
        Ok(())
    }

    pub(super) fn valid_at(&self, now: SystemTime) -> bool {
        self.validity.from <= now && now <= self.validity.until
    }

    pub(super) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, IssueError> {
        Ok(Issuer::from_ca_cert_der(&self.certificate, self.key.pair())?)
    }
}

fn sections(content: &[u8]) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), InvalidMaterial> {
    let (mut certificate, mut key) = (None, None);
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(content) {
        let (kind, der) = section.map_err(|_: pem::Error| InvalidMaterial::Sections)?;
        let seen_before = match kind {
            SectionKind::Certificate => certificate.replace(CertificateDer::from(der)).is_some(),
            SectionKind::PrivateKey => key.replace(PrivatePkcs8KeyDer::from(der)).is_some(),
            SectionKind::PublicKey
            | SectionKind::RsaPrivateKey
            | SectionKind::EcPrivateKey
            | SectionKind::Crl
            | SectionKind::Csr
            | SectionKind::EchConfigList
            | _ => true,
        };
        if seen_before {
            return Err(InvalidMaterial::Sections);
        }
    }
    certificate.zip(key).ok_or(InvalidMaterial::Sections)
}

pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    for (at, character) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

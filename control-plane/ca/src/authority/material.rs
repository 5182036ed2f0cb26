//! A certificate and its key as one PEM file, so that no crash can leave one without the other.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::IssueError;
use super::profile::Validity;
use crate::fingerprint::Fingerprint;
use crate::passphrase::Passphrase;
use crate::private_key::PrivateKey;
use crate::store::{self, StoreError};
use crate::time::from_asn1;

/// Why a certificate and key of an authority cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMaterial {
    #[error("it does not hold certificates and one private key in PEM")]
    Sections,
    #[error("its certificate cannot be read")]
    Certificate,
    #[error("its private key cannot be read")]
    Key,
    #[error("its private key is not PKCS #8; convert it with `openssl pkcs8 -topk8`")]
    NotPkcs8,
    #[error("its private key is encrypted and no passphrase is given")]
    Encrypted,
    #[error("its private key cannot be decrypted: this is not its passphrase")]
    Passphrase,
    #[error("its private key is not the certificate's")]
    OtherKey,
    #[error("its certificate may not sign certificates")]
    NotAuthority,
    #[error("its certificate does not name one trust domain as `spiffe://<trust domain>`")]
    TrustDomain,
    #[error("it was not signed by this root")]
    OtherRoot,
    #[error("what it signs is not accepted: {0}")]
    Chain(String),
}

/// An authority's certificate and, unless that is kept elsewhere, its key.
#[derive(Debug)]
pub(crate) struct Material {
    pub(super) certificate: CertificateDer<'static>,
    /// Between the certificate and the root, when there is something between.
    pub(super) parents: Vec<CertificateDer<'static>>,
    /// A plugged-in authority may not name one.
    pub(super) trust_domain: Option<TrustDomain>,
    pub(super) validity: Validity,
    key: Option<PrivateKey>,
    /// As it was read: to see that it is not encrypted although it should be.
    pub(super) encrypted: bool,
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
    pub(super) fn load(dir: &Path, name: &str, passphrase: Option<&Passphrase>) -> Result<Option<Self>, LoadError> {
        let path = dir.join(name);
        let Some(content) = store::read(&path)? else { return Ok(None) };
        Self::parse(&content, passphrase).map(Some).map_err(|source| LoadError::Invalid { path, source })
    }

    pub(super) fn save(&self, dir: &Path, name: &str, passphrase: Option<&Passphrase>) -> Result<(), StoreError> {
        let mut content = Zeroizing::new(String::with_capacity(16 * 1024));
        std::iter::once(&self.certificate).chain(&self.parents).for_each(|certificate| content.push_str(&to_pem(certificate)));
        match (&self.key, passphrase) {
            (Some(key), Some(passphrase)) => content.push_str(&passphrase.encrypt(key.pair().serialized_der()).ok_or(StoreError::Random)?),
            (Some(key), None) => content.push_str(key.pem()),
            (None, _) => {}
        }
        store::write(dir, name, content.as_bytes())
    }

    pub(crate) fn parse(content: &[u8], passphrase: Option<&Passphrase>) -> Result<Self, InvalidMaterial> {
        let (mut certificates, key, encrypted) = sections(content, passphrase)?;
        if certificates.is_empty() {
            return Err(InvalidMaterial::Sections);
        }
        let certificate = certificates.remove(0);
        Ok(Self { parents: certificates, encrypted, ..Self::of(certificate, key)? })
    }

    pub(super) fn new(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Self, InvalidMaterial> {
        Self::of(certificate, Some(key))
    }

    /// Reads back what the certificate says; nothing is believed that is not in it.
    fn of(certificate: CertificateDer<'static>, key: Option<PrivateKey>) -> Result<Self, InvalidMaterial> {
        let parsed = crate::peer::parse(&certificate).map_err(|_| InvalidMaterial::Certificate)?;
        if key.as_ref().is_some_and(|key| parsed.public_key().raw != key.pair().subject_public_key_info()) {
            return Err(InvalidMaterial::OtherKey);
        }
        let signs = parsed.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err(InvalidMaterial::NotAuthority);
        }
        let trust_domain = trust_domain(&parsed)?;
        let validity = Validity { from: from_asn1(parsed.validity().not_before), until: from_asn1(parsed.validity().not_after) };
        Ok(Self { trust_domain, validity, certificate, parents: Vec::new(), key, encrypted: false })
    }

    pub(super) fn with_key_of(self, other: Self) -> Self {
        Self { key: self.key.or(other.key), ..self }
    }

    /// That each certificate up to `root` signed the one before.
    pub(super) fn check_signed_by(&self, root: &Self) -> Result<(), InvalidMaterial> {
        let chain: Vec<_> = std::iter::once(&self.certificate).chain(&self.parents).chain([&root.certificate]).collect();
        for (child, parent) in chain.iter().zip(chain.iter().skip(1)) {
            let child = crate::peer::parse(child).map_err(|_| InvalidMaterial::Certificate)?;
            let parent = crate::peer::parse(parent).map_err(|_| InvalidMaterial::Certificate)?;
            let named = child.issuer().as_raw() == parent.subject().as_raw();
            if !named || child.verify_signature(Some(parent.public_key())).is_err() {
                return Err(InvalidMaterial::OtherRoot);
            }
        }
        match (&self.trust_domain, &root.trust_domain) {
            (Some(own), Some(roots)) if own != roots => Err(InvalidMaterial::OtherRoot),
            _ => Ok(()),
        }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn valid_at(&self, now: SystemTime) -> bool {
        self.validity.from <= now && now <= self.validity.until
    }

    pub(super) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, IssueError> {
        let key = self.key.as_ref().ok_or(IssueError::NoRootKey)?;
        Ok(Issuer::from_ca_cert_der(&self.certificate, key.pair())?)
    }
}

/// X509-SVID section 3.2: an authority's SPIFFE ID has no path. A plugged-in one may have none at all, but not two.
fn trust_domain(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Result<Option<TrustDomain>, InvalidMaterial> {
    let uri = match crate::peer::single_uri(certificate) {
        Ok(uri) => uri,
        Err(crate::peer::InvalidPeer::Uris(0)) => return Ok(None),
        Err(_) => return Err(InvalidMaterial::TrustDomain),
    };
    let id = SpiffeId::parse(&uri).map_err(|_| InvalidMaterial::TrustDomain)?;
    if id.path().is_empty() { Ok(Some(id.trust_domain().clone())) } else { Err(InvalidMaterial::TrustDomain) }
}

type Sections = (Vec<CertificateDer<'static>>, Option<PrivateKey>, bool);

fn sections(content: &[u8], passphrase: Option<&Passphrase>) -> Result<Sections, InvalidMaterial> {
    let (mut certificates, mut key, mut encrypted) = (Vec::new(), None, false);
    let read = pem::parse_many(content).map_err(|_| InvalidMaterial::Sections)?;
    // A section that is cut short is not among them, and a key that is missing by that is not one that is kept elsewhere.
    if String::from_utf8_lossy(content).matches("-----BEGIN ").count() != read.len() {
        return Err(InvalidMaterial::Sections);
    }
    for section in read {
        let tag = section.tag().to_owned();
        let der = Zeroizing::new(section.into_contents());
        let read = match tag.as_str() {
            "CERTIFICATE" => {
                certificates.push(CertificateDer::from(der.to_vec()));
                continue;
            }
            "PRIVATE KEY" => PrivateKey::from_pkcs8(&der),
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return Err(InvalidMaterial::NotPkcs8),
            "ENCRYPTED PRIVATE KEY" => {
                encrypted = true;
                let passphrase = passphrase.ok_or(InvalidMaterial::Encrypted)?;
                PrivateKey::from_pkcs8(&passphrase.decrypt(&der).ok_or(InvalidMaterial::Passphrase)?)
            }
            _ => return Err(InvalidMaterial::Sections),
        };
        if key.replace(read.map_err(|_| InvalidMaterial::Key)?).is_some() {
            return Err(InvalidMaterial::Sections);
        }
    }
    Ok((certificates, key, encrypted))
}

/// The first certificate alone, without touching the key.
pub(super) fn certificate(content: &[u8]) -> Result<CertificateDer<'static>, InvalidMaterial> {
    let sections = pem::parse_many(content).map_err(|_| InvalidMaterial::Sections)?;
    let first = sections.into_iter().find(|section| section.tag() == "CERTIFICATE").ok_or(InvalidMaterial::Sections)?;
    Ok(CertificateDer::from(first.into_contents()))
}

pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate.as_ref()), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

//! A Secret: the certificate and key that a gateway shows, the roots that it verifies clients against, or both. The key never appears in debug
//! output.

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::SignatureAlgorithm;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

mod validity;

use self::validity::Validity;
pub use self::validity::certificate_alarms;
use crate::key::DocumentKey;
use crate::reader::Reader;

/// What a Secret holds; at least one of the two.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    key: DocumentKey,
    certificate: Option<Certificate>,
    roots: Option<String>,
    /// Of every certificate in it, the leaf first.
    validities: Vec<Validity>,
}

/// A certificate chain and the private key of its first certificate, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    chain: String,
    private_key: String,
}

impl Certificate {
    /// PEM, the leaf first.
    #[must_use]
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// PEM. Secret: never print it.
    #[must_use]
    pub fn private_key(&self) -> &str {
        &self.private_key
    }
}

impl Credential {
    #[must_use]
    pub fn key(&self) -> &DocumentKey {
        &self.key
    }

    /// None where it holds roots alone.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// PEM: whom clients' certificates must be from.
    #[must_use]
    pub fn roots(&self) -> Option<&str> {
        self.roots.as_deref()
    }

    /// The field, and why no client would take what it holds at `now`.
    pub(crate) fn untimely(&self, now: OffsetDateTime) -> Option<(&str, String)> {
        let leaf = self.validities.first().filter(|_| self.certificate.is_some())?;
        Some((leaf.field(), leaf.ended(now).or_else(|| leaf.begins(now))?))
    }

    /// Fields, and what in them ends soon at `now`, or has ended and is not the certificate that is shown itself.
    pub(crate) fn ending(&self, now: OffsetDateTime) -> impl Iterator<Item = (&str, String)> {
        let leaf = usize::from(self.certificate.is_some());
        let ended = self.validities.iter().skip(leaf).filter_map(move |one| Some((one.field(), one.ended(now)?)));
        ended.chain(self.validities.iter().filter_map(move |one| Some((one.field(), one.ends_soon(now)?))))
    }

    /// When the first of its certificates ends.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.validities.iter().map(|one| one.not_after().into()).min()
    }

    pub(crate) fn read(root: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let word = root.get("type").required().and_then(|field| field.text())?;
        let [of_kubernetes, of_istio] = [["tls.crt", "tls.key", "ca.crt"], ["cert", "key", "cacert"]];
        let has = |name: &&str| ["data", "stringData"].iter().any(|map| root.get(map).get(name).is_present());
        let is_istio = word == "Opaque" && of_istio.iter().any(&has);
        if let (true, Some(name)) = (is_istio, of_kubernetes.iter().find(|name| has(name))) {
            root.get("data")
                .fail(format!("has `{name}` and Istio's names: either `tls.crt`, `tls.key`, `ca.crt` or `cert`, `key`, `cacert`"));
        }
        let [chain, private, roots] = if is_istio { of_istio } else { of_kubernetes };
        let roots_alone = word == "Opaque" && has(&roots) && !has(&chain) && !has(&private);
        let mut validities = Vec::new();
        let certificate = if roots_alone { None } else { Some(read_certificate(root, chain, private, &mut validities)?) };
        // cert-manager writes an empty one where it knows of none.
        let roots = if has(&roots) { entry(root, roots).filter(|(_, pem)| roots_alone || !pem.trim().is_empty()) } else { None };
        let roots = roots.and_then(|(field, pem)| {
            let found = checked_chain(&field, &pem)?;
            validities.extend(validity::of(&found, field.path(), "root certificate"));
            Some(pem)
        });
        if roots_alone && roots.is_none() {
            return None;
        }
        Some(Self { key, certificate, roots, validities })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("key", &self.key).field("certificate", &self.certificate).field("roots", &self.roots).finish()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).field("private_key", &"redacted").finish_non_exhaustive()
    }
}

fn read_certificate(root: &Reader<'_>, chain: &str, private: &str, validities: &mut Vec<Validity>) -> Option<Certificate> {
    let (chain, private) = (entry(root, chain), entry(root, private));
    let certificates = chain.as_ref().and_then(|(field, pem)| checked_chain(field, pem));
    let public = private.as_ref().and_then(|(field, pem)| public_key(field, pem));
    let ((field, chain), (private_field, private_key)) = (chain?, private?);
    let certificates = certificates?;
    let (_, parsed) = X509Certificate::from_der(certificates.first()?).ok()?;
    let public = public?;
    if parsed.tbs_certificate.subject_pki.raw != public {
        private_field.fail("is not the key of the first certificate of the chain");
    }
    validities.extend(validity::of(&certificates, field.path(), "certificate"));
    Some(Certificate { chain, private_key })
}

/// `stringData` wins over `data`, as in Kubernetes. No message repeats a value.
fn entry<'a>(root: &Reader<'a>, name: &str) -> Option<(Reader<'a>, String)> {
    let plain = root.get("stringData").get(name);
    if plain.is_present() {
        let text = plain.text()?;
        return Some((plain, text));
    }
    let field = root.get("data").get(name).required()?;
    let encoded: String = field.text()?.split_ascii_whitespace().collect();
    let text = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if text.is_none() {
        field.fail("is not PEM in base64; unencoded PEM belongs under `stringData`");
    }
    text.map(|text| (field, text))
}

/// The certificates, when all are right.
fn checked_chain(field: &Reader<'_>, pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = certificates.ok().filter(|chain| !chain.is_empty());
    let Some(chain) = chain else {
        field.fail("holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)");
        return None;
    };
    if let Some(index) = chain.iter().position(|der| X509Certificate::from_der(der).is_err()) {
        field.fail(format!("certificate {} of the chain is not X.509", index.saturating_add(1)));
        return None;
    }
    Some(chain)
}

/// Of the private key, as DER.
fn public_key(field: &Reader<'_>, pem: &str) -> Option<Vec<u8>> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else {
        field.fail("holds no PEM private key (`-----BEGIN PRIVATE KEY-----`)");
        return None;
    };
    let key = rustls::crypto::ring::sign::any_supported_type(&key).ok();
    let key = key.filter(|key| matches!(key.algorithm(), SignatureAlgorithm::RSA | SignatureAlgorithm::ECDSA));
    let public = key.and_then(|key| Some(key.public_key()?.as_ref().to_vec()));
    if public.is_none() {
        field.fail("is no key that gateways can use: RSA of at least 2048 bits, ECDSA P-256 or ECDSA P-384");
    }
    public
}

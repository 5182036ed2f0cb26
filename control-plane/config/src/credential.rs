//! A Secret of type `kubernetes.io/tls`: the certificate and key that a gateway shows. The key never appears in debug output.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::key::DocumentKey;
use crate::reader::Reader;

/// A certificate chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    key: DocumentKey,
    certificate_chain: String,
    private_key: String,
}

impl Credential {
    #[must_use]
    pub fn key(&self) -> &DocumentKey {
        &self.key
    }

    /// PEM, the leaf first.
    #[must_use]
    pub fn certificate_chain(&self) -> &str {
        &self.certificate_chain
    }

    /// PEM. Secret: never print it.
    #[must_use]
    pub fn private_key(&self) -> &str {
        &self.private_key
    }

    pub(crate) fn read(root: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        root.get("type").required();
        let certificate_chain = entry(root, "tls.crt").and_then(|(field, pem)| check_chain(&field, pem));
        let private_key = entry(root, "tls.key").and_then(|(field, pem)| check_key(&field, pem));
        Some(Self { key, certificate_chain: certificate_chain?, private_key: private_key? })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("key", &self.key)
            .field("certificate_chain", &self.certificate_chain)
            .field("private_key", &"redacted")
            .finish()
    }
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

fn check_chain(field: &Reader<'_>, pem: String) -> Option<String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(chain) if !chain.is_empty() => {
            if let Some(index) = chain.iter().position(|der| X509Certificate::from_der(der).is_err()) {
                field.fail(format!("certificate {} of the chain is not X.509", index.saturating_add(1)));
            }
        }
        Ok(_) | Err(_) => field.fail("holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)"),
    }
    Some(pem)
}

fn check_key(field: &Reader<'_>, pem: String) -> Option<String> {
    if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_err() {
        field.fail("holds no PEM private key (`-----BEGIN PRIVATE KEY-----`)");
    }
    Some(pem)
}

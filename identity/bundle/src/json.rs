//! SPIFFE's form of a bundle: a JWK set (RFC 7517) with a sequence and a refresh hint.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::bundle::{InvalidBundle, TrustBundle};
use crate::root;

/// What sets of keys for X.509 certificates say their use is.
const X509: &str = "x509-svid";

/// Members that are not named are for others (RFC 7517 section 5).
#[derive(Deserialize)]
struct Wire {
    keys: Vec<WireKey>,
    spiffe_sequence: Option<u64>,
    spiffe_refresh_hint: Option<u64>,
}

#[derive(Deserialize)]
struct WireKey {
    #[serde(rename = "kty")]
    _type: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    x5c: Option<Vec<String>>,
    /// The private part of every asymmetric key.
    d: Option<IgnoredAny>,
}

pub(crate) struct Read {
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) sequence: Option<u64>,
    pub(crate) refresh_hint: Option<Duration>,
}

pub(crate) fn read(text: &str) -> Result<Read, InvalidBundle> {
    let Wire { keys, spiffe_sequence, spiffe_refresh_hint } =
        serde_json::from_str(text).map_err(|error| InvalidBundle::Json(error.to_string()))?;
    let mut roots = Vec::new();
    for (index, WireKey { _type, usage, x5c, d }) in keys.into_iter().enumerate() {
        if d.is_some() {
            return Err(InvalidBundle::Private(index));
        }
        // "Clients encountering an unknown use value MUST ignore the element" (section 4.2.2).
        if usage.as_deref() != Some(X509) {
            continue;
        }
        let certificates = x5c.unwrap_or_default();
        let [certificate] = certificates.as_slice() else { return Err(InvalidBundle::Certificates(index, certificates.len())) };
        let der = STANDARD.decode(certificate).map_err(|_| InvalidBundle::Base64(index))?;
        roots.push(CertificateDer::from(der));
    }
    Ok(Read { roots, sequence: spiffe_sequence, refresh_hint: spiffe_refresh_hint.map(Duration::from_secs) })
}

pub(crate) fn write(bundle: &TrustBundle) -> String {
    // Each was turned into one when it was checked.
    let keys: Vec<Value> = bundle.roots().iter().filter_map(|root| root::jwk(root).ok()).collect();
    let mut set = serde_json::Map::from_iter([("keys".to_owned(), Value::Array(keys))]);
    if let Some(sequence) = bundle.sequence() {
        set.insert("spiffe_sequence".to_owned(), json!(sequence));
    }
    if let Some(hint) = bundle.refresh_hint() {
        set.insert("spiffe_refresh_hint".to_owned(), json!(hint.as_secs()));
    }
    Value::Object(set).to_string()
}

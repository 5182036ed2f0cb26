//! JSON Web Key Sets (RFC 7517, 7518, 8037): the public keys of an issuer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Encode as _;
use der::asn1::{BitStringRef, UintRef};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::crypto::Algorithm;
use super::curve;
use super::object::{Value, Values};
use super::strict_json;

const MOST_KEYS: usize = 100;
const LARGEST: usize = 256 * 1024;
/// RFC 7518 section 3.3: "a key of size 2048 bits or larger MUST be used".
const SHORTEST_RSA: usize = 2048 / 8;
/// Verifying with a longer one costs more than any caller should be able to ask for; the software verifier takes none.
const LONGEST_RSA: usize = 4096 / 8;
/// 2 to the power of 33, less one: what the software verifier takes, and more than anybody uses.
const LARGEST_EXPONENT: u64 = (1 << 33) - 1;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// One public key, in the forms that verifiers want.
#[derive(Clone)]
pub struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    spki_der: Vec<u8>,
    material: KeyMaterial,
}

/// What a key is made of, for who checks signatures without a library that reads DER.
#[derive(Clone)]
pub(super) enum KeyMaterial {
    /// Modulus and exponent.
    Rsa((Vec<u8>, Vec<u8>)),
    /// Points, not compressed (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519([u8; 32]),
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl PublicKey {
    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it may verify: its `alg`, or all that its type allows. Never an HMAC: a public key is no secret.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The key as a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    pub(super) fn material(&self) -> &KeyMaterial {
        &self.material
    }
}

/// The key set of an issuer whose keys have not been fetched yet: every token is refused.
pub const NO_KEYS: &str = r#"{"keys":[]}"#;

/// Why text is no key set, or not one to rely on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJwks(String);

/// The keys of a set that can verify signatures; there is at least one.
///
/// # Errors
/// [`InvalidJwks`]: also for one bad key among good ones.
pub fn parse_jwks(text: &str) -> Result<Vec<PublicKey>, InvalidJwks> {
    parse(text).map_err(InvalidJwks)
}

/// As [`parse`], but a set without any key is one too: it verifies nothing.
pub(super) fn parse_or_none(text: &str) -> Result<Vec<PublicKey>, String> {
    if text == NO_KEYS { Ok(Vec::new()) } else { parse(text) }
}

/// The keys that can verify signatures; there is at least one. Keys of other types and for other uses are left out (RFC 7517 section 5).
#[inline(never)]
pub(super) fn parse(text: &str) -> Result<Vec<PublicKey>, String> {
    if text.len() > LARGEST {
        return Err(format!("found {} bytes; a JSON Web Key Set of at most {LARGEST} is allowed", text.len()));
    }
    let set = strict_json::object(text.trim().as_bytes().to_vec());
    let set = set.ok_or("found no JSON object; a JSON Web Key Set, `{\"keys\": […]}`, is allowed")?;
    let keys = set.get("keys").and_then(Value::as_list);
    let keys = keys.ok_or("found no list `keys`; a JSON Web Key Set, `{\"keys\": […]}`, is allowed")?;
    let count = keys.iter().count();
    if count > MOST_KEYS {
        return Err(format!("found {count} keys; at most {MOST_KEYS} are allowed"));
    }
    let mut parsed = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let key = key.as_object().ok_or_else(|| format!("keys[{index}]: found no object; a JSON Web Key is allowed"))?;
        parsed.extend(parse_key(key).map_err(|error| format!("keys[{index}]: {error}"))?);
    }
    if parsed.is_empty() {
        return Err("found no key that verifies signatures; RSA, EC (P-256, P-384, P-521) and OKP (Ed25519) keys are allowed".to_owned());
    }
    Ok(parsed)
}

#[inline(never)]
fn parse_key(key: Values<'_>) -> Result<Option<PublicKey>, String> {
    let text = |name: &str| text(key, name);
    if ["d", "p", "q", "k"].iter().any(|private| key.get(private).is_some()) && text("kty")? != Some("oct") {
        return Err("found a private key; only the public half is allowed".to_owned());
    }
    let is_for_verifying = match key.get("key_ops") {
        None => true,
        Some(Value::List(operations)) => operations.iter().any(|operation| operation.as_str() == Some("verify")),
        Some(_) => return Err("`key_ops` is not a list".to_owned()),
    };
    if !is_for_verifying || text("use")?.is_some_and(|usage| usage != "sig") {
        return Ok(None);
    }
    let id = text("kid")?.map(str::to_owned);
    let bytes = |name: &str| bytes(key, name);
    let (allowed, spki_der, material) = match (text("kty")?, text("crv")?) {
        (Some("RSA"), _) => rsa_key(bytes("n")?, bytes("e")?)?,
        (Some("EC"), Some("P-256")) => ec_key(P256, &bytes("x")?, &bytes("y")?)?,
        (Some("EC"), Some("P-384")) => ec_key(P384, &bytes("x")?, &bytes("y")?)?,
        (Some("EC"), Some("P-521")) => ec_key(P521, &bytes("x")?, &bytes("y")?)?,
        (Some("OKP"), Some("Ed25519")) => ed_key(&bytes("x")?)?,
        (Some(_), _) => return Ok(None),
        (None, _) => return Err("`kty` is missing".to_owned()),
    };
    let algorithms = match text("alg")? {
        None => allowed,
        Some(name) => match Algorithm::parse(name).filter(|algorithm| allowed.contains(algorithm)) {
            Some(algorithm) => vec![algorithm],
            None => return Ok(None),
        },
    };
    Ok(Some(PublicKey { id, algorithms, spki_der, material }))
}

#[inline(never)]
fn text<'k>(key: Values<'k>, name: &str) -> Result<Option<&'k str>, String> {
    match key.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

#[inline(never)]
fn bytes(key: Values<'_>, name: &str) -> Result<Vec<u8>, String> {
    let text = text(key, name)?.ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url without padding (RFC 7515 section 2)"))
}

/// What a key may verify, and what it is.
type Parts = (Vec<Algorithm>, Vec<u8>, KeyMaterial);

#[inline(never)]
fn rsa_key(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Parts, String> {
    Ok((Algorithm::RSA.to_vec(), rsa_spki(&modulus, &exponent)?, KeyMaterial::Rsa((modulus, exponent))))
}

#[inline(never)]
fn ec_key(curve: ObjectIdentifier, x: &[u8], y: &[u8]) -> Result<Parts, String> {
    let (size, algorithm, material): (_, _, fn(Vec<u8>) -> KeyMaterial) = match curve {
        P384 => (48, Algorithm::Es384, KeyMaterial::P384),
        P521 => (66, Algorithm::Es512, KeyMaterial::P521),
        _ => (32, Algorithm::Es256, KeyMaterial::P256),
    };
    let point = point(curve, size, x, y)?;
    Ok((vec![algorithm], ec_spki(curve, &point)?, material(point)))
}

#[inline(never)]
fn ed_key(x: &[u8]) -> Result<Parts, String> {
    let key = x.try_into().map_err(|_| format!("found an Ed25519 key of {} bytes; 32 are allowed (RFC 8037 section 2)", x.len()))?;
    Ok((vec![Algorithm::EdDsa], spki(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, x)?, KeyMaterial::Ed25519(key)))
}

#[inline(never)]
fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, String> {
    let size = modulus.iter().skip_while(|byte| **byte == 0).count();
    if !(SHORTEST_RSA..=LONGEST_RSA).contains(&size) {
        return Err(format!("found an RSA key of {} bits; 2048 to 4096 are allowed", size.saturating_mul(8)));
    }
    let number = exponent.iter().try_fold(0_u64, |number, byte| number.checked_mul(256)?.checked_add(u64::from(*byte)));
    // With the exponent 1 everybody could sign; an even number is no key's.
    let is_exponent = number.is_some_and(|number| (3..=LARGEST_EXPONENT).contains(&number) && number % 2 == 1);
    if !is_exponent || modulus.last().is_none_or(|last| last % 2 == 0) {
        return Err("found an RSA key whose `n` or `e` is none; an odd modulus and an odd exponent from 3 are allowed".to_owned());
    }
    let integer = |bytes| UintRef::new(bytes).map_err(|error| error.to_string());
    let key = pkcs1::RsaPublicKey { modulus: integer(modulus)?, public_exponent: integer(exponent)? };
    let body = key.to_der().map_err(|error| error.to_string())?;
    // "The parameters field MUST have ASN.1 type NULL" (RFC 3279 section 2.3.1).
    spki(AlgorithmIdentifierRef { oid: RSA, parameters: Some(der::asn1::AnyRef::NULL) }, &body)
}

/// A point of the curve, not compressed (SEC 1 section 2.3.3).
#[inline(never)]
fn point(curve: ObjectIdentifier, size: usize, x: &[u8], y: &[u8]) -> Result<Vec<u8>, String> {
    if x.len() != size || y.len() != size {
        return Err(format!("found coordinates of {} and {} bytes; {size} each are allowed (RFC 7518 section 6.2.1)", x.len(), y.len()));
    }
    let point = [&[4], x, y].concat();
    let is_on_curve = match curve {
        P384 => curve::P384.has(x, y),
        P521 => curve::P521.has(x, y),
        _ => curve::P256.has(x, y),
    };
    if is_on_curve { Ok(point) } else { Err("found coordinates that are no point of the curve".to_owned()) }
}

#[inline(never)]
fn ec_spki(curve: ObjectIdentifier, point: &[u8]) -> Result<Vec<u8>, String> {
    spki(AlgorithmIdentifierRef { oid: EC, parameters: Some((&curve).into()) }, point)
}

#[inline(never)]
fn spki(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Result<Vec<u8>, String> {
    let subject_public_key = BitStringRef::from_bytes(key).map_err(|error| error.to_string())?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().map_err(|error| error.to_string())
}

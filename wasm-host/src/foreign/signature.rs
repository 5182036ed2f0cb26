//! `verify_signature`: RSA (PKCS #1 v1.5) and ECDSA (DER signatures, P-256, P-384 and P-521), as Envoy's does. SHA-224, which Envoy's library also
//! has, is answered like a hash that does not exist.

use p521::ecdsa::signature::Verifier as _;
use prost::Message;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::abi::Status;

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`
#[derive(Clone, PartialEq, Message)]
struct VerifySignatureArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
    #[prost(string, tag = "5")]
    public_key_pem: String,
}

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`
#[derive(Clone, PartialEq, Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// A signature that does not verify is an answer, not a failure: only arguments that cannot be read, or with no key or two, are.
pub(crate) fn verify_signature(argument: &[u8]) -> Result<Vec<u8>, Status> {
    let VerifySignatureArguments { hash_function, public_key, signature, text, public_key_pem } =
        VerifySignatureArguments::decode(argument).map_err(|_| Status::BadArgument)?;
    let key = match (public_key.is_empty(), public_key_pem.is_empty()) {
        (false, true) => Some(public_key),
        (true, false) => Pem::iter_from_buffer(public_key_pem.as_bytes()).next().and_then(Result::ok).map(|pem| pem.contents),
        _ => return Err(Status::BadArgument),
    };
    let error = match Hash::by_name(&hash_function) {
        None => format!("{hash_function} is not supported."),
        Some(hash) if key.is_some_and(|key| verifies(hash, &key, &text, &signature)) => String::new(),
        Some(_) => "Failed to verify digest.".to_owned(),
    };
    Ok(VerifySignatureResult { result: error.is_empty(), error }.encode_to_vec())
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }
}

/// `key` is a SubjectPublicKeyInfo in DER.
fn verifies(hash: Hash, key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let Ok((_, key)) = SubjectPublicKeyInfo::from_der(key) else {
        return false;
    };
    let public_key = key.subject_public_key.data.as_ref();
    match curve(&key) {
        // What checks the others has none for this curve.
        Some(curve) if curve == OID_NIST_EC_P521 => matches!(hash, Hash::Sha512) && verifies_p521(public_key, text, signature),
        _ => algorithm(hash, &key).is_some_and(|algorithm| UnparsedPublicKey::new(algorithm, public_key).verify(text, signature).is_ok()),
    }
}

fn verifies_p521(public_key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let (key, signature) = (p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key), p521::ecdsa::Signature::from_der(signature));
    key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(text, &signature).is_ok()))
}

/// Of an elliptic curve's key.
fn curve<'a>(key: &'a SubjectPublicKeyInfo<'_>) -> Option<Oid<'a>> {
    let is_ec = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY;
    is_ec.then(|| key.algorithm.parameters.as_ref()?.as_oid().ok()).flatten()
}

fn algorithm(hash: Hash, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let kind = &key.algorithm.algorithm;
    if *kind == OID_PKCS1_RSAENCRYPTION {
        return Some(match hash {
            Hash::Sha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        });
    }
    let curve = curve(key)?;
    match hash {
        Hash::Sha256 if curve == OID_EC_P256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
        Hash::Sha384 if curve == OID_EC_P256 => Some(&signature::ECDSA_P256_SHA384_ASN1),
        Hash::Sha256 if curve == OID_NIST_EC_P384 => Some(&signature::ECDSA_P384_SHA256_ASN1),
        Hash::Sha384 if curve == OID_NIST_EC_P384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
        Hash::Sha1 | Hash::Sha256 | Hash::Sha384 | Hash::Sha512 => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData, SigningKey};

    use super::*;

    fn verify(arguments: VerifySignatureArguments) -> VerifySignatureResult {
        VerifySignatureResult::decode(verify_signature(&arguments.encode_to_vec()).unwrap().as_slice()).unwrap()
    }

    #[test]
    fn ecdsa_with_der_signatures_on_both_curves_and_both_forms_of_key() {
        for (algorithm, hash) in [(&rcgen::PKCS_ECDSA_P256_SHA256, "SHA256"), (&rcgen::PKCS_ECDSA_P384_SHA384, "sha384")] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let good = VerifySignatureArguments {
                hash_function: hash.to_owned(),
                public_key: key.subject_public_key_info(),
                signature: key.sign(b"text").unwrap(),
                text: b"text".to_vec(),
                public_key_pem: String::new(),
            };
            assert!(verify(good.clone()).result);
            let pem = VerifySignatureArguments { public_key: Vec::new(), public_key_pem: key.public_key_pem(), ..good.clone() };
            assert!(verify(pem.clone()).result);
            assert!(!verify(VerifySignatureArguments { text: b"test".to_vec(), ..good.clone() }).result);
            assert!(!verify(VerifySignatureArguments { hash_function: "md5".to_owned(), ..good.clone() }).result);
            assert!(!verify(VerifySignatureArguments { public_key: vec![1, 2], ..good.clone() }).result);
            let both = VerifySignatureArguments { public_key_pem: pem.public_key_pem, ..good.clone() };
            let neither = VerifySignatureArguments { public_key: Vec::new(), ..good };
            assert_eq!(verify_signature(&both.encode_to_vec()), Err(Status::BadArgument));
            assert_eq!(verify_signature(&neither.encode_to_vec()), Err(Status::BadArgument));
        }
        assert_eq!(verify_signature(&[0xff]), Err(Status::BadArgument));
    }

    #[test]
    fn p521_with_its_own_hash() {
        use p521::ecdsa::signature::Signer as _;
        use p521::pkcs8::EncodePublicKey as _;

        let mut secret = [7; 66];
        secret[0] = 0;
        let key = p521::ecdsa::SigningKey::from_slice(&secret).unwrap();
        let signature: p521::ecdsa::Signature = key.sign(b"text");
        let good = VerifySignatureArguments {
            hash_function: "sha512".to_owned(),
            public_key: p521::PublicKey::from_sec1_bytes(p521::ecdsa::VerifyingKey::from(&key).to_encoded_point(false).as_bytes())
                .unwrap()
                .to_public_key_der()
                .unwrap()
                .into_vec(),
            signature: signature.to_der().as_bytes().to_vec(),
            text: b"text".to_vec(),
            public_key_pem: String::new(),
        };
        assert!(verify(good.clone()).result);
        assert!(!verify(VerifySignatureArguments { text: b"test".to_vec(), ..good.clone() }).result);
        assert!(!verify(VerifySignatureArguments { hash_function: "sha256".to_owned(), ..good.clone() }).result);
        assert!(!verify(VerifySignatureArguments { signature: signature.to_bytes().to_vec(), ..good }).result);
    }

    #[test]
    fn ed25519_is_not_supported() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let arguments = VerifySignatureArguments {
            hash_function: "sha512".to_owned(),
            public_key: key.subject_public_key_info(),
            signature: key.sign(b"text").unwrap(),
            text: b"text".to_vec(),
            public_key_pem: String::new(),
        };
        assert!(!verify(arguments).result);
    }
}

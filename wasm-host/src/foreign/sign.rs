//! `sign`: RSA (PKCS #1 v1.5) and ECDSA (DER signatures) with keys in PKCS #8. SHA-1 and SHA-224, with which Envoy's library also signs, are
//! answered like a hash that does not exist.

use prost::Message;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, RsaEncoding, RsaKeyPair};
use x509_parser::pem::Pem;

use crate::abi::Status;

/// `envoy.source.extensions.common.wasm.SignArguments`
#[derive(Clone, PartialEq, Message)]
struct SignArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
    #[prost(string, tag = "4")]
    private_key_pem: String,
}

/// `envoy.source.extensions.common.wasm.SignResult`
#[derive(Clone, PartialEq, Message)]
struct SignResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
    #[prost(string, tag = "3")]
    error: String,
}

/// What cannot be signed is an answer, not a failure: only arguments that cannot be read, or with no key or two, are.
pub(crate) fn sign(argument: &[u8]) -> Result<Vec<u8>, Status> {
    let SignArguments { hash_function, private_key, text, private_key_pem } =
        SignArguments::decode(argument).map_err(|_| Status::BadArgument)?;
    let key = match (private_key.is_empty(), private_key_pem.is_empty()) {
        (false, true) => Some(private_key),
        (true, false) => Pem::iter_from_buffer(private_key_pem.as_bytes()).next().and_then(Result::ok).map(|pem| pem.contents),
        _ => return Err(Status::BadArgument),
    };
    let signed = key.and_then(|key| signature_of(&hash_function.to_ascii_lowercase(), &key, &text));
    let result = match signed {
        Some(signature) => SignResult { result: true, signature, error: String::new() },
        None => SignResult { error: format!("Failed to sign with {hash_function}."), ..SignResult::default() },
    };
    Ok(result.encode_to_vec())
}

fn signature_of(hash: &str, key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    if let Ok(key) = RsaKeyPair::from_pkcs8(key) {
        let encoding: &dyn RsaEncoding = match hash {
            "sha256" => &signature::RSA_PKCS1_SHA256,
            "sha384" => &signature::RSA_PKCS1_SHA384,
            "sha512" => &signature::RSA_PKCS1_SHA512,
            _ => return None,
        };
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(encoding, &random, text, &mut signature).ok()?;
        return Some(signature);
    }
    let algorithm: &'static EcdsaSigningAlgorithm = match hash {
        "sha256" => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        "sha384" => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => return None,
    };
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key, &random).ok()?;
    Some(key.sign(&random, text).ok()?.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData};
    use ring::signature::UnparsedPublicKey;
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::SubjectPublicKeyInfo;

    use super::*;

    fn run(arguments: &SignArguments) -> SignResult {
        SignResult::decode(sign(&arguments.encode_to_vec()).unwrap().as_slice()).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_and_both_forms_of_key_are_taken() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = SignArguments {
            hash_function: "SHA256".to_owned(),
            private_key: key.serialize_der(),
            text: b"text".to_vec(),
            private_key_pem: String::new(),
        };
        let pem = SignArguments { private_key: Vec::new(), private_key_pem: key.serialize_pem(), ..der.clone() };
        let info = key.subject_public_key_info();
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).unwrap();
        for arguments in [&der, &pem] {
            let signed = run(arguments);
            assert!(signed.result, "{}", signed.error);
            let public = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, info.subject_public_key.data.as_ref());
            public.verify(b"text", &signed.signature).unwrap();
        }
        assert!(!run(&SignArguments { hash_function: "md5".to_owned(), ..der.clone() }).result);
        assert!(!run(&SignArguments { private_key: vec![1], ..der.clone() }).result);
        let both = SignArguments { private_key_pem: pem.private_key_pem, ..der };
        assert_eq!(sign(&both.encode_to_vec()), Err(Status::BadArgument));
        assert_eq!(sign(&[0xff]), Err(Status::BadArgument));
    }
}

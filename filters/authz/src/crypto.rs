//! Signature checks by the host where it offers them: Envoy's BoringSSL takes 27 µs for RS256 where Rust in WebAssembly takes 600.

mod der;
mod wire;

use std::cell::{Cell, RefCell};

use meshwright_policy::{Algorithm, Crypto, CryptoError, PublicKey, SoftwareCrypto};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use wire::Arguments;

const FOREIGN_FUNCTION: &str = "verify_signature";
/// A larger buffer is given back: few tokens need it.
const LARGEST_KEPT: usize = 8 * 1024;

/// Envoy's `verify_signature`, and software for what it does not do or where it is missing.
#[derive(Debug, Default)]
pub(crate) struct HostCrypto {
    /// Set once a host has said that it does not know the function.
    missing: Cell<bool>,
    /// In which what is asked is written.
    buffer: RefCell<Vec<u8>>,
    software: SoftwareCrypto,
}

impl Crypto for HostCrypto {
    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        match self.verify_by_host(algorithm, key, message, signature) {
            Some(valid) => Ok(valid),
            None => self.software.verify(algorithm, key, message, signature),
        }
    }
}

impl HostCrypto {
    /// `None` when the host cannot tell.
    #[inline(never)]
    fn verify_by_host(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<bool> {
        if self.missing.get() {
            return None;
        }
        let hash = hash(algorithm)?;
        let der;
        let signature = if is_ecdsa(algorithm) {
            der = der::ecdsa_signature(signature)?;
            &der
        } else {
            signature
        };
        // The host looks at it and calls nobody back who would want it.
        let mut arguments = self.buffer.borrow_mut();
        arguments.clear();
        arguments.shrink_to(LARGEST_KEPT);
        Arguments { hash, public_key_der: key.spki_der(), signature, text: message }.encode(&mut arguments);
        match hostcalls::call_foreign_function(FOREIGN_FUNCTION, Some(&arguments)) {
            Ok(reply) => Some(reply.is_some_and(|reply| wire::says_valid(&reply))),
            Err(status) => {
                self.missing.set(status == Status::NotFound);
                None
            }
        }
    }
}

/// What `verify_signature` does: PKCS#1 v1.5 and ECDSA. It knows neither PSS nor Ed25519.
fn hash(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => Some("sha256"),
        Algorithm::Rs384 | Algorithm::Es384 => Some("sha384"),
        Algorithm::Rs512 | Algorithm::Es512 => Some("sha512"),
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::EdDsa => None,
    }
}

fn is_ecdsa(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512)
}

//! The filter module that the control plane hands to sidecars: read once, checked to be one that Envoy would load.

use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload, Validator};

/// Larger than any module that Envoy's 1 GiB memory and a sidecar's start time would bear.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Envoy decides by this export which ABI a module speaks; without one it refuses the module.
const ABI_MARKER: &str = "proxy_abi_version_0_2_";

/// A checked module and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    bytes: Bytes,
    sha256: String,
}

/// Why a file is not a module that can be served. Each names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidModule {
    #[error("filter module `{0}` cannot be read: {1}; `make module` builds it")]
    Unreadable(String, std::io::Error),
    #[error("filter module `{0}` has {1} bytes, at most {LARGEST} are allowed")]
    TooLarge(String, u64),
    #[error("filter module `{0}` is not WebAssembly, or cut short: {1}")]
    NotWasm(String, String),
    #[error("filter module `{0}` does not export `{ABI_MARKER}…`, so Envoy would not load it")]
    NoAbi(String),
}

impl Module {
    /// # Errors
    /// [`InvalidModule`] when the file is missing, too large, cut short, or nothing that Envoy would load.
    pub(crate) fn read(file: &Path) -> Result<Self, InvalidModule> {
        let name = file.display().to_string();
        let length = std::fs::metadata(file).map_err(|error| InvalidModule::Unreadable(name.clone(), error))?.len();
        if length > LARGEST {
            return Err(InvalidModule::TooLarge(name, length));
        }
        let bytes = std::fs::read(file).map_err(|error| InvalidModule::Unreadable(name.clone(), error))?;
        check(&bytes, &name)?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { bytes: Bytes::from(bytes), sha256 })
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Lower-case hex.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn check(bytes: &[u8], name: &str) -> Result<(), InvalidModule> {
    let not_wasm = |error: wasmparser::BinaryReaderError| InvalidModule::NotWasm(name.to_owned(), error.to_string());
    Validator::new().validate_all(bytes).map_err(not_wasm)?;
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ExportSection(exports) = payload.map_err(not_wasm)? {
            for export in exports {
                if export.map_err(not_wasm)?.name.starts_with(ABI_MARKER) {
                    return Ok(());
                }
            }
        }
    }
    Err(InvalidModule::NoAbi(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module)`: a header and nothing else.
    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.wasm");
        let read = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            Module::read(&file).unwrap_err().to_string()
        };
        assert!(read(b"#!/bin/sh\n").contains("is not WebAssembly"));
        assert!(read(&EMPTY[..6]).contains("cut short"));
        assert!(read(EMPTY).contains("does not export"));
        std::fs::remove_file(&file).unwrap();
        assert!(Module::read(&file).unwrap_err().to_string().contains("cannot be read"));
    }
}

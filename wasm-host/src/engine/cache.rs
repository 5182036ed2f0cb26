//! Compiled modules on disk. What is there is machine code that will be run, so the folder must be the user's own, and nobody else's to write.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use wasmtime::{Engine, Module};

use crate::error::LoadError;

#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn open(folder: PathBuf) -> Result<Self, LoadError> {
        let wrong = |reason: String| LoadError::Cache { folder: folder.clone(), reason };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| wrong(error.to_string()))?;
        let metadata = std::fs::symlink_metadata(&folder).map_err(|error| wrong(error.to_string()))?;
        if !metadata.is_dir() {
            return Err(wrong("it is not a folder".to_owned()));
        }
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(wrong("it belongs to another user".to_owned()));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(wrong(format!("others may write to it (mode {:o}; allowed: 700)", metadata.mode() & 0o777)));
        }
        Ok(Self { folder })
    }

    /// The compiled module: from the cache, or compiled and put there. That it cannot be put there costs only time.
    pub(super) fn module(
        &self,
        engine: &Engine,
        wasm: &[u8],
        compile: impl FnOnce() -> Result<Module, LoadError>,
    ) -> Result<Module, LoadError> {
        let file = self.folder.join(name(engine, wasm));
        if file.is_file()
            && let Some(module) = load(engine, &file)
        {
            return Ok(module);
        }
        let module = compile()?;
        // Written beside and renamed: nobody ever reads half of it, and two at once write the same.
        if let Ok(bytes) = module.serialize() {
            let beside = file.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
            let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, &file));
            if written.is_err() {
                // The next run tries again.
                let _ = std::fs::remove_file(&beside);
            }
        }
        Ok(module)
    }
}

/// The same compiled module on another engine that compiles alike.
#[expect(unsafe_code, reason = "machine code cannot be checked; it comes straight from wasmtime")]
pub(super) fn moved(module: &Module, engine: &Engine) -> wasmtime::Result<Module> {
    let bytes = module.serialize()?;
    // SAFETY: wasmtime itself has just written them, and refuses them if the engines' settings differ in what matters to code.
    unsafe { Module::deserialize(engine, bytes) }
}

/// A file that is of another version, or damaged where that can be seen, is compiled anew.
#[expect(unsafe_code, reason = "machine code cannot be checked; the folder is its owner's alone, see `open`")]
fn load(engine: &Engine, file: &std::path::Path) -> Option<Module> {
    // SAFETY: the file was written by `module` above, from a module that wasmtime compiled: its name holds the engine's version and settings,
    // and only the user who runs this can write to the folder.
    unsafe { Module::deserialize_file(engine, file) }.ok()
}

fn name(engine: &Engine, wasm: &[u8]) -> String {
    let content: String = digest(&SHA256, wasm).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{content}-{:016x}.cwasm", hasher.finish())
}

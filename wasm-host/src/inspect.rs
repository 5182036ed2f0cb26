//! Looks into a module: what it needs, what it offers, and what Envoy would say to it. Nothing is compiled, and of the module nothing run but
//! its start, but to learn the latter.

use wasmparser::{
    BinaryReaderError, CustomSectionReader, ExternalKind, KnownCustom, Name, Parser, Payload, TypeRef, Validator, WasmFeatures,
};

use crate::abi::AbiVersion;
use crate::engine::check_header;
use crate::error::{LoadError, StartError};
use crate::host::Host;
use crate::worker::fails_to_start;

/// What a module is made of.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::Inspection;
///
/// let found = Inspection::of(&wasm);
/// assert!(found.imports.contains(&"env.proxy_grpc_call".to_owned()));
/// assert_eq!((found.initial_memory, found.refused), (128 << 10, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The ABI versions whose markers it exports; the last is taken.
    pub abi_versions: Vec<AbiVersion>,
    /// Bytes of the file.
    pub size: usize,
    /// Each as `module.name`, sorted.
    pub imports: Vec<String>,
    /// Names of the exported functions, sorted, but for the markers.
    pub exports: Vec<String>,
    /// Name and bytes, in order.
    pub custom_sections: Vec<(String, usize)>,
    /// Number of functions with a body.
    pub functions: u32,
    /// Bytes of code.
    pub code_size: usize,
    /// Bytes of memory at the start.
    pub initial_memory: u64,
    /// The most memory that the module itself allows, in bytes.
    pub maximum_memory: Option<u64>,
    /// Whether it exports a memory, by whatever name.
    pub exports_memory: bool,
    /// Why Envoy would not load it.
    pub refused: Option<String>,
    /// What a test would run into: things that load and then do harm, and what only Envoy can run.
    pub warnings: Vec<String>,
    /// Imports that Envoy makes for the module, and this host does not.
    made_by_envoy: Vec<String>,
    corrupt_names: bool,
    memories: usize,
}

const PAGE: u64 = 64 << 10;
/// Envoy's own limit of a VM's memory.
const MOST_MEMORY: u64 = 1 << 30;

impl Inspection {
    /// Looks into the bytes of a module. What cannot be read is in [`refused`](Self::refused); the rest is as far as it was read.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        let mut found = Self { size: wasm.len(), ..Self::default() };
        if let Err(error) = check_header(wasm) {
            found.refused = Some(error.to_string());
            return found;
        }
        if let Err(error) = found.read(wasm) {
            found.refused = Some(format!("not a valid WebAssembly module: {error}"));
            return found;
        }
        found.imports.sort();
        found.exports.sort();
        found.warnings = found.warnings();
        let loaded = Host::load(wasm);
        found.refused = match &loaded {
            _ if found.initial_memory > MOST_MEMORY => Some("the memory at the start is more than the 1 GiB that Envoy gives".to_owned()),
            _ if found.corrupt_names => Some("the `name` section is corrupt".to_owned()),
            Ok(host) => match fails_to_start(host) {
                Some(StartError::Instantiate(error)) if found.memories > 1 => found.only_in_envoy(&error),
                failed => failed.map(|error| error.to_string()),
            },
            Err(error) if found.loads_in_envoy(wasm, error) => found.only_in_envoy(&error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        found
    }

    /// Envoy does not refuse it, but whoever runs it here must know.
    fn only_in_envoy(&mut self, error: &str) -> Option<String> {
        self.warnings.push(format!("Envoy loads it, but it cannot be run here: {error}"));
        None
    }

    /// Whether what this host says is because of what only Envoy has.
    fn loads_in_envoy(&self, wasm: &[u8], error: &LoadError) -> bool {
        match error {
            LoadError::MissingImports { imports, .. } => imports.iter().all(|import| self.made_by_envoy.contains(import)),
            LoadError::Invalid(_) => {
                let features = WasmFeatures::WASM3 | WasmFeatures::THREADS | WasmFeatures::LEGACY_EXCEPTIONS;
                let allocates = self.exports.iter().any(|export| export == "malloc" || export == "proxy_on_memory_allocate");
                allocates && !self.abi_versions.is_empty() && Validator::new_with_features(features).validate_all(wasm).is_ok()
            }
            LoadError::UnknownAbi { .. }
            | LoadError::NoAllocator
            | LoadError::ExportType { .. }
            | LoadError::Link(_)
            | LoadError::Cache { .. }
            | LoadError::Engine(_) => false,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "sections that say nothing about what the host has to give")]
    fn read(&mut self, wasm: &[u8]) -> Result<(), BinaryReaderError> {
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if let TypeRef::Memory(memory) = import.ty {
                            self.memory(memory.initial, memory.maximum);
                        }
                        if matches!(import.ty, TypeRef::Memory(_) | TypeRef::Table(_)) {
                            self.made_by_envoy.push(format!("`{}.{}`", import.module, import.name));
                        }
                        self.imports.push(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        self.memory(memory.initial, memory.maximum);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let function = export.kind == ExternalKind::Func;
                        match AbiVersion::ALL.into_iter().find(|version| function && version.marker() == export.name) {
                            Some(version) => self.abi_versions.push(version),
                            None if export.kind == ExternalKind::Memory => self.exports_memory = true,
                            None if export.kind == ExternalKind::Func => self.exports.push(export.name.to_owned()),
                            None => {}
                        }
                    }
                }
                Payload::CodeSectionStart { count, range, .. } => {
                    self.functions = count;
                    self.code_size = range.len();
                }
                Payload::CustomSection(section) => {
                    self.corrupt_names |= section.name() == "name" && read_names(&section).is_err();
                    self.custom_sections.push((section.name().to_owned(), section.data().len()));
                }
                _ => {}
            }
        }
        self.abi_versions.sort();
        Ok(())
    }

    fn memory(&mut self, initial: u64, maximum: Option<u64>) {
        self.memories += 1;
        self.initial_memory = initial.saturating_mul(PAGE);
        self.maximum_memory = maximum.map(|pages| pages.saturating_mul(PAGE));
    }

    fn warnings(&self) -> Vec<String> {
        let has_export = |name: &str| self.exports.iter().any(|export| export == name);
        let has_section = |name: &str| self.custom_sections.iter().any(|(section, _)| section.starts_with(name));
        let legacy = self.abi_versions.last() == Some(&AbiVersion::V0_1_0);
        let all = [
            (self.abi_versions.len() > 1, "more than one ABI version is exported; the last is taken".to_owned()),
            (
                legacy,
                "ABI 0.1.0 answers a missing header with OK and nothing, and does not tell when a stream ends with its headers".to_owned(),
            ),
            (!has_section("name"), "there is no `name` section: Envoy's backtraces will have no names".to_owned()),
            (has_section(".debug_"), "there are debug sections: every worker of Envoy loads them".to_owned()),
            (!self.exports_memory, "no memory is exported: nothing can be handed to the module or read from it".to_owned()),
            (
                !self.exports.iter().any(|export| export.starts_with("proxy_on_")),
                "no callback is exported: the module does nothing".to_owned(),
            ),
            (has_export("_start") && has_export("_initialize"), "`_start` is not called beside `_initialize`".to_owned()),
        ];
        all.into_iter().filter_map(|(applies, text)| applies.then_some(text)).collect()
    }
}

/// As far as Envoy reads it: the names of functions.
fn read_names(section: &CustomSectionReader<'_>) -> Result<(), BinaryReaderError> {
    if let KnownCustom::Name(names) = section.as_known() {
        for part in names {
            if let Name::Function(functions) = part? {
                for name in functions {
                    name?;
                }
            }
        }
    }
    Ok(())
}

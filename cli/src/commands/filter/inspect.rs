use std::path::PathBuf;
use std::process::ExitCode;

use meshwright_filter_test::{Inspection, read_module};
use serde_json::json;

use crate::output::{self, Format};
use crate::progress::Progress;

/// Say what a module is made of, and whether Envoy would load it.
///
/// ABI version, imports, exports, size, custom sections, memory; why Envoy would refuse it; and what loads but does harm later.
///
/// Exit codes: 0 Envoy would load it; 1 Envoy would refuse it; 2 the file cannot be read.
///
/// Example: meshwright filter inspect meshwright_filters.wasm --output json
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The module, as .wasm or in its text form .wat.
    module: PathBuf,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let module = read_module(&self.module)?;
        let progress = Progress::compiling();
        let found = Inspection::of(&module);
        drop(progress);
        match self.output {
            Format::Json => output::json(&as_json(&found)),
            Format::Text => output::line(&as_text(&found)),
        }
        Ok(if found.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn as_json(found: &Inspection) -> serde_json::Value {
    let sections: Vec<_> = found.custom_sections.iter().map(|(name, size)| json!({"name": name, "size": size})).collect();
    json!({
        "abi_versions": found.abi_versions.iter().map(ToString::to_string).collect::<Vec<_>>(), "size": found.size, "imports": found.imports,
        "exports": found.exports, "custom_sections": sections, "functions": found.functions, "code_size": found.code_size,
        "memory": {"initial": found.initial_memory, "maximum": found.maximum_memory}, "refused": found.refused, "warnings": found.warnings,
    })
}

fn as_text(found: &Inspection) -> String {
    let envoy = format!("Envoy:      {}", found.refused.as_ref().map_or_else(|| "loads it".to_owned(), |why| format!("refuses it: {why}")));
    if found.functions == 0 && found.imports.is_empty() && found.exports.is_empty() {
        // There is nothing in it, or it is no module.
        return envoy;
    }
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join("\n            ") };
    let versions: Vec<String> = found.abi_versions.iter().map(ToString::to_string).collect();
    let sections: Vec<String> = found.custom_sections.iter().map(|(name, size)| format!("{name} ({size} bytes)")).collect();
    let maximum = found.maximum_memory.map_or_else(|| "no maximum".to_owned(), |bytes| format!("at most {bytes}"));
    [
        format!("ABI:        {}", if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }),
        format!("size:       {} bytes; {} functions, {} bytes of code", found.size, found.functions, found.code_size),
        format!("memory:     {} bytes at the start, {maximum}", found.initial_memory),
        format!("imports:    {}", list(&found.imports)),
        format!("exports:    {}", list(&found.exports)),
        format!("sections:   {}", list(&sections)),
        format!("warnings:   {}", list(&found.warnings)),
        envoy,
    ]
    .join("\n")
}

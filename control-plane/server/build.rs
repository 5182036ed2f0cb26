//! Puts the descriptors of Envoy's messages, which `envoy-types` has beside its generated code, where the config dump can read them. Where
//! the sources of `envoy-types` are not to be found the dump shows encoded bytes.

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("descriptors.bin");
    println!("cargo::rerun-if-changed=build.rs");
    let bytes = descriptors(&manifest).map(std::fs::read).transpose()?.unwrap_or_default();
    std::fs::write(out, bytes)
}

fn descriptors(manifest: &Path) -> Option<PathBuf> {
    let lock = std::fs::read_to_string(manifest.ancestors().nth(2)?.join("Cargo.lock")).ok()?;
    let version = lock.split("name = \"envoy-types\"\nversion = \"").nth(1)?.split('"').next()?;
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?;
    let file = |registry: PathBuf| registry.join(format!("envoy-types-{version}/src/generated/types.bin"));
    registries.filter_map(|registry| Some(file(registry.ok()?.path()))).find(|file| file.is_file())
}

//! What every end-to-end test and benchmark needs: the binaries that were built, the Envoy that was set up, and loopback networks that no
//! other test uses. A missing piece fails the test with the command that makes it; nothing is ever skipped.

pub mod signing;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::launcher::Environment;

const ENVOY_VERSION: &str = "1.40.0";

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn found(variable: &str, fallback: &str, how: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| root().join(fallback), PathBuf::from);
    anyhow::ensure!(path.is_file(), "`{}` is missing (${variable} names another): {how}", path.display());
    Ok(path)
}

/// `$ENVOY`, else the one that `make setup` installs.
///
/// # Errors
/// When there is none.
pub fn envoy() -> anyhow::Result<PathBuf> {
    found("ENVOY", &format!(".tools/envoy/{ENVOY_VERSION}/envoy"), "run `make setup`")
}

/// Major and minor version of that Envoy: what older ones lack, tests expect of them.
///
/// # Errors
/// When it cannot be run or does not say.
pub fn envoy_version() -> anyhow::Result<(u32, u32)> {
    let output = std::process::Command::new(envoy()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.split("version: ").nth(1).and_then(|version| version.split('/').nth(1)).and_then(|version| {
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    });
    numbers.with_context(|| format!("`envoy --version` says `{}`", text.trim()))
}

/// `$MESHWRIGHT_FILTERS_WASM`, else what `make module` builds.
///
/// # Errors
/// When there is none.
pub fn module() -> anyhow::Result<PathBuf> {
    found("MESHWRIGHT_FILTERS_WASM", "target/meshwright_filters.wasm", "run `make module`")
}

/// `$MESHWRIGHT_BIN`, else the debug build.
///
/// # Errors
/// When there is none.
pub fn binary() -> anyhow::Result<PathBuf> {
    found("MESHWRIGHT_BIN", "target/debug/meshwright", "run `cargo build -p meshwright`")
}

/// A fresh folder with the environment of one mesh in it. The folder goes when the first part is dropped.
///
/// # Errors
/// When something has not been built or the folder cannot be made.
pub fn environment() -> anyhow::Result<(tempfile::TempDir, Environment)> {
    install_crypto();
    let folder = tempfile::Builder::new().prefix("mw-").tempdir().context("no temporary folder can be made")?;
    let environment = Environment { binary: binary()?, envoy: Some(envoy()?), module: module()?, folder: folder.path().to_owned() };
    Ok((folder, environment))
}

/// The process-wide choice that rustls asks for; a second call changes nothing.
pub fn install_crypto() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

/// A loopback /24 that no other test of this machine uses at the time: one byte from this process, one counted.
#[must_use]
pub fn network() -> Network {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let process = u8::try_from(std::process::id() % 200).unwrap_or_default();
    Network([127, 30_u8.saturating_add(process), NEXT.fetch_add(1, Ordering::Relaxed)])
}

//! Private keys are nowhere but where they belong: files, what Envoy and the control plane answer, and processes.

use std::path::{Path, PathBuf};

use crate::pair::Pair;
use crate::secrets::Secret;
use crate::stats::envoy;

/// All files of a folder and of those in it.
///
/// # Errors
/// When one cannot be looked into.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Nothing that is written, logged or answered has a private key in it, but the authority's own files. `given`: keys of the workload that
/// its app was given; they are looked for in every form.
///
/// # Errors
/// When something cannot be read or asked.
///
/// # Panics
/// When a key is found.
pub async fn no_key_is_elsewhere(mesh: &Pair, given: &[Secret]) -> anyhow::Result<()> {
    let found = |text: &[u8]| given.iter().find_map(|secret| secret.in_text(text));
    let folder = &mesh.environment.folder;
    let mut keys = 0;
    for path in files(folder)? {
        let bytes = std::fs::read(&path)?;
        let holds = String::from_utf8_lossy(&bytes).contains("PRIVATE KEY");
        let authority = path.parent() == Some(&mesh.environment.data_dir().join("ca")) && path.extension().is_some_and(|e| e == "pem");
        assert_eq!(holds, authority, "{}", path.display());
        assert_eq!(found(&bytes), None, "{}", path.display());
        keys += usize::from(holds);
    }
    assert_eq!(keys, 2, "root and intermediate");
    for name in ["server", "client"] {
        for path in ["/config_dump?include_eds", "/certs", "/clusters", "/server_info", "/stats"] {
            let dump = envoy(&mesh.environment.state_dir(name), path).await?;
            assert!(!dump.contains("PRIVATE KEY") && found(dump.as_bytes()).is_none(), "{name} {path}");
            assert!(dump.contains("BEGIN CERTIFICATE") == path.starts_with("/config_dump"), "{name} {path}");
        }
    }
    let admin = format!("http://{}", mesh.control_plane.admin());
    let status = mesh.environment.command(&["status", "--admin", &admin, "--output", "json"]).await?;
    assert!(status.contains("rollover"));
    let client = reqwest::Client::builder().no_proxy().build()?;
    for path in ["/v1/status", "/v1/proxies/test/client", "/v1/proxies/test/client/config", "/metrics"] {
        let text = client.get(format!("{admin}{path}")).send().await?.error_for_status()?.text().await?;
        assert!(!text.contains("PRIVATE KEY") && found(text.as_bytes()).is_none(), "{path}");
    }
    // What any user of the machine may read of processes, and what their children inherit.
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(process.join(file)).unwrap_or_default();
            assert_eq!(found(&text), None, "{file}");
        }
    }
    Ok(())
}

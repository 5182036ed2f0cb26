//! A generated mesh on disk, and its edits as saves of whole files.

use std::path::{Path, PathBuf};

use std::time::SystemTime;

use anyhow::Context as _;
use meshwright_ca::{Authority, KeyAlgorithm, MAX_LEAF_TTL, PrivateKey};
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_workloads::{Mesh, ProxyLine, Service, Shape};
use tempfile::TempDir;

use super::Setting;

pub(crate) struct Written {
    folder: TempDir,
    pub(crate) mesh: Mesh,
}

impl Written {
    pub(crate) fn new(shape: Shape) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mw-xds-").tempdir()?;
        let written = Self { folder, mesh: Mesh::new(shape, 1) };
        std::fs::create_dir_all(written.documents().join("services"))?;
        for (file, text) in written.mesh.files() {
            std::fs::write(written.documents().join(file), text)?;
        }
        Ok(written)
    }

    pub(crate) fn documents(&self) -> PathBuf {
        self.folder.path().join("mesh")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn proxies(&self, setting: &Setting) -> anyhow::Result<Vec<ProxyLine>> {
        if setting.tls { self.proxies_with_certificates() } else { Ok(self.mesh.proxies().collect()) }
    }

    /// The proxies, each with a certificate of its own in a file; the authority is made for it before the server finds it.
    fn proxies_with_certificates(&self) -> anyhow::Result<Vec<ProxyLine>> {
        let domain = TrustDomain::parse(Mesh::TRUST_DOMAIN)?;
        let now = SystemTime::now();
        let authority = Authority::open(&self.data(), &domain, Mesh::ROOT_NAMESPACE, now)?;
        std::fs::write(self.roots(), authority.trust_bundle_pem())?;
        let folder = self.folder.path().join("certificates");
        std::fs::create_dir_all(&folder)?;
        let certified = |(index, proxy): (usize, ProxyLine)| -> anyhow::Result<ProxyLine> {
            let text =
                |pointer: &str| proxy.metadata.pointer(pointer).and_then(serde_json::Value::as_str).context("a proxy has a workload");
            let (namespace, account) = (text("/meshwright/namespace")?, text("/meshwright/service_account")?);
            let identity = SpiffeId::for_service_account(&domain, namespace, account)?;
            let key = PrivateKey::generate(KeyAlgorithm::default())?;
            let issued = authority.issue(&key.signing_request()?, &identity, MAX_LEAF_TTL, now)?;
            let file = |extension: &str, text: &str| -> anyhow::Result<Option<String>> {
                let file = folder.join(format!("{index}.{extension}"));
                std::fs::write(&file, text)?;
                Ok(Some(file.display().to_string()))
            };
            let (certificate, key) = (file("crt", &issued.chain_pem)?, file("key", key.pem())?);
            Ok(ProxyLine { certificate, key, ..proxy })
        };
        self.mesh.proxies().enumerate().map(certified).collect()
    }

    /// The roots that the server's certificate is verified with, once there are certificates.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    pub(crate) fn scoped(&self) -> bool {
        self.mesh.shape().scoped
    }

    pub(crate) fn service(&self, index: usize) -> anyhow::Result<&Service> {
        let services = self.mesh.services();
        services.get(index.checked_rem(services.len()).unwrap_or_default()).context("a mesh has services")
    }

    /// As editors and deployments do: a new file takes the old one's place.
    pub(crate) fn save(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.documents().join(file);
        let beside = beside(&path);
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(beside, path)?)
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.new"))
}

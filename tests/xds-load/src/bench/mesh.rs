//! A generated mesh on disk, and its edits as saves of whole files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meshwright_workloads::{Mesh, Service, Shape};
use tempfile::TempDir;

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

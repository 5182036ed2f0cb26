//! A disk of a few hundred kilobytes that can be filled: a tmpfs in a mount namespace of its own, so that nothing outside sees it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Where the namespace has its disk.
const MOUNT: &str = "/mnt";
const BLOCK: usize = 4096;

/// The disk, until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    _holder: Child,
}

impl SmallDisk {
    /// A disk of `kilobytes`.
    ///
    /// # Errors
    /// When `unshare` cannot make the namespace.
    pub async fn mount(kilobytes: u32) -> anyhow::Result<Self> {
        // Who holds the namespace ends with the test: its standard input is closed then.
        let script = format!("mount -t tmpfs -o size={kilobytes}k,mode=700 none {MOUNT} && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("`unshare` (util-linux) cannot be run")?;
        let output = holder.stdout.take().context("it has no output")?;
        let said = BufReader::new(output).lines().next_line().await?;
        anyhow::ensure!(said.as_deref() == Some("mounted"), "no disk was mounted: {said:?}");
        let id = holder.id().context("the namespace's process is gone")?;
        Ok(Self { path: PathBuf::from(format!("/proc/{id}/root{MOUNT}")), _holder: holder })
    }

    /// Where others reach it.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// When the disk fails in another way than by being full.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.path.join("fill"))?;
        loop {
            match file.write_all(&[1; BLOCK]) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path.join("fill"))?)
    }
}

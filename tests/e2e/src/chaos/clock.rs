//! A control plane whose wall clock a test can move while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meshwright_demo::launcher::Environment;

/// A clock in a file.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A right clock, and the environment in which processes go by it.
    ///
    /// # Errors
    /// When `cc` cannot build what is preloaded.
    pub fn start(environment: &Environment) -> anyhow::Result<(Self, Environment)> {
        let folder = &environment.folder;
        let (library, file, binary) = (folder.join("clock.so"), folder.join("clock"), folder.join("meshwright-by-the-clock"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chaos/clock.c");
        let built = std::process::Command::new("cc").args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).output();
        let built = built.context("`cc` cannot be run")?;
        anyhow::ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let clock = Self { file };
        clock.is_wrong_by(0)?;
        let script = format!(
            "#!/bin/sh\nCHAOS_CLOCK='{}' LD_PRELOAD='{}' exec '{}' \"$@\"\n",
            clock.file.display(),
            library.display(),
            environment.binary.display()
        );
        fs::write(&binary, script)?;
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
        Ok((clock, Environment { binary, ..environment.clone() }))
    }

    /// From now on it is ahead by so many seconds, or behind.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn is_wrong_by(&self, seconds: i64) -> anyhow::Result<()> {
        use std::io::Write as _;
        // In place: processes have the file mapped.
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&self.file)?;
        Ok(file.write_all(&seconds.to_ne_bytes())?)
    }
}

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Oldest Envoy that the mesh's configuration is made for.
const OLDEST: EnvoyVersion = EnvoyVersion { major: 1, minor: 36, patch: 0 };
const ANSWER: Duration = Duration::from_secs(20);
/// What an error shows of an output that is not a version.
const SHOWN: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EnvoyVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

/// An Envoy that answered with a version that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvoyBinary {
    pub(crate) path: PathBuf,
    pub(crate) version: EnvoyVersion,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvoyBinaryError {
    #[error("no Envoy found: name one with --envoy or $ENVOY, or put `envoy` on PATH ({OLDEST} or newer)")]
    Missing,
    #[error("`{}` cannot be run: is it an Envoy for this machine?", path.display())]
    NotRun { path: PathBuf, source: std::io::Error },
    #[error("`{} --version` did not answer within {ANSWER:?}", .0.display())]
    Silent(PathBuf),
    #[error("`{} --version` did not answer with Envoy's version but with {status}: `{output}`", path.display())]
    NotEnvoy { path: PathBuf, status: std::process::ExitStatus, output: String },
    #[error("`{}` is Envoy {found}; {OLDEST} or newer is needed", path.display())]
    TooOld { path: PathBuf, found: EnvoyVersion },
}

/// The Envoy that was asked for, or `envoy` in one of the folders of `path`.
pub(crate) fn find(option: Option<&Path>, variable: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, EnvoyBinaryError> {
    if let Some(named) = option.or(variable) {
        return Ok(named.to_owned());
    }
    let folders = path.into_iter().flat_map(std::env::split_paths);
    folders.map(|folder| folder.join("envoy")).find(|candidate| candidate.is_file()).ok_or(EnvoyBinaryError::Missing)
}

/// Asks the Envoy at `path` for its version.
pub(crate) async fn check(path: PathBuf) -> Result<EnvoyBinary, EnvoyBinaryError> {
    let mut command = tokio::process::Command::new(&path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).env_remove(crate::JOIN_TOKEN_VARIABLE);
    let Ok(answer) = tokio::time::timeout(ANSWER, command.output()).await else { return Err(EnvoyBinaryError::Silent(path)) };
    let output = match answer {
        Ok(output) => output,
        Err(source) => return Err(EnvoyBinaryError::NotRun { path, source }),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match EnvoyVersion::in_output(&text).filter(|_| output.status.success()) {
        Some(version) if version >= OLDEST => Ok(EnvoyBinary { path, version }),
        Some(found) => Err(EnvoyBinaryError::TooOld { path, found }),
        None => {
            let both = format!("{} {}", text.trim(), String::from_utf8_lossy(&output.stderr).trim());
            let output_shown = both.trim().chars().take(SHOWN).collect();
            Err(EnvoyBinaryError::NotEnvoy { path, status: output.status, output: output_shown })
        }
    }
}

impl EnvoyVersion {
    /// From `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`, as `envoy --version` prints it.
    fn in_output(text: &str) -> Option<Self> {
        let (_, build) = text.split_once("version: ")?;
        let version = build.split('/').nth(1)?;
        // Builds between releases are called `1.41.0-dev`.
        let mut numbers = version.split('-').next()?.split('.').map(|number| number.parse::<u32>().ok());
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for EnvoyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn version(major: u32, minor: u32, patch: u32) -> EnvoyVersion {
        EnvoyVersion { major, minor, patch }
    }

    #[test]
    fn reads_the_version_that_envoy_prints() {
        for (text, expected) in [
            ("\n./envoy  version: 9e558093/1.40.0/Clean/RELEASE/BoringSSL\n\n", Some(version(1, 40, 0))),
            ("envoy  version: abc/1.41.0-dev/Modified/DEBUG/BoringSSL", Some(version(1, 41, 0))),
            ("envoy  version: abc/1.40/Clean", None),
            ("envoy  version: abc/1.40.0.1/Clean", None),
            ("envoy  version: 1.40.0", None),
            ("Python 3.11.7", None),
            ("", None),
        ] {
            assert_eq!(EnvoyVersion::in_output(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(version(1, 9, 9) < OLDEST && version(1, 36, 0) >= OLDEST && version(1, 36, 4) > OLDEST && version(2, 0, 0) > OLDEST);
    }

    #[test]
    fn the_option_goes_before_the_variable_before_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let on_path = folder.path().join("envoy");
        std::fs::write(&on_path, "").unwrap();
        let path = folder.path().as_os_str();
        let find = |option: Option<&str>, variable: Option<&str>| find(option.map(Path::new), variable.map(Path::new), Some(path)).unwrap();
        assert_eq!(find(Some("/a"), Some("/b")), Path::new("/a"));
        assert_eq!(find(None, Some("/b")), Path::new("/b"));
        assert_eq!(find(None, None), on_path);
        assert!(matches!(super::find(None, None, Some(OsStr::new("/nowhere"))), Err(EnvoyBinaryError::Missing)));
        assert!(matches!(super::find(None, None, None), Err(EnvoyBinaryError::Missing)));
    }

    async fn check_script(script: &str) -> Result<EnvoyBinary, EnvoyBinaryError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy");
        // Renamed into place: a file that another thread's child still holds open for writing cannot be run.
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        loop {
            match check(path.clone()).await {
                Err(EnvoyBinaryError::NotRun { source, .. }) if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                other => return other,
            }
        }
    }

    #[tokio::test]
    async fn an_old_or_broken_envoy_is_one_clear_error() {
        let old = check_script("#!/bin/sh\necho 'envoy  version: abc/1.35.9/Clean/RELEASE/BoringSSL'\n").await.unwrap_err();
        assert!(old.to_string().ends_with("is Envoy 1.35.9; 1.36.0 or newer is needed"), "{old}");
        let broken = check_script("#!/bin/sh\necho 'libc.so.6: not found' >&2\nexit 127\n").await.unwrap_err();
        assert!(broken.to_string().contains("libc.so.6: not found"), "{broken}");
        let lying = check_script("#!/bin/sh\necho 'envoy  version: abc/1.40.0/Clean/RELEASE/BoringSSL'\nexit 1\n").await.unwrap_err();
        assert!(matches!(lying, EnvoyBinaryError::NotEnvoy { .. }), "{lying}");
        assert!(matches!(check("/nowhere/envoy".into()).await, Err(EnvoyBinaryError::NotRun { .. })));
        let good = check_script("#!/bin/sh\necho 'envoy  version: abc/1.36.0/Clean/RELEASE/BoringSSL'\n").await.unwrap();
        assert_eq!(good.version, OLDEST);
    }
}

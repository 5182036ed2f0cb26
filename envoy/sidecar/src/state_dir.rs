use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

/// Longest path of a Unix socket, in bytes: `sun_path` has 108 and ends with a zero (unix(7)).
pub(crate) const LONGEST_SOCKET_PATH: usize = 107;
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// The directory that one sidecar keeps its files in, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StateDirError {
    #[error("the state directory `{}` cannot be used", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the state directory `{}` is open to other users (mode {mode:o}): `chmod 700` it, or name one that does not exist", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("another sidecar runs with the state directory `{}`: each needs its own", .0.display())]
    Locked(PathBuf),
    #[error("the socket's path `{}` has {length} bytes and a Unix socket's has at most {LONGEST_SOCKET_PATH}: choose a shorter --state-dir", path.display())]
    LongSocketPath { path: PathBuf, length: usize },
    #[error(
        "an Envoy that an earlier sidecar started for the state directory `{}` still runs{} and holds its ports: end it, then start again",
        path.display(), pid.map(|pid| format!(" (`kill {pid}`)")).unwrap_or_default()
    )]
    OldEnvoy { path: PathBuf, pid: Option<i32> },
}

impl StateDir {
    /// Makes it if it is missing, takes its lock and removes the sockets that an earlier sidecar left behind.
    pub(crate) async fn open(path: &Path) -> Result<Self, StateDirError> {
        let failed = |source| StateDirError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let failed = |source| StateDirError::Io { path: path.clone(), source };
        let mode = path.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StateDirError::Open { path, mode });
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(path.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::Locked(path)),
            Err(TryLockError::Error(source)) => return Err(StateDirError::Io { path, source }),
        }
        let opened = Self { path, _lock: lock };
        for socket in [opened.admin_socket(), opened.sds_socket()] {
            opened.make_free(&socket).await?;
        }
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIR)
            .create(opened.modules())
            .map_err(|source| StateDirError::Io { path: opened.modules(), source })?;
        Ok(opened)
    }

    async fn make_free(&self, socket: &Path) -> Result<(), StateDirError> {
        let length = socket.as_os_str().len();
        if length > LONGEST_SOCKET_PATH {
            return Err(StateDirError::LongSocketPath { path: socket.to_owned(), length });
        }
        // Nobody but an Envoy that outlived its sidecar can answer: the lock keeps other sidecars away.
        if let Ok(stream) = UnixStream::connect(socket).await {
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            return Err(StateDirError::OldEnvoy { path: self.path.clone(), pid });
        }
        match std::fs::remove_file(socket) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StateDirError::Io { path: socket.to_owned(), source }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.path.join("admin.sock")
    }

    pub(crate) fn sds_socket(&self) -> PathBuf {
        self.path.join("sds.sock")
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.path.join("modules")
    }

    pub(crate) fn bootstrap(&self) -> PathBuf {
        self.path.join("bootstrap.json")
    }

    /// Certificate and key, when they are to be kept.
    pub(crate) fn identity(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        self.path.join("access.log")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn is_private_and_for_one_sidecar() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = StateDir::open(&path).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        assert!(matches!(StateDir::open(&path).await, Err(StateDirError::Locked(_))));
        drop(first);
        StateDir::open(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_others_can_read_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = StateDir::open(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("mode 755"), "{error}");
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o777, 0o755);
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = StateDir::open(&folder.path().join("x".repeat(100))).await.unwrap_err();
        assert!(error.to_string().contains("at most 107: choose a shorter --state-dir"), "{error}");
    }

    #[tokio::test]
    async fn a_stale_socket_is_removed_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = StateDir::open(&path).await.unwrap().admin_socket();
        let envoy = UnixListener::bind(&socket).unwrap();
        let error = StateDir::open(&path).await.unwrap_err();
        assert!(error.to_string().contains(&format!("`kill {}`", std::process::id())), "{error}");
        drop(envoy);
        assert!(socket.exists(), "closing a Unix listener leaves its path");
        StateDir::open(&path).await.unwrap();
        assert!(!socket.exists());
    }
}

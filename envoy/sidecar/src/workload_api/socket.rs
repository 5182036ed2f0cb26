use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::state_dir::LONGEST_SOCKET_PATH;

/// The sidecar's user, and its group to enter.
const FOLDER: u32 = 0o750;
/// What nobody may be allowed to do in the folder: the group to write, others anything.
const TOO_OPEN: u32 = 0o027;
const SOCKET: u32 = 0o660;

#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("the workload API's socket `{}` cannot be made", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the workload API's socket `{}`: its path may have ASCII letters, digits and `/.-_~` only, because apps read it as a URI", .0.display())]
    Name(PathBuf),
    #[error("the workload API's socket `{}`: its path has {length} bytes, and a Unix socket's has at most {LONGEST_SOCKET_PATH}", path.display())]
    Long { path: PathBuf, length: usize },
    #[error(
        "the workload API's socket is in `{}`, which more than its owner and group can use (mode {mode:o}): `chmod 750` it, or name a folder that does not exist",
        path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("the workload API's socket is in `{}`, which belongs to the user {owner}, not to the sidecar's", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("`{}` is not a socket: name another path for the workload API", .0.display())]
    NotASocket(PathBuf),
    #[error("somebody already serves `{}`: each sidecar needs a socket of its own for the workload API", .0.display())]
    Served(PathBuf),
}

/// The path from the root, as a URI has it.
pub(super) fn absolute(socket: &Path) -> Result<String, SocketError> {
    let failed = |source| SocketError::Io { path: socket.to_owned(), source };
    let path = std::path::absolute(socket).map_err(failed)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_~".contains(&byte);
    match path.to_str() {
        Some(text) if text.bytes().all(plain) && path.file_name().is_some() => Ok(text.to_owned()),
        Some(_) | None => Err(SocketError::Name(path)),
    }
}

/// Makes the folder if it is missing, removes what an earlier sidecar left behind, and listens.
pub(super) async fn bind(socket: &Path) -> Result<UnixListener, SocketError> {
    let path = PathBuf::from(absolute(socket)?);
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(SocketError::Long { path, length });
    }
    let failed = |source| SocketError::Io { path: path.clone(), source };
    let folder = path.parent().ok_or_else(|| SocketError::Name(path.clone()))?;
    DirBuilder::new().recursive(true).mode(FOLDER).create(folder).map_err(failed)?;
    check_folder(folder, folder.metadata().map_err(failed)?)?;
    make_free(&path).await?;
    let listener = UnixListener::bind(&path).map_err(failed)?;
    // Until now the folder alone keeps others out.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(SOCKET)).map_err(failed)?;
    Ok(listener)
}

fn check_folder(folder: &Path, metadata: std::fs::Metadata) -> Result<(), SocketError> {
    let mode = metadata.mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(SocketError::Open { path: folder.to_owned(), mode });
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(SocketError::Owner { path: folder.to_owned(), owner: metadata.uid() });
    }
    Ok(())
}

async fn make_free(path: &Path) -> Result<(), SocketError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Io { path: path.to_owned(), source }),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(SocketError::Served(path.to_owned()));
    }
    std::fs::remove_file(path).map_err(|source| SocketError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn only_user_and_group_reach_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run/orders");
        let path = folder.join("workload.sock");
        let first = bind(&path).await.unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777 & !FOLDER, 0);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, SOCKET);
        assert!(matches!(bind(&path).await, Err(SocketError::Served(_))));
        drop(first);
        bind(&path).await.unwrap();
        for mode in [0o700, 0o710, 0o750] {
            set_mode(&folder, mode);
            bind(&path).await.unwrap();
        }
        for mode in [0o770, 0o751, 0o755, 0o701, 0o777, 0o720] {
            set_mode(&folder, mode);
            let error = bind(&path).await.unwrap_err();
            assert!(error.to_string().contains(&format!("(mode {mode:o}): `chmod 750` it")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_in_its_place_and_bad_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), 0o700);
        let path = folder.path().join("file");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path).await, Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        for name in ["a b", "a%20b", "ä", "a?b", "a#b"] {
            assert!(matches!(bind(&folder.path().join(name)).await, Err(SocketError::Name(_))), "{name}");
        }
        assert!(matches!(absolute(Path::new("/")), Err(SocketError::Name(_))));
        assert!(matches!(bind(&folder.path().join("x".repeat(100))).await, Err(SocketError::Long { .. })));
        assert_eq!(absolute(Path::new("/run/orders/workload.sock")).unwrap(), "/run/orders/workload.sock");
    }
}

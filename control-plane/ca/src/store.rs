//! Files that must survive a crash at any instant and be nobody else's to read: directories 0700, files 0600. Knows nothing of what is in
//! them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use meshwright_durable as durable;
use zeroize::Zeroizing;

/// Files of ours are a few kilobytes; more is not ours.
const MAX_FILE: u64 = 64 * 1024;

/// Why a file of the data directory could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{}` cannot be {action}: {source}", .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("`{}` is open to others (mode {mode:04o}); it holds secrets, so run `chmod {wanted:04o}` on it first", .path.display())]
    TooOpen { path: PathBuf, mode: u32, wanted: u32 },
    #[error("`{}` may be written by others (mode {mode:04o}); run `chmod go-w` on it first", .path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("`{}` is larger than any file that belongs here", .path.display())]
    TooLarge { path: PathBuf },
    #[error("the operating system gives no randomness")]
    Random,
}

pub(crate) fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, action, source }
}

/// Makes the operator's data directory, or checks that only its owner can put things into it.
pub(crate) fn data_dir(path: &Path) -> Result<(), StoreError> {
    let existed = path.is_dir();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path, "created"))?;
    if !existed {
        return sync_parent(path);
    }
    let mode = mode(path)?;
    if mode & 0o022 != 0 { Err(StoreError::Writable { path: path.to_owned(), mode }) } else { Ok(()) }
}

/// Makes a directory of ours, or checks that it is closed to others.
pub(crate) fn private_dir(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(path, mode(path)?, 0o700),
        Err(error) => Err(io_error(path, "created")(error)),
    }
}

fn check_private(path: &Path, mode: u32, wanted: u32) -> Result<(), StoreError> {
    if mode & 0o077 != 0 { Err(StoreError::TooOpen { path: path.to_owned(), mode, wanted }) } else { Ok(()) }
}

fn mode(path: &Path) -> Result<u32, StoreError> {
    let metadata = fs::metadata(path).map_err(io_error(path, "read"))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

/// The whole file, or nothing when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, "read")(error)),
    };
    // Of the file that was opened: the name may be another's, or nobody's, by now.
    let mode = file.metadata().map_err(io_error(path, "read"))?.permissions().mode() & 0o7777;
    check_private(path, mode, 0o600)?;
    // Room for all of it at once: growing would leave copies of a key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE + 1).unwrap_or_default()));
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(io_error(path, "read"))?;
    if u64::try_from(content.len()).is_ok_and(|len| len > MAX_FILE) {
        return Err(StoreError::TooLarge { path: path.to_owned() });
    }
    Ok(Some(content))
}

/// After it returns the file has the new content, whatever happens to the machine; before, the old or the new, never a part.
pub(crate) fn write(dir: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let target = dir.join(name);
    durable::replace(&target, content).map_err(io_error(&target, "written"))
}

/// Removes a file, when there is one; [`sync_dir`] makes that last.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    durable::remove(path).map_err(io_error(path, "removed"))
}

/// Makes renames and removals in `dir` last.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    durable::sync_dir(dir).map_err(io_error(dir, "written"))
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Held until dropped: one process at a time changes `dir`.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io_error(&path, "opened"))?;
    file.lock().map_err(io_error(&path, "locked"))?;
    Ok(file)
}

/// From the operating system, by way of the TLS library.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

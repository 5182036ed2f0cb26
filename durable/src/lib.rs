//! Files that must survive a kill, a full disk or a loss of power at any instant: replaced as a whole ([`replace`]), or grown line by line
//! ([`Journal`]). All are mode 0600. Knows nothing of what is in them. Every change of the disk goes through one gate, at which tests can
//! stop the world (`faults`, a feature of the same name).

#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod journal;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

#[cfg(any(test, feature = "faults"))]
use self::faults::{freeing_step, step};
pub use self::journal::Journal;

/// What half-written files end in; their names begin with a dot. They are never read.
pub const TEMPORARY: &str = ".tmp";

/// Stands before each change of the disk.
#[cfg(not(any(test, feature = "faults")))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn step() -> io::Result<()> {
    Ok(())
}

/// Stands before each change that needs no room.
#[cfg(not(any(test, feature = "faults")))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn freeing_step() -> io::Result<()> {
    Ok(())
}

/// After it returns the file `path` has the new content, whatever happens to the machine; before, the old or the new, never a part.
///
/// # Errors
/// Of the file system. The old content stays, unless only making it last failed.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, |_| Ok(())).map(drop)
}

/// [`replace`]; `before` is done with the new file before it gets its name. The file is open for appending.
fn put(path: &Path, content: &[u8], before: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let folder = folder(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    step()?;
    // Mode 0600 and a random name, so that no two writers have the same.
    let mut new = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(TEMPORARY).append(true).tempfile_in(folder)?;
    let written = write(new.as_file_mut(), content).and_then(|()| before(new.as_file())).and_then(|()| step());
    let named = match written {
        Ok(()) => new.persist(path).map_err(|error| (error.error, error.file)),
        Err(error) => Err((error, new)),
    };
    match named {
        Ok(file) => sync_dir(folder).map(|()| file),
        Err((error, half)) => {
            remove_half(half);
            Err(error)
        }
    }
}

fn write(file: &mut File, content: &[u8]) -> io::Result<()> {
    // In two, so that tests can stop between them.
    let (first, second) = content.split_at(content.len() / 2);
    step()?;
    file.write_all(first)?;
    step()?;
    file.write_all(second)?;
    step()?;
    file.sync_all()
}

/// A process that was killed removes nothing.
fn remove_half(half: NamedTempFile) {
    if freeing_step().is_err() {
        // It stays where it is; whoever keeps it has nothing to do with the handle.
        _ = half.keep();
    }
}

/// Gives a file another name, atomically, and makes that last. `from` and `to` are in the same directory.
///
/// # Errors
/// Of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    fs::rename(from, to)?;
    sync_dir(folder(to))
}

/// Removes a file, when there is one; [`sync_dir`] makes that last.
///
/// # Errors
/// Of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    match freeing_step().and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames and removals in `dir` last.
///
/// # Errors
/// Of the file system.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    step()?;
    File::open(dir)?.sync_all()
}

/// Whether a file was being written when its writer was killed, or is being written now.
#[must_use]
pub fn is_unfinished(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY))
}

/// Removes what killed writers left in `dir`; for who alone writes there.
///
/// # Errors
/// Of the file system.
pub fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_unfinished(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::faults::Fault;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_replaced_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for content in [&b"one"[..], b"", b"three"] {
            replace(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["a.json"]);
        assert!(replace(&folder.path().join("missing").join("a"), b"a").is_err());
    }

    #[test]
    fn at_every_instant_it_is_the_old_or_the_new() {
        let mut seen = [false; 2];
        for fault in [Fault::Killed, Fault::Full] {
            let steps = faults::everywhere(|steps| {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a");
                replace(&path, b"the old").unwrap();
                let (result, struck) = faults::with(steps, fault, || replace(&path, b"the new one"));
                assert_eq!(result.is_err(), struck, "{steps}");
                let content = fs::read(&path).unwrap();
                assert!(content == b"the new one" || (struck && content == b"the old"), "{steps}: {content:?}");
                seen[usize::from(content == b"the old")] = true;
                let left = names(folder.path());
                assert!(left.len() == 1 || (fault == Fault::Killed && is_unfinished(&folder.path().join(&left[0]))), "{left:?}");
                remove_unfinished(folder.path()).unwrap();
                assert_eq!(names(folder.path()), ["a"]);
                replace(&path, b"again").unwrap();
                struck
            });
            assert_eq!(steps, 6, "made, two halves, synced, named, directory synced");
        }
        assert_eq!(seen, [true, true]);
    }

    #[test]
    fn renaming_and_removing_stop_too_and_removing_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        replace(&a, b"a").unwrap();
        assert!(faults::with(0, Fault::Full, || rename(&a, &b)).0.is_err() && a.exists());
        assert!(faults::with(1, Fault::Full, || rename(&a, &b)).0.is_err() && b.exists());
        // Room is not needed to remove.
        assert!(faults::with(0, Fault::Killed, || remove(&b)).0.is_err() && b.exists());
        remove(&b).unwrap();
        remove(&b).unwrap();
        assert_eq!(names(folder.path()), <[String; 0]>::default());
    }
}

//! A file of lines that grows at its end, and is written anew when most of it is history. What was appended when its writer was killed, or the
//! disk was full, is a whole line or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::{freeing_step, put, step};

/// How much is read at once to find the last line's end.
const BLOCK: u64 = 64 * 1024;

/// The file, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    size: u64,
    is_locked: bool,
}

impl Journal {
    /// Opens the file, or makes one. A last line that was not written to its end is cut off.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::opened(path, false)
    }

    /// As [`Journal::open`], for one process at a time.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another has it.
    pub fn open_locked(path: &Path) -> io::Result<Self> {
        Self::opened(path, true)
    }

    fn opened(path: &Path, is_locked: bool) -> io::Result<Self> {
        step()?;
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        if is_locked {
            file.try_lock()?;
        }
        let whole = end_of_last_line(&mut file)?;
        if file.metadata()?.len() > whole {
            freeing_step()?;
            file.set_len(whole)?;
        }
        Ok(Self { path: path.to_owned(), file, size: whole, is_locked })
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All lines.
    ///
    /// # Errors
    /// Of the file system.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.path)
    }

    /// Appends whole lines, in one piece. They survive the end of this process; that of the machine only after [`Journal::sync`].
    ///
    /// # Errors
    /// Of the file system; nothing was appended then.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.write(lines) {
            // Half a line must not stand before the next one.
            let cut = freeing_step().and_then(|()| self.file.set_len(self.size));
            return Err(cut.err().unwrap_or(error));
        }
        self.size = self.size.saturating_add(u64::try_from(lines.len()).unwrap_or_default());
        Ok(())
    }

    /// Makes last what was appended so far.
    ///
    /// # Errors
    /// Of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        step()?;
        self.file.sync_data()
    }

    /// [`Journal::append`] and [`Journal::sync`].
    ///
    /// # Errors
    /// Of the file system; nothing was appended then.
    pub fn append_synced(&mut self, lines: &[u8]) -> io::Result<()> {
        let before = self.size;
        self.append(lines)?;
        self.sync().inspect_err(|_| {
            if freeing_step().is_ok() && self.file.set_len(before).is_ok() {
                self.size = before;
            }
        })
    }

    /// Puts `lines` in place of all that there is, at once.
    ///
    /// # Errors
    /// Of the file system; what there was goes on then.
    pub fn rewrite(&mut self, lines: &[u8]) -> io::Result<()> {
        // Locked before it has the name: nobody finds it without a lock.
        let lock = |file: &File| if self.is_locked { Ok(file.try_lock()?) } else { Ok(()) };
        self.file = put(&self.path, lines, lock)?;
        self.size = u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }

    /// Goes on in a new file, and keeps this one as `old`, in place of another of that name.
    ///
    /// # Errors
    /// Of the file system.
    pub fn begin_anew(&mut self, old: &Path) -> io::Result<()> {
        crate::rename(&self.path, old)?;
        *self = Self::opened(&self.path, self.is_locked)?;
        Ok(())
    }

    #[cfg(not(any(test, feature = "faults")))]
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    /// In two, so that tests can stop between them.
    #[cfg(any(test, feature = "faults"))]
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let (first, second) = lines.split_at(lines.len() / 2);
        step()?;
        self.file.write_all(first)?;
        step()?;
        self.file.write_all(second)
    }
}

/// How long the file is without what stands behind its last line break.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start.saturating_add(u64::try_from(last).unwrap_or_default()).saturating_add(1));
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{self, Fault};

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_was_not_written_to_its_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let block = usize::try_from(BLOCK).unwrap();
        for (there, whole) in [
            (String::new(), 0),
            ("torn".to_owned(), 0),
            ("one\n".to_owned(), 4),
            ("one\ntorn".to_owned(), 4),
            (format!("one\n{}", "x".repeat(3 * block)), 4),
            (format!("{}\n", "x".repeat(3 * block)), 3 * block + 1),
            (format!("{}\nx", "x".repeat(block - 1)), block),
        ] {
            fs::write(&path, &there).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.size(), u64::try_from(whole).unwrap());
            journal.append(b"next\n").unwrap();
            assert_eq!(text(&path), format!("{}next\n", there.get(..whole).unwrap()));
        }
    }

    #[test]
    fn at_every_instant_there_are_whole_lines() {
        for fault in [Fault::Killed, Fault::Full] {
            let steps = faults::everywhere(|steps| {
                let folder = tempfile::tempdir().unwrap();
                let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
                let mut journal = Journal::open(&path).unwrap();
                journal.append(b"one\n").unwrap();
                let work = |journal: &mut Journal| -> io::Result<()> {
                    journal.append(b"two\n")?;
                    journal.append_synced(b"three\n")?;
                    journal.rewrite(b"all\n")?;
                    journal.begin_anew(&old)?;
                    journal.append(b"new\n")
                };
                let (result, struck) = faults::with(steps, fault, || work(&mut journal));
                assert_eq!(result.is_err(), struck, "{steps}");
                if fault == Fault::Full && path.exists() {
                    // There is room again, in the same process.
                    journal.append(b"later\n").unwrap();
                }
                drop(journal);
                let mut journal = Journal::open(&path).unwrap();
                journal.append(b"last\n").unwrap();
                let found = text(&path).replace("later\n", "");
                let found = found.strip_suffix("last\n").unwrap();
                let expected = ["one\n", "one\ntwo\n", "one\ntwo\nthree\n", "all\n", "", "new\n"];
                assert!(expected.contains(&found), "{fault:?} {steps}: {found:?}");
                assert!(!old.exists() || text(&old).starts_with("all\n"));
                struck
            });
            assert_eq!(steps, 16);
        }
    }

    #[test]
    fn one_process_at_a_time_also_after_it_was_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut first = Journal::open_locked(&path).unwrap();
        assert_eq!(Journal::open_locked(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        first.rewrite(b"one\n").unwrap();
        assert_eq!(Journal::open_locked(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(first.read().unwrap(), b"one\n");
        drop(first);
        assert_eq!(Journal::open_locked(&path).unwrap().size(), 4);
    }
}

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is appended to, and set aside as `<name>.1` (and `.2`, … up to a number) when it is full.
#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    /// None after a failure: opened again with the next write.
    file: Option<(File, u64)>,
    limit: u64,
    kept: u32,
}

impl AccessLog {
    /// Size at which a file is set aside.
    pub(crate) const LIMIT: u64 = 64 * 1024 * 1024;
    /// Files that are kept beside the current one.
    pub(crate) const KEPT: u32 = 3;

    pub(crate) fn open(path: &Path, limit: u64, kept: u32) -> io::Result<Self> {
        let mut log = Self { path: path.to_owned(), file: None, limit, kept };
        log.file = Some(log.reopen()?);
        Ok(log)
    }

    /// Appends whole lines. They stay together in one file.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let (mut file, mut size) = match self.file.take() {
            Some(open) => open,
            None => self.reopen()?,
        };
        if size > 0 && size.saturating_add(length) > self.limit {
            self.rotate()?;
            (file, size) = self.reopen()?;
        }
        file.write_all(lines)?;
        self.file = Some((file, size.saturating_add(length)));
        Ok(())
    }

    fn reopen(&self) -> io::Result<(File, u64)> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        if size == 0 {
            return Ok((file, 0));
        }
        // A writer that was killed, or a full disk, may have left half a line: it must not spoil the next one.
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            return Ok((file, size.saturating_add(1)));
        }
        Ok((file, size))
    }

    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            rename_if_there(&self.aside(number), &self.aside(number.saturating_add(1)))?;
        }
        rename_if_there(&self.path, &self.aside(1))
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn named(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AccessLog::open(&folder.path().join("access.log"), 4, 2).unwrap();
        for line in ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "long line\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(
            contents(folder.path()),
            named(&[("access.log", "long line\n"), ("access.log.1", "5\n6\n"), ("access.log.2", "3\n4\n")])
        );
    }

    #[test]
    fn an_older_file_is_continued_and_its_half_line_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "{}\n{\"ha").unwrap();
        let mut log = AccessLog::open(&path, 11, 1).unwrap();
        log.append(b"{}\n").unwrap();
        assert_eq!(contents(folder.path()), named(&[("access.log", "{}\n{\"ha\n{}\n")]));
        log.append(b"{}\n").unwrap();
        assert_eq!(contents(folder.path()), named(&[("access.log", "{}\n"), ("access.log.1", "{}\n{\"ha\n{}\n")]));
    }

    #[test]
    fn writing_goes_on_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/access.log");
        assert!(AccessLog::open(&path, 100, 1).is_err());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let mut log = AccessLog::open(&path, 4, 1).unwrap();
        log.append(b"1234\n").unwrap();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(log.append(b"lost\n").is_err());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        log.append(b"5678\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "5678\n");
    }
}

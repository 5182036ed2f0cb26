//! A log, cut into blocks of whole lines, so that several threads can read it and little of it is held at once.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memrchr};

/// Longer lines are no records.
pub(crate) const LONGEST_LINE: usize = 1 << 20;
const BLOCK: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Lines that follow each other.
#[derive(Debug)]
pub(crate) struct Block {
    /// From 1.
    pub(crate) first_line: u64,
    pub(crate) bytes: Vec<u8>,
    /// Its only line is too long, and not there.
    pub(crate) too_long: bool,
    /// Its last line has no end: it may have broken off.
    pub(crate) open: bool,
}

/// A file as it is, or what is in it if it is compressed with gzip; `progress` hears how many bytes of the file were read.
///
/// # Errors
/// When it cannot be read.
pub fn open<'p>(path: &Path, progress: &'p (dyn Fn(u64) + Sync)) -> io::Result<Box<dyn Read + Send + 'p>> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    let compressed = start == GZIP;
    let whole = Counted { inner: io::Cursor::new(start).chain(file), read: 0, progress };
    Ok(if compressed { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) })
}

struct Counted<'p, R> {
    inner: R,
    read: u64,
    progress: &'p (dyn Fn(u64) + Sync),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(length).unwrap_or_default());
        (self.progress)(self.read);
        Ok(length)
    }
}

/// Gives every block to `take`, until that wants no more.
pub(crate) fn cut(mut log: &mut dyn Read, take: &mut dyn FnMut(Block) -> bool) -> io::Result<()> {
    let (mut held, mut line) = (Vec::new(), 1_u64);
    let mut skipping = false;
    loop {
        let length = Read::by_ref(&mut log).take(u64::try_from(BLOCK).unwrap_or(u64::MAX)).read_to_end(&mut held)?;
        if length == 0 {
            if !held.is_empty() && !skipping {
                take(Block { first_line: line, bytes: held, too_long: false, open: true });
            }
            return Ok(());
        }
        if skipping {
            let Some(end) = memchr::memchr(b'\n', &held) else {
                held.clear();
                continue;
            };
            held.drain(..=end);
            line = line.saturating_add(1);
            skipping = false;
        }
        if let Some(end) = memrchr(b'\n', &held) {
            let rest = held.split_off(end.saturating_add(1));
            let lines = u64::try_from(memchr_iter(b'\n', &held).count()).unwrap_or(u64::MAX);
            if !take(Block { first_line: line, bytes: std::mem::replace(&mut held, rest), too_long: false, open: false }) {
                return Ok(());
            }
            line = line.saturating_add(lines);
        }
        if held.len() > LONGEST_LINE {
            if !take(Block { first_line: line, bytes: Vec::new(), too_long: true, open: false }) {
                return Ok(());
            }
            held.clear();
            skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line numbers and lines, as workers would see them.
    fn lines(text: &[u8]) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        cut(&mut &*text, &mut |block| {
            if block.too_long {
                found.push((block.first_line, "too long".to_owned()));
            }
            let text = String::from_utf8(block.bytes).unwrap();
            found.extend((block.first_line..).zip(text.lines().map(str::to_owned)));
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn every_line_comes_once_with_its_number() {
        let text: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
        let found = lines(text.as_bytes());
        assert_eq!(found.len(), 100_000);
        assert!(found.iter().all(|(number, line)| number.to_string() == *line));
        assert_eq!(lines(b"a\n\nb"), [(1, "a".to_owned()), (2, String::new()), (3, "b".to_owned())]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_not_held() {
        let long = "x".repeat(LONGEST_LINE * 3);
        let of = |text: String| lines(text.as_bytes());
        let named = |found: &[(u64, String)]| found.iter().map(|(number, line)| format!("{number} {line}")).collect::<Vec<_>>();
        assert_eq!(named(&of(format!("a\n{long}\nb\nc\n"))), ["1 a", "2 too long", "3 b", "4 c"]);
        assert_eq!(named(&of(format!("{long}\n{long}\nb"))), ["1 too long", "2 too long", "3 b"]);
        assert_eq!(named(&of(format!("a\n{long}"))), ["1 a", "2 too long"]);
    }
}

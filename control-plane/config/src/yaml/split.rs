//! Cuts a file at its document markers before anything is parsed, so that one malformed document does not take the others with it.
//! A line that starts with `---` cannot be inside a value (YAML 1.2, rules 203 and 206), so the cut is exact.

/// The bytes of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) bytes: &'a [u8],
    /// Of the file, counted from 1.
    pub(crate) line: usize,
    /// Counted from 1; what holds nothing but comments does not count.
    pub(crate) index: usize,
}

pub(crate) fn split(file: &[u8]) -> Vec<Chunk<'_>> {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let (mut start, mut start_line, mut at) = (0_usize, 1_usize, 0_usize);
    let mut add = |from: usize, to: usize, line: usize| {
        if let Some(bytes) = file.get(from..to).filter(|bytes| holds_something(bytes)) {
            chunks.push(Chunk { bytes, line, index: chunks.len().saturating_add(1) });
        }
    };
    for (number, line) in file.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if is_marker(line) && at > start {
            add(start, at, start_line);
            (start, start_line) = (at, number.saturating_add(1));
        }
        at = at.saturating_add(line.len());
    }
    add(start, file.len(), start_line);
    chunks
}

fn is_marker(line: &[u8]) -> bool {
    line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Whether there is more than blank lines, comments, markers and directives.
fn holds_something(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| {
        let line = if is_marker(line) { line.get(3..).unwrap_or_default() } else { line };
        let directive = line.starts_with(b"%") || line.trim_ascii() == b"...";
        let text = line.trim_ascii();
        !directive && !text.is_empty() && !text.starts_with(b"#")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(file: &str) -> Vec<(usize, usize, &str)> {
        split(file.as_bytes()).into_iter().map(|chunk| (chunk.index, chunk.line, std::str::from_utf8(chunk.bytes).unwrap())).collect()
    }

    #[test]
    fn documents_keep_their_lines_and_comments_do_not_count() {
        assert_eq!(pieces("a: 1\n---\nb: 2\n"), [(1, 1, "a: 1\n"), (2, 2, "---\nb: 2\n")]);
        assert_eq!(pieces("# head\n---\na: 1\n---\n# none\n---\r\nb: 2"), [(1, 2, "---\na: 1\n"), (2, 6, "---\r\nb: 2")]);
        assert_eq!(pieces("%YAML 1.2\n---\na: 1\n...\n"), [(1, 2, "---\na: 1\n...\n")]);
        assert_eq!(pieces("--- {a: 1}\n--- {b: 2}\n"), [(1, 1, "--- {a: 1}\n"), (2, 2, "--- {b: 2}\n")]);
        assert_eq!(pieces("a: |\n  ---\n  text\n----\n"), [(1, 1, "a: |\n  ---\n  text\n----\n")]);
        assert_eq!(pieces("\u{FEFF}a: 1\n"), [(1, 1, "a: 1\n")]);
        assert_eq!(pieces(""), []);
    }
}

/// Longest line that is kept whole. A record holds a path of at most 60 KiB (Envoy's limit of request headers) and is JSON-escaped.
const LONGEST: usize = 512 * 1024;
/// What `access-log` puts before each record.
const RECORD: &[u8] = b"meshwright-access ";
/// What `authz` puts before a key that it does not have.
const UNKNOWN_KEY: &[u8] = b"meshwright-unknown-key ";
/// How Envoy starts what a filter logs, after the fixed fields of [`LOG_FORMAT`].
const FROM_FILTER: &[u8] = b"wasm log";

/// Envoy's own default, said aloud because records are found by it: `[time][thread][level][logger] [source:line] message`.
pub(crate) const LOG_FORMAT: &str = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";

/// Bytes to lines. A line that is too long loses its end.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                each(&self.line);
                self.line.clear();
            }
        }
    }

    /// What came after the last line feed.
    pub(crate) fn rest(self) -> Option<Vec<u8>> {
        (!self.line.is_empty()).then_some(self.line)
    }
}

/// What one line of Envoy's output is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The JSON of an access-log record.
    Record(&'a [u8]),
    /// Meant to be a record and not JSON, for example cut off.
    BrokenRecord,
    /// The JSON of a key that a token named and the filter does not have.
    UnknownKey(&'a [u8]),
    Other,
}

impl<'a> Line<'a> {
    /// A record is what a filter logged itself and nothing that merely contains the words: text of a request in another line of the log
    /// must not become a record.
    pub(crate) fn of(line: &'a [u8]) -> Self {
        let Some(message) = message_of_filter(line) else { return Self::Other };
        if let Some(key) = message.strip_prefix(UNKNOWN_KEY) {
            return Self::UnknownKey(key);
        }
        let Some(record) = message.strip_prefix(RECORD) else { return Self::Other };
        match serde_json::from_slice::<serde::de::IgnoredAny>(record) {
            Ok(_) if record.starts_with(b"{") => Self::Record(record),
            Ok(_) | Err(_) => Self::BrokenRecord,
        }
    }
}

/// What a filter logged: `[…][…][…][wasm] [source:line] wasm log <plugin> <root id> <vm id>: <message>`.
fn message_of_filter(line: &[u8]) -> Option<&[u8]> {
    let fields = line.strip_prefix(b"[")?;
    let (head, message) = split_once(fields, b"] ")?;
    let (_source, message) = split_once(message.strip_prefix(b"[")?, b"] ")?;
    let logger = head.rsplit(|byte| *byte == b'[').next()?;
    let (_who, message) = split_once(message.strip_prefix(FROM_FILTER)?, b": ")?;
    (logger == b"wasm").then_some(message)
}

fn split_once<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = text.windows(at.len()).position(|window| window == at)?;
    let (before, rest) = text.split_at(start);
    Some((before, rest.get(at.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[2026-11-21 06:51:24.766][18510][info][wasm] [source/extensions/common/wasm/context.cc:1195]";

    fn lines(chunks: &[&str]) -> (Vec<String>, Option<Vec<u8>>) {
        let (mut splitter, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk.as_bytes(), |line| found.push(String::from_utf8(line.to_vec()).unwrap()));
        }
        (found, splitter.rest())
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        assert_eq!(lines(&["a\nb", "c\n", "\nd"]), (vec!["a".into(), "bc".into(), String::new()], Some(b"d".to_vec())));
        assert_eq!(lines(&[]), (vec![], None));
        assert_eq!(lines(&["a\n"]), (vec!["a".into()], None));
    }

    #[test]
    fn a_long_line_loses_its_end_and_nothing_after_it() {
        let long = "x".repeat(LONGEST);
        let (found, rest) = lines(&[&long, "more", "\nnext\n"]);
        assert_eq!(found, [long, "next".to_owned()]);
        assert_eq!(rest, None);
    }

    #[test]
    fn a_record_is_what_the_filter_logged() {
        let line = format!("{HEAD} wasm log access-log meshwright: meshwright-access {{\"path\":\"/a: b\"}}");
        assert_eq!(Line::of(line.as_bytes()), Line::Record(br#"{"path":"/a: b"}"#));
        let bare = format!("{HEAD} wasm log: meshwright-access {{}}");
        assert_eq!(Line::of(bare.as_bytes()), Line::Record(b"{}"));
    }

    #[test]
    fn an_unknown_key_is_what_the_filter_logged() {
        let line = format!("{HEAD} wasm log authz meshwright: meshwright-unknown-key {{\"issuer\":\"i\"}}");
        assert_eq!(Line::of(line.as_bytes()), Line::UnknownKey(br#"{"issuer":"i"}"#));
        let quoted = format!("{HEAD} wasm log authz vm: denied: meshwright-unknown-key {{}}");
        assert_eq!(Line::of(quoted.as_bytes()), Line::Other);
    }

    #[test]
    fn what_is_not_whole_json_is_broken() {
        for record in ["{\"a\":1", "", "7", "{} {}", "{\"a\":\u{1}}"] {
            let line = format!("{HEAD} wasm log access-log vm: meshwright-access {record}");
            assert_eq!(Line::of(line.as_bytes()), Line::BrokenRecord, "{record}");
        }
    }

    #[test]
    fn text_in_another_line_does_not_become_a_record() {
        let other_logger = HEAD.replace("[wasm]", "[http]");
        for line in [
            "meshwright-access {}".to_owned(),
            format!("{HEAD} wasm log authz vm: denied /x: meshwright-access {{}}"),
            format!("{other_logger} wasm log access-log vm: meshwright-access {{}}"),
            format!("{HEAD} something: meshwright-access {{}}"),
            "[".to_owned(),
            String::new(),
        ] {
            assert_eq!(Line::of(line.as_bytes()), Line::Other, "{line}");
        }
    }
}

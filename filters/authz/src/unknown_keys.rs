//! Keys that tokens name and nobody has, as lines for the host's log, which the sidecar passes on to the control plane. Few: anybody can
//! make up names.

use std::collections::VecDeque;
use std::fmt::Write as _;

use meshwright_policy::UnknownKey;
use serde_json::json;

/// What the sidecar knows such a line by.
const PREFIX: &str = "meshwright-unknown-key ";
/// Seconds between two lines.
const BETWEEN: u64 = 10;
/// For how many seconds one key is told once.
const REMEMBERED: u64 = 60;
const MOST_REMEMBERED: usize = 16;

/// What was told lately.
#[derive(Debug, Default)]
pub(crate) struct UnknownKeys {
    last: Option<u64>,
    told: VecDeque<(UnknownKey, u64)>,
}

impl UnknownKeys {
    /// The line to write, if it is time for one. `find` is asked only then: it costs something.
    #[inline(never)]
    pub(crate) fn line(&mut self, now: u64, find: impl FnOnce() -> Option<UnknownKey>) -> Option<String> {
        // Also open when the clock was set back.
        if self.last.is_some_and(|last| last.abs_diff(now) < BETWEEN) {
            return None;
        }
        self.told.retain(|(_, at)| at.abs_diff(now) < REMEMBERED);
        let key = find()?;
        if self.told.iter().any(|(told, _)| *told == key) {
            return None;
        }
        let line = format!("{PREFIX}{}", ascii(&json!({"issuer": key.issuer, "kid": key.kid}).to_string()));
        self.last = Some(now);
        if self.told.len() >= MOST_REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back((key, now));
        Some(line)
    }
}

/// JSON without control characters and what terminals may take for them (RFC 8259 section 7).
#[inline(never)]
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character == ' ' || character.is_ascii_graphic() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str) -> Option<UnknownKey> {
        Some(UnknownKey { issuer: "https://i".to_owned(), kid: kid.to_owned() })
    }

    #[test]
    fn a_line_is_one_line_of_json() {
        let line = UnknownKeys::default().line(0, || key("a\n\"\u{1b}[2J\u{9b}ä😀\u{7f}")).unwrap();
        assert_eq!(line, r#"meshwright-unknown-key {"issuer":"https://i","kid":"a\n\"\u001b[2J\u009b\u00e4\ud83d\ude00\u007f"}"#);
    }

    #[test]
    fn there_are_few_lines_and_each_key_has_one() {
        let mut keys = UnknownKeys::default();
        let mut told = |now, kid: &str| keys.line(now, || key(kid)).is_some();
        assert!(told(100, "a"));
        assert!(!told(109, "b"), "too soon");
        assert!(!told(110, "a"), "told already, and it costs no turn");
        assert!(told(110, "b"));
        assert!(told(160, "a"), "told again after a while");
        assert!(told(5, "c"), "the clock was set back");
        assert!(keys.line(100, || None).is_none());
        for number in 0..100 {
            keys.line(1000 + 10 * number, || key(&number.to_string()));
        }
        assert!(keys.told.len() <= MOST_REMEMBERED);
        let asked = keys.line(1991, || panic!("not asked: it costs something"));
        assert_eq!(asked, None);
    }
}

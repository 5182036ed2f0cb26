//! What an unquoted word means. YAML 1.1 (kubectl) and 1.2 disagree about some words; those are kept apart as ambiguous.

use std::borrow::Cow;

/// A value that is neither list nor object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Boolean(bool),
    Integer(i64),
    /// As it was written.
    Decimal(String),
    Text(String),
    /// `on`, `017`, `0x1f`, `1_000`, …: a boolean or a number to some readers, a text to others.
    Ambiguous(String),
}

/// YAML 1.1's other words for booleans.
const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

impl Scalar {
    pub(crate) fn from_plain(text: Cow<'_, str>) -> Self {
        match &*text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => return Self::Boolean(true),
            "false" | "False" | "FALSE" => return Self::Boolean(false),
            _ => {}
        }
        if WORDS.iter().any(|word| word.eq_ignore_ascii_case(&text)) {
            return Self::Ambiguous(text.into_owned());
        }
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if is_canonical(digits) {
            return text.parse().map_or_else(|_| Self::Ambiguous(text.into_owned()), Self::Integer);
        }
        if digits.split_once('.').is_some_and(|(whole, part)| is_canonical(whole) && is_digits(part)) {
            return Self::Decimal(text.into_owned());
        }
        if is_number_somewhere(&text) { Self::Ambiguous(text.into_owned()) } else { Self::Text(text.into_owned()) }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Decimal(text) => text.parse::<f64>().map_or_else(|_| text.clone().into(), Into::into),
            Self::Text(text) | Self::Ambiguous(text) => text.clone().into(),
        }
    }

    /// For messages: what was found.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Boolean(value) => format!("the boolean `{value}`"),
            Self::Integer(value) => format!("the number `{value}`"),
            Self::Decimal(text) => format!("the number `{}`", shorten(text)),
            Self::Text(text) => format!("the text `{}`", shorten(text)),
            Self::Ambiguous(text) => format!("`{}`, which is a text to some YAML readers and not to others", shorten(text)),
        }
    }
}

/// Enough of a text to recognise it, on one line.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short.replace("\\'", "'").replace("\\\"", "\"")
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_canonical(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_number_somewhere(text: &str) -> bool {
    // All of them begin so.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | '_')) {
        return false;
    }
    let bare = text.replace('_', "").to_ascii_lowercase();
    let unsigned = bare.strip_prefix(['+', '-']).unwrap_or(&bare);
    let radix = |prefix: &str, radix: u32| {
        unsigned.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    let starts_like_one = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    radix("0x", 16)
        || radix("0o", 8)
        || radix("0b", 2)
        || [".inf", ".nan"].contains(&unsigned)
        || (starts_like_one && unsigned.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_every_reader_takes_them_for_or_are_ambiguous() {
        use Scalar as S;
        for (text, scalar) in [
            ("null", S::Null),
            ("True", S::Boolean(true)),
            ("80", S::Integer(80)),
            ("-1", S::Integer(-1)),
            ("0", S::Integer(0)),
            ("1.50", S::Decimal("1.50".to_owned())),
            ("127.0.10.1", S::Text("127.0.10.1".to_owned())),
            ("10s", S::Text("10s".to_owned())),
            ("2024-01-01T00:00:00Z", S::Text("2024-01-01T00:00:00Z".to_owned())),
            ("infinity", S::Text("infinity".to_owned())),
        ] {
            assert_eq!(S::from_plain(text.into()), scalar, "{text}");
        }
        for text in ["on", "No", "y", "010", "0x1F", "0o17", "1_000", "+5", "1e3", ".5", "5.", ".inf", "-.INF", "99999999999999999999"] {
            assert_eq!(S::from_plain(text.into()), S::Ambiguous(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_was_found_is_shown_on_one_line_and_short() {
        assert_eq!(shorten("a\nb"), "a\\nb");
        assert_eq!(shorten(&"ä".repeat(100)).chars().count(), 61);
    }
}

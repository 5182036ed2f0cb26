//! From the text of a file to what it says.

use granit_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;

use crate::error::{FileError, Wrong};

/// What a YAML document says.
///
/// # Errors
/// The first thing that is wrong, with its line and the path of its field.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    check_spelling(file, text)?;
    let mut path = String::new();
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        serde_path_to_error::deserialize(document).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    });
    parsed.map_err(|error| {
        let line = error.location().map(|location| location.line());
        let path = if path == "." { String::new() } else { path.clone() };
        Wrong::new(path, without_place(&error.to_string())).at(file, line)
    })
}

/// Whoever writes `0x10` for a text would be given `16`: numbers and booleans have one spelling, and all else is quoted.
fn check_spelling(file: &str, text: &str) -> Result<(), FileError> {
    for next in Parser::new_from_str(text) {
        // What is no YAML is told by the reader, in its words.
        let Ok((event, span)) = next else { return Ok(()) };
        if let Event::Scalar(value, ScalarStyle::Plain, ..) = event
            && is_respelled(&value)
        {
            let message = format!("found `{value}`, another spelling of a number or boolean: quote it if it is a text");
            return Err(Wrong::new("", message).at(file, u64::try_from(span.start.line()).ok()));
        }
    }
    Ok(())
}

/// Booleans and whole numbers as YAML 1.2 and the reader have them (section 10.3.2, and underscores), but for `true`, `false` and plain decimals.
fn is_respelled(text: &str) -> bool {
    let is_boolean = |name: &str| text.eq_ignore_ascii_case(name) && text != name;
    if is_boolean("true") || is_boolean("false") {
        return true;
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let based = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().find_map(|base| digits.strip_prefix(base));
    let is_number = match based {
        Some(digits) => !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '_'),
        None => {
            digits.starts_with(|first: char| first.is_ascii_digit()) && digits.chars().all(|digit| digit.is_ascii_digit() || digit == '_')
        }
    };
    is_number && text.parse::<i128>().map_or(true, |number| number.to_string() != text)
}

/// The parser ends its messages with the place, which the error has already.
fn without_place(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    message.strip_prefix("error: ").unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_and_booleans_have_one_spelling() {
        for text in ["0x1F", "0o17", "0b1", "007", "+5", "1_000", "-0x1", "00", "-0", "True", "FALSE"] {
            let error = parse::<Vec<serde::de::IgnoredAny>>("f", &format!("- 'a'\n- {text}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("f:2: found `{text}`, another spelling of a number or boolean: quote it if it is a text"));
        }
        for text in
            ["0", "5", "-5", "18446744073709551615", "0x", "0xyz", "'0x1F'", "2026-01-01", "10.0.0.1", "_1", "1e3", "a", "true", "yes"]
        {
            assert!(!is_respelled(text), "{text}");
        }
    }

    #[test]
    fn an_error_has_line_and_field() {
        type Document = BTreeMap<String, Vec<u16>>;
        assert_eq!(parse::<Document>("f", "a: [1, 2]\n"), Ok([("a".to_owned(), vec![1, 2])].into()));
        let error = parse::<Document>("f", "a: [1]\nb:\n- 2\n- x\n").unwrap_err();
        assert_eq!((error.line, error.path.as_str()), (Some(4), "b[1]"), "{error}");
        let error = parse::<Document>("f", "[]").unwrap_err();
        assert!(error.to_string().starts_with("f:1: "), "{error}");
    }
}

//! From the text of a file to what it says. Every error has the file, the line where one is known, and the path of the field.

use serde::de::DeserializeOwned;

/// What is wrong with a test file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {}{message}", line.map_or_else(String::new, |line| format!(":{line}")), prefix(path))]
pub struct TestFileError {
    /// As it was named.
    pub file: String,
    /// From 1.
    pub line: Option<u64>,
    /// Where in the file, as `tests[0].expect.status`; empty for the file itself.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// What is wrong, before the file and the line are known.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same of a field that is inside another one.
    pub(crate) fn below(self, outer: &str) -> Self {
        let path = if self.path.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.path) };
        Self { path, ..self }
    }

    pub(crate) fn at(self, file: &str, line: Option<u64>) -> TestFileError {
        TestFileError { file: file.to_owned(), line, path: self.path, message: self.message }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, TestFileError> {
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
        // A place that knows its line is a map of its own to the reader.
        let path = if path == "." { String::new() } else { path.replace("].value", "]") };
        Wrong::new(path, without_place(&error.to_string())).at(file, line)
    })
}

/// The parser ends its messages with the place, which the error has already.
fn without_place(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    message.strip_prefix("error: ").unwrap_or(message).to_owned()
}

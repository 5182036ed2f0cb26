//! What is wrong with files of tests.

use std::path::PathBuf;

/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {}{message}", line.map_or_else(String::new, |line| format!(":{line}")), prefix(path))]
pub struct FileError {
    /// As it was named.
    pub file: String,
    /// From 1.
    pub line: Option<u64>,
    /// Where in the file, as `expect.client.status`; empty for the file itself.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// What is wrong, before the file and the line are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The field.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

impl Wrong {
    /// A field and what is wrong with it.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same of a field that is inside another one.
    #[must_use]
    pub fn below(self, outer: &str) -> Self {
        let path = if self.path.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.path) };
        Self { path, ..self }
    }

    /// The same, with its place.
    #[must_use]
    pub fn at(self, file: &str, line: Option<u64>) -> FileError {
        FileError { file: file.to_owned(), line, path: self.path, message: self.message }
    }
}

/// Why no tests can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There are no files.
    #[error("no {what}: {} holds no {names}", paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    None {
        /// What was looked for.
        what: &'static str,
        /// How their files are called.
        names: String,
        /// Where they were looked for.
        paths: Vec<PathBuf>,
    },
    /// Files are wrong: the first error of each.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// One for each file that is wrong.
        errors: Vec<FileError>,
    },
}

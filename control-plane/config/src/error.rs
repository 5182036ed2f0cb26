//! What is wrong with a document, said to the person who wrote it: where, in which field, what was found, what is allowed.

use std::fmt;

use crate::key::{DocumentKey, Kind, Origin};

/// One thing that is wrong with one document. Printed as
/// `file:line:column: document N (Kind namespace/name): field.path: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    pub(crate) origin: Origin,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) related: Vec<DocumentKey>,
}

impl DocumentError {
    #[must_use]
    pub fn file(&self) -> &str {
        self.origin.file()
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// Counted from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// The document's number within its file, counted from 1; 0 when the file as a whole is meant.
    #[must_use]
    pub fn document(&self) -> usize {
        self.origin.index()
    }

    /// As it was written, known or not.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The field, as in `spec.rules[0].to`; empty when the document as a whole is meant.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Other documents that this one contradicts: a change to one of them may be the cause.
    #[must_use]
    pub fn related(&self) -> &[DocumentKey] {
        &self.related
    }

    /// The document's name, when kind and name could be read.
    #[must_use]
    pub fn key(&self) -> Option<DocumentKey> {
        let kind = Kind::from_word(self.kind.as_deref()?)?;
        Some(DocumentKey::new(kind, self.namespace.clone()?, self.name.clone()?))
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document() == 0 {
            return write!(f, "{}: {}", self.file(), self.message);
        }
        write!(f, "{}:{}:{}: document {}", self.file(), self.line, self.column, self.document())?;
        match (&self.kind, &self.namespace, &self.name) {
            (Some(kind), Some(namespace), Some(name)) => write!(f, " ({kind} {namespace}/{name})")?,
            (Some(kind), ..) => write!(f, " ({kind})")?,
            (None, ..) => {}
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for DocumentError {}

impl serde::Serialize for DocumentError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("DocumentError", 9)?;
        fields.serialize_field("file", self.file())?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("column", &self.column)?;
        fields.serialize_field("document", &self.document())?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("namespace", &self.namespace)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("message", &self.message)?;
        fields.end()
    }
}

/// A document that is not taken, with every reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    pub(crate) origin: Origin,
    /// Never empty.
    pub(crate) errors: Vec<DocumentError>,
}

impl Rejected {
    /// The errors that one document was given; `None` when there is none.
    #[must_use]
    pub fn new(errors: Vec<DocumentError>) -> Option<Self> {
        errors.first().map(|first| first.origin.clone()).map(|origin| Self { origin, errors })
    }

    /// A file, or a folder, that is wrong as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let origin = Origin { file: file.into(), index: 0, line: 1 };
        let error = DocumentError {
            origin: origin.clone(),
            line: 1,
            column: 1,
            kind: None,
            namespace: None,
            name: None,
            path: String::new(),
            message: message.into(),
            related: Vec::new(),
        };
        Self { origin, errors: vec![error] }
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// At least one.
    #[must_use]
    pub fn errors(&self) -> &[DocumentError] {
        &self.errors
    }

    /// The document's name, when it could be read.
    #[must_use]
    pub fn key(&self) -> Option<DocumentKey> {
        self.errors.first().and_then(DocumentError::key)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}

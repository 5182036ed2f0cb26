use std::fmt;

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field, from where the caller's own path ends: `rules[0].when[1].key`.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPolicy {
    pub errors: Vec<Invalid>,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidPolicy {}

/// Collects errors below a path, so that one pass reports all of them.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<Invalid>,
}

impl Errors {
    pub(crate) fn add(&mut self, path: impl fmt::Display, message: impl Into<String>) {
        self.push(&path, message.into());
    }

    /// One piece of code for all kinds of paths: it is seldom run, and there are many places to add from.
    #[cold]
    #[inline(never)]
    fn push(&mut self, path: &dyn fmt::Display, message: String) {
        self.found.push(Invalid { path: path.to_string(), message });
    }

    /// The value, or nothing and one error more.
    pub(crate) fn keep<T>(&mut self, path: impl fmt::Display, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => {
                self.add(path, message);
                None
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_found(self) -> Vec<Invalid> {
        self.found
    }

    /// # Errors
    /// When some were found.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, InvalidPolicy> {
        if self.is_empty() { Ok(value) } else { Err(InvalidPolicy { errors: self.found }) }
    }
}

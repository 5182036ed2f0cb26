//! One macro: a domain type with fields that only this crate fills, and a borrowed getter for each.

/// Declares a struct; each field says how its getter hands it out:
/// `plain` by reference, `copy` by value, `text` as `&str`, `list` as a slice, `maybe` as `Option<&T>`, `maybe_copy` as `Option<T>`.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $how:ident $field:ident $(: $type:ty)?),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(pub(crate) $field: $crate::record::stored!($how $(, $type)?),)*
        }

        impl $name {
            $($crate::record::getter!($(#[$field_meta])* $how, $field $(, $type)?);)*
        }
    };
}

macro_rules! stored {
    (plain, $type:ty) => { $type };
    (copy, $type:ty) => { $type };
    (text) => { String };
    (maybe_text) => { Option<String> };
    (list, $type:ty) => { Vec<$type> };
    (maybe, $type:ty) => { Option<$type> };
    (maybe_copy, $type:ty) => { Option<$type> };
}

macro_rules! getter {
    ($(#[$meta:meta])* plain, $field:ident, $type:ty) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> &$type { &self.$field }
    };
    ($(#[$meta:meta])* copy, $field:ident, $type:ty) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> $type { self.$field }
    };
    ($(#[$meta:meta])* text, $field:ident) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> &str { &self.$field }
    };
    ($(#[$meta:meta])* maybe_text, $field:ident) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> Option<&str> { self.$field.as_deref() }
    };
    ($(#[$meta:meta])* list, $field:ident, $type:ty) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> &[$type] { &self.$field }
    };
    ($(#[$meta:meta])* maybe, $field:ident, $type:ty) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> Option<&$type> { self.$field.as_ref() }
    };
    ($(#[$meta:meta])* maybe_copy, $field:ident, $type:ty) => {
        $(#[$meta])* #[must_use] pub fn $field(&self) -> Option<$type> { self.$field }
    };
}

/// Declares an enum whose variants are words of the YAML: `WORDS`, `from_word` and `as_str`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// Every word that the YAML may say here.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word of the YAML.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use {getter, record, stored, words};

//! Values that have a short form, a scalar or a list of scalars, beside a full one that is a map. Reading them by hand rather than as serde's
//! untagged enums keeps the path and the words of an error inside the map.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What can be written shorter.
pub trait ShortForm: Sized {
    /// What a map is read as.
    type Full: DeserializeOwned;

    /// What is allowed, in words.
    const ALLOWED: &'static str;

    /// From a text, also one that YAML takes for a whole number or a boolean.
    ///
    /// # Errors
    /// What is wrong with it.
    fn of_text(text: String) -> Result<Self, String>;

    /// From a map.
    ///
    /// # Errors
    /// What is wrong with it.
    fn of_full(full: Self::Full) -> Result<Self, String>;

    /// From a list of texts.
    ///
    /// # Errors
    /// What is wrong with it; if not said otherwise, that it is a list.
    fn of_list(_: Vec<String>) -> Result<Self, String> {
        Err(format!("found a list (allowed: {})", Self::ALLOWED))
    }
}

/// A value in either form.
///
/// # Errors
/// What is wrong with it.
pub fn read_short<'de, T: ShortForm, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData))
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: ShortForm> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ALLOWED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text.to_owned()).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::of_text(number.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_text(number.to_string()).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::of_text(value.to_string()).map_err(E::custom)
    }

    /// YAML reads `1.10` as 1.1.
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(E::custom(format!("found the number {number}: quote what is meant as text")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(Scalar(text)) = list.next_element()? {
            texts.push(text);
        }
        T::of_list(texts).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let full = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        T::of_full(full).map_err(A::Error::custom)
    }
}

/// A text, also when YAML takes it for a whole number or a boolean.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_short(deserializer)
    }
}

impl ShortForm for Scalar {
    type Full = std::collections::BTreeMap<String, serde::de::IgnoredAny>;
    const ALLOWED: &'static str = "a text";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self(text))
    }

    fn of_full(_: Self::Full) -> Result<Self, String> {
        Err("found a map (allowed: a text)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[derive(Debug, PartialEq, Eq)]
    struct Texts(Vec<String>);

    impl ShortForm for Texts {
        type Full = std::collections::BTreeMap<String, u8>;
        const ALLOWED: &'static str = "texts";

        fn of_text(text: String) -> Result<Self, String> {
            Ok(Self(vec![text]))
        }

        fn of_list(texts: Vec<String>) -> Result<Self, String> {
            Ok(Self(texts))
        }

        fn of_full(full: Self::Full) -> Result<Self, String> {
            Ok(Self(full.into_keys().collect()))
        }
    }

    impl<'de> Deserialize<'de> for Texts {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            read_short(deserializer)
        }
    }

    #[test]
    fn a_scalar_is_what_is_written() {
        for (text, expected) in [
            ("a", Ok(vec!["a"])),
            ("'007'", Ok(vec!["007"])),
            ("-5", Ok(vec!["-5"])),
            ("yes", Ok(vec!["yes"])),
            ("true", Ok(vec!["true"])),
            ("[1, b]", Ok(vec!["1", "b"])),
            ("{a: 1}", Ok(vec!["a"])),
            ("1.10", Err("f: found the number 1.1: quote what is meant as text")),
        ] {
            let found = parse::<Texts>("f", text).map_err(|error| error.to_string());
            let expected = expected.map(|texts| Texts(texts.into_iter().map(str::to_owned).collect())).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        }
    }
}

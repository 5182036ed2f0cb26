//! Values that have a short form, a scalar or a list of scalars, beside a full one that is a map. Reading them by hand rather than as serde's
//! untagged enums keeps the path and the words of an error inside the map.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

pub(crate) trait ShortForm: Sized {
    /// What a map is read as.
    type Full: DeserializeOwned;

    /// What is allowed, in words.
    const ALLOWED: &'static str;

    fn of_text(text: String) -> Result<Self, String>;

    fn of_full(full: Self::Full) -> Result<Self, String>;

    fn of_list(_: Vec<String>) -> Result<Self, String> {
        Err(format!("found a list (allowed: {})", Self::ALLOWED))
    }
}

pub(crate) fn read<'de, T: ShortForm, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
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
        let full = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        T::of_full(full).map_err(A::Error::custom)
    }
}

/// A text, also when YAML takes it for a whole number or a boolean.
struct Scalar(String);

impl<'de> serde::Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
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

//! Values that have a short form, a text, beside a full one. Reading them by hand rather than as serde's untagged enums keeps the path and the
//! words of an error inside the map.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{DecisionWire, ExpectWire, TokenWire, WorkloadWire};

/// A `T`, which may be written as a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Short<T>(pub(crate) T);

/// What can be said shorter.
pub(crate) trait ShortForm: DeserializeOwned {
    /// What is allowed, in words.
    const ALLOWED: &'static str;

    fn of_text(text: &str) -> Result<Self, String>;
}

impl<T: Serialize> Serialize for Short<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: ShortForm> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Short<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, generator.subschema_for::<T>()]})
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: ShortForm> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ALLOWED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl ShortForm for WorkloadWire {
    const ALLOWED: &'static str = "`NAMESPACE/NAME`, or a map with `namespace` and `name`";

    fn of_text(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), ..Self::default() })
            }
            Some(_) | None => Err(format!("found `{text}` (allowed: {})", Self::ALLOWED)),
        }
    }
}

impl ShortForm for TokenWire {
    const ALLOWED: &'static str = "a token as it is sent, or a map with `issuer` and `claims`";

    fn of_text(text: &str) -> Result<Self, String> {
        Ok(Self { text: Some(text.to_owned()), ..Self::default() })
    }
}

impl ShortForm for ExpectWire {
    const ALLOWED: &'static str = "`allow`, `deny` or `ask`, or a map of expectations";

    fn of_text(text: &str) -> Result<Self, String> {
        let decisions = [DecisionWire::Allow, DecisionWire::Deny, DecisionWire::Ask];
        let decision = decisions.into_iter().find(|decision| decision.as_str() == text);
        let decision = decision.ok_or_else(|| format!("found `{text}` (allowed: {})", Self::ALLOWED))?;
        Ok(Self { decision: Some(decision), ..Self::default() })
    }
}

/// The values of one header, in order: a text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HeaderValues(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for HeaderValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = HeaderValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts; quote numbers and booleans")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HeaderValues, E> {
        Ok(HeaderValues(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HeaderValues, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element::<String>()? {
            values.push(value);
        }
        Ok(HeaderValues(values))
    }
}

impl JsonSchema for HeaderValues {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeaderValues".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}

//! Values that have a short form, a text, beside a full one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meshwright_test_files::{ShortForm, read_short};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize, Serializer};

use super::{DecisionWire, ExpectWire, TokenWire, WorkloadWire};

/// A `T`, which may be written as a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Short<T>(pub(crate) T);

impl<T: Serialize> Serialize for Short<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Short<T>
where
    Self: ShortForm,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_short(deserializer)
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

impl ShortForm for Short<WorkloadWire> {
    type Full = WorkloadWire;
    const ALLOWED: &'static str = "`NAMESPACE/NAME`, or a map with `namespace` and `name`";

    fn of_text(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self(WorkloadWire { namespace: namespace.to_owned(), name: name.to_owned(), ..WorkloadWire::default() }))
            }
            Some(_) | None => Err(format!("found `{text}` (allowed: {})", Self::ALLOWED)),
        }
    }

    fn of_full(full: Self::Full) -> Result<Self, String> {
        Ok(Self(full))
    }
}

impl ShortForm for Short<TokenWire> {
    type Full = TokenWire;
    const ALLOWED: &'static str = "a token as it is sent, or a map with `issuer` and `claims`";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self(TokenWire { text: Some(text), ..TokenWire::default() }))
    }

    fn of_full(full: Self::Full) -> Result<Self, String> {
        Ok(Self(full))
    }
}

impl ShortForm for Short<ExpectWire> {
    type Full = ExpectWire;
    const ALLOWED: &'static str = "`allow`, `deny` or `ask`, or a map of expectations";

    fn of_text(text: String) -> Result<Self, String> {
        let decisions = [DecisionWire::Allow, DecisionWire::Deny, DecisionWire::Ask];
        let decision = decisions.into_iter().find(|decision| decision.as_str() == text);
        let decision = decision.ok_or_else(|| format!("found `{text}` (allowed: {})", Self::ALLOWED))?;
        Ok(Self(ExpectWire { decision: Some(decision), ..ExpectWire::default() }))
    }

    fn of_full(full: Self::Full) -> Result<Self, String> {
        Ok(Self(full))
    }
}

/// The values of one header, in order: a text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HeaderValues(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for HeaderValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_short(deserializer)
    }
}

impl ShortForm for HeaderValues {
    type Full = BTreeMap<String, IgnoredAny>;
    const ALLOWED: &'static str = "a text or a list of texts";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self(vec![text]))
    }

    fn of_list(texts: Vec<String>) -> Result<Self, String> {
        Ok(Self(texts))
    }

    fn of_full(_: Self::Full) -> Result<Self, String> {
        Err(format!("found a map (allowed: {})", Self::ALLOWED))
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
        let scalar = || json_schema!({"type": ["string", "integer", "boolean"]});
        json_schema!({"anyOf": [scalar(), {"type": "array", "items": scalar()}]})
    }
}

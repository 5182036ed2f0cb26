//! Bytes, header values, property values and times, as scenario files write them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshwright_test_files::ShortForm;
use meshwright_wasm_host::Value;
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes: a text as it is, `{base64: TEXT}`, or `{json: VALUE}` written without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BytesInFull {
    base64: Option<String>,
    json: Option<serde_json::Value>,
}

impl ShortForm for Bytes {
    type Full = BytesInFull;
    const ALLOWED: &'static str = "a text, `{base64: TEXT}` or `{json: VALUE}`";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self(text.into_bytes()))
    }

    fn of_full(full: BytesInFull) -> Result<Self, String> {
        match full {
            BytesInFull { base64: Some(text), json: None } => from_base64(&text).map(Self),
            BytesInFull { base64: None, json: Some(value) } => Ok(Self(value.to_string().into_bytes())),
            _ => Err(format!("exactly one of `base64` and `json` is needed (allowed: {})", Self::ALLOWED)),
        }
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("`{text}` is not base64: {error}"))
}

/// The values of one header, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderValues(pub(crate) Vec<Vec<u8>>);

impl ShortForm for HeaderValues {
    type Full = BytesInFull;
    const ALLOWED: &'static str = "a text, a list of texts, `{base64: TEXT}` or `{json: VALUE}`";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self(vec![text.into_bytes()]))
    }

    fn of_full(full: BytesInFull) -> Result<Self, String> {
        Bytes::of_full(full).map(|bytes| Self(vec![bytes.0]))
    }

    fn of_list(texts: Vec<String>) -> Result<Self, String> {
        Ok(Self(texts.into_iter().map(String::into_bytes).collect()))
    }
}

/// The plugin's or the VM's configuration: a text as it is, or anything else as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Configuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.as_str().map_or_else(|| value.to_string(), str::to_owned).into_bytes()))
    }
}

/// The value of a property. A map whose only key is `base64` is bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PropertyValue(pub(crate) Value);

impl<'de> Deserialize<'de> for PropertyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        property(serde_json::Value::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

fn property(value: serde_json::Value) -> Result<Value, String> {
    Ok(match value {
        serde_json::Value::Null => return Err("found null (allowed: a text, a number, a boolean, a list, a map)".to_owned()),
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(double)) if !number.is_u64() => double.into(),
            _ => return Err(format!("{number} is more than an attribute can hold")),
        },
        serde_json::Value::Array(list) => Value::List(list.into_iter().map(property).collect::<Result<_, _>>()?),
        serde_json::Value::Object(map) => match map.get("base64").and_then(serde_json::Value::as_str) {
            Some(text) if map.len() == 1 => from_base64(text)?.into(),
            _ => Value::Map(map.into_iter().map(|(key, value)| Ok((key.into_bytes(), property(value)?))).collect::<Result<_, String>>()?),
        },
    })
}

/// A time: RFC 3339, or seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl ShortForm for Time {
    type Full = std::collections::BTreeMap<String, serde::de::IgnoredAny>;
    const ALLOWED: &'static str = "a time such as 2026-01-01T00:00:00Z, or whole seconds since 1970";

    fn of_text(text: String) -> Result<Self, String> {
        let wrong = || format!("found `{text}` (allowed: {})", Self::ALLOWED);
        if let Ok(seconds) = text.parse() {
            return Ok(Self(Duration::from_secs(seconds)));
        }
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong())?;
        u64::try_from(time.unix_timestamp_nanos()).map(|nanoseconds| Self(Duration::from_nanos(nanoseconds))).map_err(|_| wrong())
    }

    fn of_full(_: Self::Full) -> Result<Self, String> {
        Err(format!("found a map (allowed: {})", Self::ALLOWED))
    }
}

macro_rules! read_short_form {
    ($($type:ty),*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                meshwright_test_files::read_short(deserializer)
            }
        })*
    };
}
pub(super) use read_short_form;

read_short_form!(Bytes, HeaderValues, Time);

/// What editors are told about a type that is read by hand.
macro_rules! schema {
    ($type:ty, $generator:ident, $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(super) use schema;

schema!(Bytes, generator, json_schema!({"anyOf": [{"type": ["string", "integer", "boolean"]}, generator.subschema_for::<BytesInFull>()]}));
schema!(
    HeaderValues,
    generator,
    json_schema!({"anyOf": [
        {"type": ["string", "integer", "boolean"]},
        {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
        generator.subschema_for::<BytesInFull>(),
    ]})
);
schema!(Configuration, _generator, json_schema!({"description": "A text as it is, or anything else as JSON."}));
schema!(
    PropertyValue,
    _generator,
    json_schema!({
        "description": "A text, a whole number, a double, a boolean, a list or a map; `{base64: TEXT}` for bytes.",
        "type": ["string", "number", "boolean", "array", "object"],
    })
);
schema!(Time, _generator, json_schema!({"type": ["string", "integer"], "description": "RFC 3339, or seconds since 1970."}));

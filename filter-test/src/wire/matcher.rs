//! What an expectation says about a text or about the values of a header.

use meshwright_test_files::ShortForm;
use regex::bytes::Regex;
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Deserializer};

use super::content::{read_short_form, schema};

/// One thing that must be so. A text in short is `equals`, a list all values in order.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    Equals(Vec<u8>),
    AllValues(Vec<Vec<u8>>),
    Contains(String),
    Prefix(String),
    Regex(Regex),
    /// The bytes are JSON of exactly this value.
    Json(serde_json::Value),
    /// The bytes are JSON that has at least this: maps may have more keys.
    JsonSubset(serde_json::Value),
    Present,
    Absent,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatcherInFull {
    equals: Option<super::content::Bytes>,
    contains: Option<String>,
    prefix: Option<String>,
    /// Matches anywhere unless anchored.
    regex: Option<String>,
    json: Option<serde_json::Value>,
    json_subset: Option<serde_json::Value>,
    /// True: there is a value, whatever it is. False: there is none.
    present: Option<bool>,
    /// The opposite of `present`.
    absent: Option<bool>,
}

impl ShortForm for Matcher {
    type Full = MatcherInFull;
    const ALLOWED: &'static str =
        "a text, a list of texts, or a map with one of `equals`, `contains`, `prefix`, `regex`, `json`, `json_subset`, `present`, `absent`";

    fn of_text(text: String) -> Result<Self, String> {
        Ok(Self::Equals(text.into_bytes()))
    }

    fn of_list(texts: Vec<String>) -> Result<Self, String> {
        Ok(Self::AllValues(texts.into_iter().map(String::into_bytes).collect()))
    }

    fn of_full(full: MatcherInFull) -> Result<Self, String> {
        let MatcherInFull { equals, contains, prefix, regex, json, json_subset, present, absent } = full;
        let regex =
            regex.map(|text| Regex::new(&text).map_err(|error| format!("`{text}` is no regular expression: {error}"))).transpose()?;
        let presence = |there| if there { Self::Present } else { Self::Absent };
        let all = [
            equals.map(|bytes| Self::Equals(bytes.0)),
            contains.map(Self::Contains),
            prefix.map(Self::Prefix),
            regex.map(Self::Regex),
            json.map(Self::Json),
            json_subset.map(Self::JsonSubset),
            present.map(presence),
            absent.map(|absent| presence(!absent)),
        ];
        let mut given = all.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(format!("found an empty map (allowed: {})", Self::ALLOWED)),
            (Some(_), Some(_)) => Err(format!("found more than one condition (allowed: {})", Self::ALLOWED)),
        }
    }
}

read_short_form!(Matcher);
schema!(
    Matcher,
    generator,
    json_schema!({"anyOf": [
        {"type": ["string", "integer", "boolean"]},
        {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
        generator.subschema_for::<MatcherInFull>(),
    ]})
);

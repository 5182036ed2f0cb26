//! What other filters say of a request or connection in Envoy's dynamic metadata (`when` key `experimental.envoy.filters.FILTER[NAME]`).

use crate::headers::Headers;
use crate::matcher::text::TextMatch;

const PREFIX: &str = "experimental.";
const FILTERS: &str = "envoy.filters.";

/// Where a value is: of one filter, under one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataKey {
    filter: String,
    name: String,
}

impl MetadataKey {
    /// A `when` key; none: it is another one.
    #[must_use]
    pub fn parse(key: &str) -> Option<Result<Self, String>> {
        let rest = key.strip_prefix(PREFIX).filter(|rest| rest.starts_with(FILTERS))?;
        let parts = rest.strip_suffix(']').and_then(|rest| rest.split_once('['));
        let found = parts.filter(|(filter, name)| filter.len() > FILTERS.len() && !name.is_empty() && !name.contains(['[', ']']));
        Some(match found {
            Some((filter, name)) => Ok(Self { filter: filter.to_owned(), name: name.to_owned() }),
            None => Err(format!("found `{key}`; a filter's name and one name in brackets, `{PREFIX}{FILTERS}http.x[a]`, are allowed")),
        })
    }

    /// The path of the attribute.
    #[must_use]
    pub fn property(&self) -> [&str; 4] {
        ["metadata", "filter_metadata", &self.filter, &self.name]
    }
}

impl std::fmt::Display for MetadataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}[{}]", self.filter, self.name)
    }
}

/// The values that rules ask for, as far as there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(MetadataKey, MetadataValue)>);

impl Metadata {
    /// From attributes as Envoy encodes them.
    #[must_use]
    pub fn read<'k>(keys: impl IntoIterator<Item = &'k MetadataKey>, get: &dyn Fn(&[&str]) -> Option<Vec<u8>>) -> Self {
        Self(keys.into_iter().filter_map(|key| Some((key.clone(), MetadataValue::decode(get(&key.property())?)))).collect())
    }

    pub(crate) fn get(&self, key: &MetadataKey) -> Option<&MetadataValue> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataValue {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    /// A number, a truth value: no rule matches it.
    Other,
}

impl MetadataValue {
    /// A text is its bytes, a list a serialized map with its items for names, a number eight bytes and a truth value one. Nothing says which
    /// of them it is; but no text has the control characters that the others have.
    fn decode(bytes: Vec<u8>) -> Self {
        let is_text =
            std::str::from_utf8(&bytes).is_ok_and(|text| !text.contains(|letter: char| letter.is_control() && !letter.is_whitespace()));
        if is_text {
            return Self::Text(bytes);
        }
        match Headers::parse(&bytes) {
            Ok(items) => Self::List(items.iter().map(|(item, _)| item.to_vec()).collect()),
            Err(_) => Self::Other,
        }
    }
}

/// Istio's: `[v]` is an item of a list, and anything else a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataMatch {
    Text(TextMatch),
    Item(TextMatch),
}

impl MetadataMatch {
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(item) => TextMatch::parse(item).map(Self::Item),
            None => TextMatch::parse(value).map(Self::Text),
        }
    }

    pub(crate) fn matches(&self, value: &MetadataValue) -> bool {
        match (self, value) {
            (Self::Text(wanted), MetadataValue::Text(found)) => wanted.matches(found),
            (Self::Item(wanted), MetadataValue::List(found)) => found.iter().any(|item| wanted.matches(item)),
            (Self::Text(_), MetadataValue::List(_) | MetadataValue::Other)
            | (Self::Item(_), MetadataValue::Text(_) | MetadataValue::Other) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_filter_and_a_name() {
        let key = |text: &str| MetadataKey::parse(text).map(|key| key.map(|key| key.property().map(str::to_owned)));
        let path = ["metadata", "filter_metadata", "envoy.filters.network.mysql_proxy", "db.table"].map(str::to_owned);
        assert_eq!(key("experimental.envoy.filters.network.mysql_proxy[db.table]"), Some(Ok(path)));
        for other in ["experimental.other[a]", "envoy.filters.a[b]", "source.ip", ""] {
            assert_eq!(key(other), None, "{other}");
        }
        for bad in ["a", "a[", "a[]", "a[b", "a[b]c", "a[b][c]", "[b]"] {
            assert!(key(&format!("experimental.envoy.filters.{bad}")).is_some_and(|key| key.is_err()), "{bad}");
        }
    }

    #[test]
    fn a_list_is_told_from_a_text() {
        let list = |items: &[&str]| {
            let count = u32::try_from(items.len()).unwrap();
            let lengths = items.iter().flat_map(|item| [u32::try_from(item.len()).unwrap(), 0]);
            let mut bytes: Vec<u8> = std::iter::once(count).chain(lengths).flat_map(u32::to_le_bytes).collect();
            items.iter().for_each(|item| bytes.extend([item.as_bytes(), b"\0\0"].concat()));
            MetadataValue::decode(bytes)
        };
        let text = |text: &str| MetadataValue::decode(text.as_bytes().to_vec());
        let matches = |pattern: &str, value: &MetadataValue| MetadataMatch::parse(pattern).unwrap().matches(value);
        let (seven, yes) = (MetadataValue::decode(7_f64.to_le_bytes().to_vec()), MetadataValue::decode(vec![1]));
        for (pattern, yes, no) in [
            ("a", vec![text("a")], vec![text("b"), text(""), list(&["a"]), list(&[])]),
            ("a*", vec![text("ab")], vec![text("ba"), list(&["ab"])]),
            ("*", vec![text("a"), text("a\tb\u{e9}")], vec![text(""), list(&["a"]), list(&[]), seven.clone(), yes.clone()]),
            ("[a]", vec![list(&["a"]), list(&["b", "a"])], vec![text("a"), text("[a]"), list(&["b"]), list(&[])]),
            ("[*b]", vec![list(&["ab"])], vec![list(&["ba"]), text("b")]),
        ] {
            assert!(yes.iter().all(|value| matches(pattern, value)), "{pattern} {yes:?}");
            assert!(!no.iter().any(|value| matches(pattern, value)), "{pattern} {no:?}");
        }
        assert!(MetadataMatch::parse("[]").is_err() && MetadataMatch::parse("").is_err());
    }
}

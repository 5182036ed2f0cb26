//! JSON in which a duplicate member is an error (RFC 7515 section 4: "must be unique"): two readers of one token must not see two tokens.

use std::borrow::Cow;

use super::object::{Kind, Node, Object, Span};
use crate::wire::json::{Reader, Result};

/// No token has claims nested deeper than this.
const DEEPEST: usize = 32;
/// Of so many members each is compared with all before it; of more all names are sorted.
const FEW: usize = 16;
/// Most tokens have fewer values.
const USUAL: usize = 16;

/// The object in `json`; none when it is not exactly one JSON object without duplicate members.
#[inline(never)]
pub(super) fn object(json: Vec<u8>) -> Option<Object> {
    let mut text = String::from_utf8(json).ok()?;
    let mut builder = Builder { text: &text, decoded: String::new(), nodes: Vec::with_capacity(USUAL) };
    Reader::whole(text.as_bytes(), |reader| builder.object(reader, Span::default(), DEEPEST)).ok()?;
    let Builder { decoded, nodes, .. } = builder;
    text.push_str(&decoded);
    Some(Object::new(text, nodes))
}

struct Builder<'t> {
    /// As it is read: names and strings stay where they are in it.
    text: &'t str,
    /// Those that are written with escapes, to be appended to it.
    decoded: String,
    nodes: Vec<Node>,
}

impl<'t> Builder<'t> {
    fn value(&mut self, reader: &mut Reader<'t>, name: Span, depth: usize) -> Result<()> {
        let kind = match reader.peek() {
            Some(b'{') => return self.object(reader, name, depth),
            Some(b'[') => return self.list(reader, name, depth),
            Some(b'"') => Kind::String(self.string(reader)?),
            Some(b't' | b'f') => Kind::Bool(reader.boolean()?),
            _ if reader.word(b"null") => Kind::Null,
            _ => Kind::Number(reader.any_number()?),
        };
        let at = self.start(name, kind);
        self.end(at);
        Ok(())
    }

    fn list(&mut self, reader: &mut Reader<'t>, name: Span, depth: usize) -> Result<()> {
        let inner = deeper(reader, depth)?;
        let at = self.start(name, Kind::List);
        reader.each(&mut |reader| self.value(reader, Span::default(), inner))?;
        self.end(at);
        Ok(())
    }

    fn object(&mut self, reader: &mut Reader<'t>, name: Span, depth: usize) -> Result<()> {
        let inner = deeper(reader, depth)?;
        let at = self.start(name, Kind::Object);
        let mut members = 0_usize;
        reader.members(&mut |reader, name, end| {
            let name = self.span(reader, name, end)?;
            members = members.saturating_add(1);
            if members <= FEW && self.names(at).any(|known| known == self.of(name)) {
                return Err(reader.error("duplicate member"));
            }
            self.value(reader, name, inner)
        })?;
        if members > FEW && self.repeats(at) {
            return Err(reader.error("duplicate member"));
        }
        self.end(at);
        Ok(())
    }

    fn start(&mut self, name: Span, kind: Kind) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { name, kind, end: at });
        at
    }

    fn end(&mut self, at: usize) {
        let end = self.nodes.len();
        if let Some(node) = self.nodes.get_mut(at) {
            node.end = end;
        }
    }

    fn string(&mut self, reader: &mut Reader<'t>) -> Result<Span> {
        let text = reader.text()?;
        self.span(reader, text, reader.place())
    }

    /// Of a string that was read up to `end`.
    fn span(&mut self, reader: &Reader<'t>, text: Cow<'t, str>, end: usize) -> Result<Span> {
        let start = match &text {
            // It ends before the quotation mark.
            Cow::Borrowed(text) => end.saturating_sub(1).saturating_sub(text.len()),
            Cow::Owned(text) => {
                let start = self.text.len().saturating_add(self.decoded.len());
                self.decoded.push_str(text);
                start
            }
        };
        Span::new(start, text.len()).ok_or_else(|| reader.error("the text is too long"))
    }

    fn of(&self, span: Span) -> &str {
        span.within(self.text, &self.decoded)
    }

    /// Of the members that the object has so far.
    fn names(&self, object: usize) -> impl Iterator<Item = &str> {
        let mut at = object.saturating_add(1);
        std::iter::from_fn(move || {
            let node = self.nodes.get(at)?;
            at = node.end.max(at.saturating_add(1));
            Some(self.of(node.name))
        })
    }

    #[inline(never)]
    fn repeats(&self, object: usize) -> bool {
        let mut names: Vec<&str> = self.names(object).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

fn deeper(reader: &Reader<'_>, depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| reader.error("nested too deep"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn read(text: &str) -> Option<Value> {
        object(text.as_bytes().to_vec()).map(|object| object.to_json())
    }

    #[test]
    fn one_object_without_duplicates() {
        assert_eq!(read(r#" {"a":[1,{"b":null}],"c":1.5} "#), Some(serde_json::json!({"a": [1, {"b": null}], "c": 1.5})));
        let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(read(&deep(DEEPEST)).is_some());
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"\u0061":1,"b":2,"\u0061":1}"#,
            r#"{"":1,"":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":1e999}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":nul}"#,
            r#"{"a":truefalse}"#,
            "{}{}",
            "{} x",
            "[]",
            "1",
            "",
            "{",
            &deep(DEEPEST + 1),
            &deep(20_000),
        ] {
            assert_eq!(read(bad), None, "{bad:.80}");
        }
        assert!(object(b"{\"a\":\"\xff\"}".to_vec()).is_none());
        // Halves of one character are none, whatever stands beside them.
        assert!(object(b"{\"a\":\"\xc3\",\"b\":\"\xa9\"}".to_vec()).is_none());
    }

    #[test]
    fn duplicates_are_found_among_many() {
        let with = |last: &str| {
            let members: Vec<String> = (0..1000).map(|number| format!("\"m{number}\":{{\"x\":{number}}}")).collect();
            format!("{{{},\"{last}\":0}}", members.join(","))
        };
        assert!(read(&with("other")).is_some());
        for last in ["m0", "m15", "m16", "m17", "m999", "\\u006d999"] {
            assert_eq!(read(&with(last)), None, "{last}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1000_i32..1000).prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[a-c\"\\\\\n\u{e4}\u{1f600}]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\\n\u{e4}]{0,3}", inner, 0..20)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in any_value()) {
            let expected = value.is_object().then(|| value.clone());
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(read(&text), expected.clone());
            }
        }
    }
}

//! YAML text to a tree in which every node knows its line and column. Only what JSON can say is taken: anchors, aliases, tags, merge keys,
//! duplicate keys and texts that YAML readers disagree about are errors, so that one document means one thing.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

mod scalar;
mod split;

pub(crate) use scalar::{Scalar, shorten};
pub(crate) use split::{Chunk, split};

/// Deeper than any document of ours; keeps recursion over the tree shallow.
const DEEPEST: usize = 48;
/// More nodes than this is no configuration for one mesh object.
const MOST_NODES: usize = 200_000;

/// A place in the file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) position: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) node: Node,
}

/// Why a text is not a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) position: Position,
    pub(crate) message: String,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Object(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// The same tree without positions.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(scalar) => scalar.to_json(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Object(entries) => {
                serde_json::Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
        }
    }
}

/// Reads one document, whose first line is line `first_line` of its file. `None`: it holds nothing.
pub(crate) fn parse(text: &str, first_line: usize) -> Result<Option<Node>, Malformed> {
    let mut builder = Builder { first_line, open: Vec::new(), root: None, nodes: 0 };
    let mut documents = 0_usize;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Malformed {
            position: builder.position(Span::empty(*error.marker())),
            message: format!("not YAML: {}", error.info()),
        })?;
        let position = builder.position(span);
        match event {
            Event::DocumentStart(_) => {
                documents = documents.saturating_add(1);
                if documents > 1 {
                    return Err(Malformed { position, message: "a second document starts here without a line `---` before it".to_owned() });
                }
            }
            Event::Alias(_) => return Err(Malformed { position, message: "aliases are not allowed: write the value out".to_owned() }),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), position)?;
                builder.scalar(text, style, position)?;
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), position)?;
                builder.open(Open::List { position, items: Vec::new() }, position)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), position)?;
                builder.open(Open::Object { position, entries: Vec::new(), key: None }, position)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    Ok(builder.root.filter(|node| node.value != Value::Scalar(Scalar::Null)))
}

fn refuse_extras(anchor: usize, tagged: bool, position: Position) -> Result<(), Malformed> {
    let refuse = |message: &str| Err(Malformed { position, message: message.to_owned() });
    match (anchor != 0, tagged) {
        (true, _) => refuse("anchors are not allowed: write the value out where it is used"),
        (_, true) => refuse("tags are not allowed: write a text in quotes to keep it a text"),
        (false, false) => Ok(()),
    }
}

/// A list or object that has not ended yet.
enum Open {
    List { position: Position, items: Vec<Node> },
    Object { position: Position, entries: Vec<Entry>, key: Option<(String, Position)> },
}

struct Builder {
    first_line: usize,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn position(&self, span: Span) -> Position {
        let line = self.first_line.saturating_add(span.start.line().saturating_sub(1));
        Position { line, column: span.start.col().saturating_add(1) }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, position: Position) -> Result<(), Malformed> {
        if let Some(Open::Object { key: key @ None, entries, .. }) = self.open.last_mut() {
            if let Some(earlier) = entries.iter().find(|entry| entry.key == *text) {
                let message = format!("the key `{}` is already on line {}", shorten(&text), earlier.position.line);
                return Err(Malformed { position, message });
            }
            if text == "<<" && style == ScalarStyle::Plain {
                return Err(Malformed { position, message: "merge keys (`<<`) are not allowed: write the fields out".to_owned() });
            }
            *key = Some((text.into_owned(), position));
            return Ok(());
        }
        let scalar = if style == ScalarStyle::Plain { Scalar::from_plain(text) } else { Scalar::Text(text.into_owned()) };
        self.add(Node { value: Value::Scalar(scalar), position })
    }

    fn open(&mut self, open: Open, position: Position) -> Result<(), Malformed> {
        if let Some(Open::Object { key: None, .. }) = self.open.last() {
            return Err(Malformed { position, message: "a key is a text, not a list or an object".to_owned() });
        }
        if self.open.len() >= DEEPEST {
            return Err(Malformed { position, message: format!("nested deeper than {DEEPEST} levels") });
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        match self.open.pop() {
            Some(Open::List { position, items }) => self.add(Node { value: Value::List(items), position }),
            Some(Open::Object { position, entries, .. }) => self.add(Node { value: Value::Object(entries), position }),
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Result<(), Malformed> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MOST_NODES {
            return Err(Malformed { position: node.position, message: format!("more than {MOST_NODES} values in one document") });
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Object { entries, key, .. }) => {
                if let Some((key, position)) = key.take() {
                    entries.push(Entry { key, position, node });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (usize, usize, String) {
        let error = parse(text, 1).unwrap_err();
        (error.position.line, error.position.column, error.message)
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let root = parse("---\na: 1\nb:\n- x\n- {c: true}\n", 10).unwrap().unwrap();
        assert_eq!(root.to_json(), serde_json::json!({"a": 1, "b": ["x", {"c": true}]}));
        let b = root.get("b").unwrap();
        assert_eq!((b.position.line, b.position.column), (12, 1));
        let Value::List(items) = &b.node.value else { panic!("a list") };
        assert_eq!((items[1].position.line, items[1].position.column), (14, 3));
    }

    #[test]
    fn what_json_cannot_say_is_refused_where_it_stands() {
        for (text, line, column, message) in [
            ("a: &x 1\nb: *x\n", 1, 4, "anchors are not allowed"),
            ("a: !!str 1\n", 1, 4, "tags are not allowed"),
            ("a: 1\nb: 2\na: 3\n", 3, 1, "the key `a` is already on line 1"),
            ("<<: {a: 1}\n", 1, 1, "merge keys (`<<`) are not allowed"),
            ("? [a]\n: 1\n", 1, 3, "a key is a text"),
            ("a: [1\n", 2, 1, "not YAML:"),
            ("a: 1\n b: 2\n", 2, 3, "not YAML:"),
            ("a: \"x\n", 1, 4, "not YAML:"),
        ] {
            let (found_line, found_column, found) = refusal(text);
            assert!(
                found.starts_with(message) && (found_line, found_column) == (line, column),
                "{text:?}: {found_line}:{found_column} {found}"
            );
        }
    }

    #[test]
    fn bombs_end_early() {
        let deep = format!("a: {}", "[".repeat(200));
        assert!(refusal(&deep).2.contains("nested deeper"), "{:?}", refusal(&deep));
        let laughs = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\n";
        assert!(refusal(laughs).2.contains("anchors"));
        let many = format!("a: [{}]", "1,".repeat(MOST_NODES + 1));
        assert!(refusal(&many).2.contains("more than"));
    }

    #[test]
    fn comments_alone_are_nothing() {
        for text in ["", "# nothing\n", "---\n# nothing\n", "---\n", "~\n"] {
            assert_eq!(parse(text, 1), Ok(None), "{text:?}");
        }
    }
}

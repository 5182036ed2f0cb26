//! Holds a document's tree against the table of supported fields: unknown fields, fields that are not supported yet, values of the wrong type.
//! What the values mean is read elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use crate::key::Kind;
use crate::reader::{Problem, Report, join};
use crate::support::{self, Field, Holds, Status};
use crate::yaml::{Entry, Node, Position, Scalar, Value};

/// The table of one kind as a tree: a leaf has a field, a list the child `[]`, a map the child `{}`, an object its keys.
#[derive(Debug, Default)]
struct Shape {
    field: Option<&'static Field>,
    children: BTreeMap<&'static str, Shape>,
}

static SHAPES: LazyLock<BTreeMap<Kind, Shape>> = LazyLock::new(|| Kind::ALL.into_iter().map(|kind| (kind, shape(kind))).collect());

fn shape(kind: Kind) -> Shape {
    let mut root = Shape::default();
    // An object may be there and hold nothing.
    root.children.entry("metadata").or_default();
    for field in support::COMMON.iter().chain(support::fields(kind)) {
        let mut at = &mut root;
        for segment in segments(field.path) {
            at = at.children.entry(segment).or_default();
        }
        at.field = Some(field);
    }
    root
}

/// `spec.a[].b{}` as `spec`, `a`, `[]`, `b`, `{}`; `data.[tls.crt]` as `data`, `tls.crt`.
fn segments(path: &'static str) -> Vec<&'static str> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let literal = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (segment, after) = match literal {
            Some(("", after)) => ("[]", after),
            Some((key, after)) => (key, after),
            None => match rest.strip_prefix("{}") {
                Some(after) => ("{}", after),
                None => rest.split_at_checked(rest.find(['.', '[', '{']).unwrap_or(rest.len())).unwrap_or((rest, "")),
            },
        };
        segments.push(segment);
        rest = after;
    }
    segments
}

/// Reports all that is wrong with the form of a document of this kind.
pub(crate) fn check(kind: Kind, root: &Node, report: &Report) {
    if let Some(shape) = SHAPES.get(&kind) {
        Check { secret: kind == Kind::Secret, report }.node(root, root.position, shape, &Path::Root);
    }
}

/// Where the check is, written out when something is wrong there.
enum Path<'a> {
    Root,
    Key(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => f.write_str(&join(&parent.to_string(), key)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Check<'a> {
    /// Values must not be shown.
    secret: bool,
    report: &'a Report,
}

impl Check<'_> {
    fn fail(&self, position: Position, path: &Path<'_>, message: String) {
        self.report.add(Problem { position, path: path.to_string(), message });
    }

    /// `position`: of the key, if there is one.
    fn node(&self, node: &Node, position: Position, shape: &Shape, path: &Path<'_>) {
        match shape.field.map(|field| (field.status, field.holds)) {
            Some((Status::NotYet, _)) => return self.fail(position, path, "is not supported yet".to_owned()),
            Some((Status::Ignored, _)) | Some((Status::Supported, Holds::Anything)) => return,
            // A word that may also be written as an object around it.
            Some((Status::Supported, Holds::Word(..))) if !shape.children.is_empty() && matches!(node.value, Value::Object(_)) => {}
            Some((Status::Supported, holds)) => return self.leaf(node, position, holds, path),
            None => {}
        }
        match (&node.value, shape.children.get("[]"), shape.children.get("{}")) {
            (Value::List(items), Some(item), _) => {
                for (index, node) in items.iter().enumerate() {
                    self.node(node, node.position, item, &Path::Item(path, index));
                }
            }
            (Value::Object(entries), None, Some(value)) => {
                for entry in entries {
                    self.node(&entry.node, entry.position, value, &Path::Key(path, &entry.key));
                }
            }
            (Value::Object(entries), None, None) => entries.iter().for_each(|entry| self.entry(entry, shape, path)),
            (_, Some(_), _) => self.wrong(node, position, path, "a list"),
            (_, None, _) => self.wrong(node, position, path, "an object"),
        }
    }

    fn entry(&self, entry: &Entry, shape: &Shape, path: &Path<'_>) {
        let full = Path::Key(path, &entry.key);
        if let Some(child) = shape.children.get(entry.key.as_str()) {
            return self.node(&entry.node, entry.position, child, &full);
        }
        let known: Vec<&str> = shape
            .children
            .iter()
            .filter(|(_, child)| child.field.is_none_or(|field| field.status == Status::Supported))
            .map(|(key, _)| *key)
            .collect();
        let suggestion =
            closest(&entry.key, shape.children.keys().copied()).map(|key| format!(", did you mean `{key}`?")).unwrap_or_default();
        self.fail(entry.position, &full, format!("unknown field{suggestion} (allowed: `{}`)", known.join("`, `")));
    }

    fn leaf(&self, node: &Node, position: Position, holds: Holds, path: &Path<'_>) {
        match (holds, &node.value) {
            (Holds::Text | Holds::Duration, Value::Scalar(Scalar::Text(_)))
            | (Holds::Integer, Value::Scalar(Scalar::Integer(_)))
            | (Holds::Boolean, Value::Scalar(Scalar::Boolean(_)))
            | (Holds::Anything, _) => {}
            (Holds::Word(words, later), Value::Scalar(Scalar::Text(word))) => self.word(word, words, later, position, path),
            (Holds::Text, Value::Scalar(Scalar::Integer(_) | Scalar::Decimal(_) | Scalar::Boolean(_) | Scalar::Ambiguous(_))) => {
                self.wrong(node, position, path, "a text (put it in quotes)");
            }
            (Holds::Text, _) => self.wrong(node, position, path, "a text"),
            (Holds::Duration, _) => self.wrong(node, position, path, "a duration, as in `10s`"),
            (Holds::Integer, _) => self.wrong(node, position, path, "a whole number"),
            (Holds::Boolean, _) => self.wrong(node, position, path, "`true` or `false`"),
            (Holds::Word(words, _), _) => self.wrong(node, position, path, &format!("one of `{}`", words.join("`, `"))),
        }
    }

    fn word(&self, word: &str, words: &[&str], later: &[&str], position: Position, path: &Path<'_>) {
        if words.contains(&word) {
            return;
        }
        let allowed = words.join("`, `");
        let shown = if self.secret { "another word".to_owned() } else { Scalar::Text(word.to_owned()).describe() };
        let message = if later.contains(&word) {
            format!("`{word}` is not supported yet (allowed: `{allowed}`)")
        } else {
            let suggestion =
                closest(word, words.iter().chain(later).copied()).map(|word| format!(", did you mean `{word}`?")).unwrap_or_default();
            format!("found {shown}{suggestion} (allowed: `{allowed}`)")
        };
        self.fail(position, path, message);
    }

    fn wrong(&self, node: &Node, position: Position, path: &Path<'_>, expected: &str) {
        let found = match &node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::Scalar(Scalar::Null) => {
                return self.fail(position, path, format!("has no value: expected {expected}, or leave the field out"));
            }
            Value::Scalar(_) if self.secret => "something else".to_owned(),
            Value::Scalar(scalar) => scalar.describe(),
        };
        self.fail(position, path, format!("found {found}, expected {expected}"));
    }
}

/// The known word that was most likely meant.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let most = (lower.chars().count() / 3).clamp(1, 3);
    known
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

//! `docs/support.md` says what the parser does, field by field.

#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "tests fail by panicking")]

use std::path::Path;

use meshwright_config::support::{Field, Holds, Status, fields, markdown};
use meshwright_config::{Kind, parse_file};
use serde_json::{Value, json};

/// `UPDATE=1` writes the file anew.
#[test]
fn the_document_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/support.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(file == markdown(), "docs/support.md is not what the table says; UPDATE=1 cargo test -p meshwright-config writes it");
}

#[test]
fn the_parser_takes_and_refuses_what_the_table_says() {
    for kind in Kind::ALL {
        for field in fields(kind) {
            check(kind, field);
        }
    }
}

fn check(kind: Kind, field: &Field) {
    let (found, path) = errors(kind, field, sample(field.holds));
    let at_field = |message: &str| found.iter().any(|(at, text)| *at == path && text.contains(message));
    let context = format!("{kind} {}: {found:#?}", field.path);
    match field.status {
        Status::NotYet => assert!(at_field("is not supported yet"), "{context}"),
        Status::Ignored => assert!(!found.iter().any(|(at, _)| *at == path), "{context}"),
        Status::Supported => {
            assert!(!at_field("not supported yet") && !at_field("unknown") && !at_field("found the "), "{context}");
            let (wrong, _) = errors(kind, field, json!([[1]]));
            assert!(
                wrong.iter().any(|(at, text)| *at == path && text.contains("found a list, expected")),
                "{kind} {}: {wrong:#?}",
                field.path
            );
            let stem = field.path.trim_end_matches("[]").trim_end_matches("{}");
            let typo = if stem.ends_with(']') { stem.replace(".[", ".[Zzzzzz") } else { format!("{stem}Zzzzzz") };
            let (unknown, _) = errors(kind, &Field { path: Box::leak(typo.into_boxed_str()), ..*field }, json!("x"));
            assert!(unknown.iter().any(|(_, text)| text.starts_with("unknown field")), "{kind} {}: {unknown:#?}", field.path);
        }
    }
    if let Holds::Word(supported, later) = field.holds {
        for word in supported {
            let (found, _) = errors(kind, field, json!(word));
            assert!(!found.iter().any(|(at, text)| *at == path && text.contains("(allowed:")), "{kind} {} {word}: {found:#?}", field.path);
        }
        for word in later {
            let (found, _) = errors(kind, field, json!(word));
            assert!(
                found.iter().any(|(at, text)| *at == path && text.contains("is not supported yet (allowed:")),
                "{kind} {} {word}: {found:#?}",
                field.path
            );
        }
    }
}

fn sample(holds: Holds) -> Value {
    match holds {
        Holds::Text => json!("some-text"),
        Holds::Integer => json!(3),
        Holds::Boolean => json!(true),
        Holds::Duration => json!("3s"),
        Holds::Word(words, _) => json!(words.first().expect("a word")),
        Holds::Anything => json!({"any": [1]}),
    }
}

/// Path and message of each error of a document that has nothing but this field, and the field's path there.
fn errors(kind: Kind, field: &Field, value: Value) -> (Vec<(String, String)>, String) {
    let (mut document, path) = place(field.path, value);
    let version = kind.api_versions().first().expect("a version");
    document["apiVersion"] = json!(version);
    document["kind"] = json!(kind.as_str());
    document["metadata"] = json!({"name": "test"});
    let parsed = parse_file("test.yaml", &document.to_string()).pop().expect("a document");
    let found =
        parsed.err().map(|rejected| rejected.errors().iter().map(|error| (error.path().to_owned(), error.message().to_owned())).collect());
    (found.unwrap_or_default(), path)
}

/// `a.b[].c{}` as `{"a": {"b": [{"c": {"80": value}}]}}` and `a.b[0].c.80`.
fn place(path: &str, value: Value) -> (Value, String) {
    let concrete = path.replace("[]", "[0]").replace("{}", ".80").replace(".[", "[");
    let mut segments: Vec<String> = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.trim_start_matches('.');
        if let Some(after) = rest.strip_prefix("[]") {
            segments.push("[]".to_owned());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{}") {
            segments.push("80".to_owned());
            rest = after;
        } else if let Some((key, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            segments.push(key.to_owned());
            rest = after;
        } else {
            let (key, after) = rest.split_at(rest.find(['.', '[', '{']).unwrap_or(rest.len()));
            assert!(!key.is_empty(), "{path} is no path of the table");
            segments.push(key.to_owned());
            rest = after;
        }
    }
    let document =
        segments.iter().rev().fold(value, |inner, segment| if segment == "[]" { json!([inner]) } else { json!({ segment: inner }) });
    (document, concrete)
}

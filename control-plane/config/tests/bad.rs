//! Everything that can be wrong with a document, and what its author is told: `bad/<file>.yaml` beside `bad/<file>.expected`.
//! `UPDATE=1` writes the expectations anew; read them as the person who made the mistake.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use meshwright_config::{State, parse_file};

fn check(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let text = std::fs::read_to_string(dir.join(format!("{name}.yaml"))).unwrap();
    let mut lines = String::new();
    let mut good = Vec::new();
    for parsed in parse_file(&format!("{name}.yaml"), &text) {
        match parsed {
            Ok(document) => good.push(document),
            Err(rejected) => {
                lines.push_str(&rejected.to_string());
                lines.push('\n');
            }
        }
    }
    for error in State::assemble(good).1 {
        lines.push_str(&error.to_string());
        lines.push('\n');
    }
    let expected = dir.join(format!("{name}.expected"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, &lines).unwrap();
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    assert!(lines == wanted, "{name}: found\n{lines}\nexpected\n{wanted}\nUPDATE=1 accepts what was found");
}

#[test]
fn malformed() {
    check("malformed");
}

#[test]
fn mesh() {
    check("mesh");
}

#[test]
fn services() {
    check("services");
}

#[test]
fn security() {
    check("security");
}

#[test]
fn policies() {
    check("policies");
}

#[test]
fn traffic() {
    check("traffic");
}

#[test]
fn contradictions() {
    check("contradictions");
}

#[test]
fn no_message_repeats_a_secret() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let text = std::fs::read_to_string(dir.join("traffic.yaml")).unwrap();
    assert!(text.contains("very secret"));
    for parsed in parse_file("traffic.yaml", &text) {
        let shown = format!("{parsed:?}{}", parsed.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert!(!shown.contains("very secret"), "{shown}");
    }
}

#[test]
fn sidecars() {
    check("sidecars");
}

#[test]
fn gateways() {
    check("gateways");
}

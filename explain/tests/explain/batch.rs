//! Lines in, lines out.

use std::io::{self, Read, Write};

use meshwright_explain::Explainer;
use serde_json::{Value, json};

use crate::support::*;

fn answers(explainer: &mut Explainer, input: &[u8]) -> Vec<Value> {
    let mut output = Vec::new();
    explainer.batch(input, &mut output, || NOW).unwrap();
    let text = String::from_utf8(output).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_has_its_answer_in_order_and_a_bad_one_stops_nothing() {
    let good = |id: u32| {
        let mut case = case("");
        case["id"] = json!(id);
        case.to_string()
    };
    let huge = format!("{{\"id\": 4, \"documents\": \"{}\"}}", "x".repeat(17 << 20));
    let input = [good(1), "{\"id\": 2, ".to_owned(), String::new(), huge, "\u{0}".to_owned(), good(6)].join("\n");
    for mut explainer in [native(), wasm()] {
        let found = answers(&mut explainer, input.as_bytes());
        let seen: Vec<_> = found.iter().map(|answer| (answer["id"].clone(), answer["decision"].as_str().unwrap())).collect();
        let expected = [
            (json!(1), "allow"),
            (json!(2), "error"),
            (Value::Null, "error"),
            (Value::Null, "error"),
            (Value::Null, "error"),
            (json!(6), "allow"),
        ];
        assert_eq!(seen, expected);
        assert!(found[3]["error"].as_str().unwrap().contains("longer than 16777216 bytes"));
    }
    assert_eq!(answers(&mut native(), b""), Vec::<Value>::new());
}

#[test]
fn a_line_of_just_the_longest_length_is_taken() {
    let line = |length: usize| {
        let frame = case("").to_string();
        // White space around JSON is nothing.
        format!("{frame}{}", " ".repeat(length - frame.len()))
    };
    let longest = 16 << 20;
    let decision = |answer: &Value| answer["decision"].as_str().unwrap().to_owned();
    for end in ["", "\n", "\n{}"] {
        let input = format!("{}{end}", line(longest));
        assert_eq!(decision(&answers(&mut native(), input.as_bytes())[0]), "allow", "{end:?}");
        let input = format!("{}{end}", line(longest + 1));
        let found = answers(&mut native(), input.as_bytes());
        assert_eq!((decision(&found[0]).as_str(), found.len()), ("error", if end.ends_with('}') { 2 } else { 1 }), "{end:?}");
    }
}

/// Gives one line at a time, each only after the answer to the last one came.
struct Conversation<'a> {
    lines: std::vec::IntoIter<String>,
    answered: &'a std::cell::Cell<usize>,
    asked: usize,
}

impl Read for Conversation<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert_eq!(self.answered.get(), self.asked, "the last answer is not out yet");
        let Some(line) = self.lines.next() else { return Ok(0) };
        self.asked += 1;
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

struct Counting<'a>(&'a std::cell::Cell<usize>);

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.iter().filter(|byte| **byte == b'\n').count());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_answer_is_out_before_the_next_line_is_waited_for() {
    let answered = std::cell::Cell::new(0);
    let lines: Vec<String> = (0..3).map(|_| format!("{}\n", case(""))).collect();
    let conversation = Conversation { lines: lines.into_iter(), answered: &answered, asked: 0 };
    native().batch(conversation, Counting(&answered), || NOW).unwrap();
    assert_eq!(answered.get(), 3);
}

#[test]
fn more_policy_sets_than_are_remembered_are_still_answered() {
    let documents = |index: usize| {
        mesh("") + &policy(&format!("p{index}"), "DENY", &json!([{"to": [{"operation": {"paths": [format!("/{index}")]}}]}]))
    };
    let mut explainer = native();
    for index in (0..300).chain(0..300) {
        let mut case = case(&documents(index));
        case["request"]["path"] = json!(format!("/{index}"));
        let answer = serde_json::to_value(explainer.answer_line(case.to_string().as_bytes(), NOW)).unwrap();
        assert_eq!(answer["policy"], format!("shop/p{index}"));
    }
}

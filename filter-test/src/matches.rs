//! Whether values meet a matcher.

use serde_json::Value;

use crate::failure::Failure;
use crate::wire::Matcher;

/// `values` are those of a header; anything else has one or none.
pub(crate) fn check(path: &str, matcher: &Matcher, values: &[&[u8]]) -> Option<Failure> {
    let shown = || shown(values);
    let any = |met: &dyn Fn(&[u8]) -> bool| values.iter().any(|value| met(value));
    let unless = |met: bool, expected: String| (!met).then(|| Failure::new(path, expected, shown()));
    match matcher {
        Matcher::Present => unless(!values.is_empty(), "a value".to_owned()),
        Matcher::Absent => unless(values.is_empty(), "nothing".to_owned()),
        Matcher::Contains(part) => unless(any(&|value| contains(value, part.as_bytes())), format!("what contains {part:?}")),
        Matcher::Prefix(start) => unless(any(&|value| value.starts_with(start.as_bytes())), format!("what starts with {start:?}")),
        Matcher::Regex(regex) => unless(any(&|value| regex.is_match(value)), format!("what matches /{regex}/")),
        Matcher::Equals(expected) => match values {
            [only] if only == expected => None,
            [only] => match (std::str::from_utf8(expected), std::str::from_utf8(only)) {
                (Ok(expected), Ok(found)) => Some(Failure::texts(path, expected, found)),
                _ => Some(Failure::new(path, shown_one(expected), shown())),
            },
            _ => Some(Failure::new(path, shown_one(expected), shown())),
        },
        Matcher::AllValues(expected) => unless(
            values.iter().copied().eq(expected.iter().map(Vec::as_slice)),
            self::shown(&expected.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        ),
        Matcher::Json(expected) => json(path, expected, values, |found| *found == *expected),
        Matcher::JsonSubset(expected) => json(path, expected, values, |found| is_subset(expected, found)),
    }
}

fn json(path: &str, expected: &Value, values: &[&[u8]], met: impl Fn(&Value) -> bool) -> Option<Failure> {
    let [only] = values else {
        return Some(Failure::new(path, format!("the JSON {expected}"), shown(values)));
    };
    match serde_json::from_slice::<Value>(only) {
        Ok(found) if met(&found) => None,
        Ok(found) => Some(Failure::values(path, expected, &found)),
        Err(error) => Some(Failure::new(path, format!("the JSON {expected}"), format!("{}, which is not JSON: {error}", shown(values)))),
    }
}

/// Maps may have more; lists are of the same length, element by element.
fn is_subset(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| is_subset(value, found)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(value, found)| is_subset(value, found))
        }
        _ => part == whole,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn shown(values: &[&[u8]]) -> String {
    match values {
        [] => "nothing".to_owned(),
        [only] => shown_one(only),
        _ => format!("[{}]", values.iter().map(|value| shown_one(value)).collect::<Vec<_>>().join(", ")),
    }
}

fn shown_one(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("bytes {}", value.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Matcher;

    fn matcher(text: &str) -> Matcher {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn each_condition_is_met_and_not_met() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("abc", &["abc"], &["abcd"]),
            ("200", &["200"], &["201"]),
            ("abc", &["abc"], &["abc", "abc"]),
            ("[a, b]", &["a", "b"], &["b", "a"]),
            ("{contains: b}", &["x", "abc"], &["ac"]),
            ("{prefix: ab}", &["abc"], &["xab"]),
            ("{regex: '^a.c$'}", &["abc"], &["xabc"]),
            ("{json: {a: 1, b: [x]}}", &[r#"{"b":["x"],"a":1}"#], &[r#"{"a":1}"#]),
            ("{json_subset: {a: {b: 1}}}", &[r#"{"a":{"b":1,"c":2},"d":0}"#], &[r#"{"a":{"c":1}}"#]),
            ("{json_subset: [1]}", &["[1]"], &["[1,2]"]),
            ("{json: 1}", &["1"], &["not json"]),
            ("{present: true}", &[""], &[]),
            ("{absent: true}", &[], &["a"]),
            ("{present: false}", &[], &["a"]),
            ("{equals: {base64: /w==}}", &[], &["a"]),
        ];
        for (text, good, bad) in cases {
            let bytes = |values: &[&'static str]| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
            if !text.contains("base64") {
                assert_eq!(check("p", &matcher(text), &bytes(good)), None, "{text}");
            }
            assert!(check("p", &matcher(text), &bytes(bad)).is_some(), "{text}");
        }
        assert_eq!(check("p", &matcher("{equals: {base64: /w==}}"), &[b"\xff"]), None);
    }

    #[test]
    fn a_failure_says_both_and_shows_lines_that_differ() {
        let failure = check("expect.client.body", &matcher("a"), &[b"b"]).unwrap();
        assert_eq!(failure.to_string(), r#"expect.client.body: expected "a", found "b""#);
        let failure = check("p", &matcher(r#"{json: {a: 1, b: 2}}"#), &[br#"{"a":1,"b":3}"#]).unwrap();
        assert!(failure.to_string().contains("-  \"b\": 2\n+  \"b\": 3"), "{failure}");
        let failure = check("p", &matcher(r#""one\ntwo\n""#), &[b"one\nthree\n"]).unwrap();
        assert!(failure.to_string().contains("-two\n+three"), "{failure}");
    }
}

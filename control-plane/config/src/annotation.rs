//! Annotations that hold a truth value, read as Istio reads them: with Go's `strconv.ParseBool`.

use crate::reader::Reader;

/// False where there is none. What is no truth value is an error: Istio would log it and go on as if it were not there.
pub(crate) fn flag(root: &Reader<'_>, name: &str) -> bool {
    let field = root.get("metadata").get("annotations").get(name);
    let Some(text) = field.text() else { return false };
    let parsed = parse_bool(&text);
    if parsed.is_none() {
        field.fail(format!(
            "found `{}`, allowed: `true` and `false` (also `1`, `t`, `T`, `TRUE`, `True`, `0`, `f`, `F`, `FALSE`, `False`)",
            crate::yaml::shorten(&text)
        ));
    }
    parsed.unwrap_or(false)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_what_go_takes_for_it() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["", "yes", "no", "on", "tRUE", " true", "true ", "2", "-1", "truee"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }
}

//! Every row of docs/xds.md is a rule with tests, and every test that it names exists.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

const ROWS: &str = include_str!("../../../docs/xds.md");

/// How many rows each table has: one that disappears is missed.
const TABLES: [(char, usize); 3] = [('R', 18), ('S', 9), ('W', 15)];

/// The files that tests are named after.
const FILES: [(&str, &str); 14] = [
    ("codec", include_str!("../src/codec.rs")),
    ("quota", include_str!("../src/quota.rs")),
    ("rate", include_str!("../src/rate.rs")),
    ("snapshot", include_str!("../src/snapshot.rs")),
    ("ordering", include_str!("../src/session/tests/ordering.rs")),
    ("reconnects", include_str!("../src/session/tests/reconnects.rs")),
    ("refusals", include_str!("../src/session/tests/refusals.rs")),
    ("requests", include_str!("../src/session/tests/requests.rs")),
    ("responses", include_str!("../src/session/tests/responses.rs")),
    ("wildcards", include_str!("../src/session/tests/wildcards.rs")),
    ("loopback", include_str!("loopback.rs")),
    ("envoy/updates", include_str!("envoy/updates.rs")),
    ("envoy/warming", include_str!("envoy/warming.rs")),
    ("translate", include_str!("../../translate/tests/golden.rs")),
];

/// Row by row: its name, and the tests that its last cell names.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let cells = ROWS.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = cells.map(|row| (row.split(" | ").next().unwrap(), row.split(" | ").last().unwrap()));
    let is_row =
        |name: &str| TABLES.iter().any(|(table, _)| name.strip_prefix(*table).is_some_and(|number| number.parse::<usize>().is_ok()));
    rows.filter(|(name, _)| is_row(name)).map(|(name, tests)| (name, tests.split('`').skip(1).step_by(2).collect())).collect()
}

fn exists(test: &str) -> bool {
    let (file, function) = test.split_once("::").unwrap_or_else(|| panic!("`{test}` is not FILE::TEST"));
    let Some((_, source)) = FILES.iter().find(|(name, _)| *name == file) else { panic!("`{test}`: no such file") };
    let is_test = |attribute: &str| {
        source.contains(&format!("{attribute}\nfn {function}(")) || source.contains(&format!("{attribute}\n    fn {function}("))
    };
    is_test("#[test]") || is_test("    #[test]") || source.contains(&format!("#[tokio::test]\nasync fn {function}("))
}

#[test]
fn every_row_has_tests_and_they_exist() {
    let rows = rows();
    let names: BTreeSet<String> = rows.iter().map(|(name, _)| (*name).to_owned()).collect();
    let expected: BTreeSet<String> =
        TABLES.iter().flat_map(|(table, count)| (1..=*count).map(move |row| format!("{table}{row}"))).collect();
    assert_eq!(names, expected);
    assert_eq!(rows.len(), names.len(), "a row is there twice");
    for (name, tests) in rows {
        assert!(!tests.is_empty(), "{name} has no test");
        for test in tests {
            assert!(exists(test), "{name}: there is no test `{test}`");
        }
    }
}

/// The other way round: a test of the protocol that no row names is a rule that nobody can look up.
#[test]
fn every_test_of_the_pure_session_is_of_a_row() {
    let named: BTreeSet<&str> = rows().into_iter().flat_map(|(_, tests)| tests).collect();
    for (file, source) in
        FILES.into_iter().filter(|(file, _)| ["ordering", "refusals", "requests", "responses", "wildcards"].contains(file))
    {
        for test in source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next()) {
            let name = format!("{file}::{test}");
            assert!(named.contains(name.as_str()), "`{name}` is of no row of docs/xds.md");
        }
    }
}

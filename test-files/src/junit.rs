//! JUnit XML, as CI systems read it: a test suite for each file.

use std::time::Duration;

pub use quick_junit::SerializeError as JunitError;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// What came of one test.
#[derive(Debug, Clone)]
pub struct Tested<'a> {
    /// The file that it is from.
    pub file: &'a str,
    /// Its name in that file.
    pub name: &'a str,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a test ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// All was as expected.
    Passed,
    /// It was not run, and why.
    Skipped(String),
    /// Something was not as expected.
    Failed {
        /// In one line.
        message: String,
        /// All of it.
        text: String,
    },
}

/// The report of all tests, of which those of one file follow each other.
///
/// # Errors
/// Should the XML not be writable.
pub fn junit<'a>(title: &str, tests: impl IntoIterator<Item = Tested<'a>>) -> Result<String, JunitError> {
    let mut report = Report::new(title);
    let mut suites: Vec<(&str, TestSuite)> = Vec::new();
    for Tested { file, name, took, verdict } in tests {
        let status = match verdict {
            Verdict::Passed => TestCaseStatus::success(),
            Verdict::Skipped(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why);
                status
            }
            Verdict::Failed { message, text } => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(message).set_description(text);
                status
            }
        };
        let mut test = TestCase::new(name, status);
        test.set_classname(file).set_time(took);
        match suites.last_mut().filter(|(last, _)| *last == file) {
            Some((_, suite)) => {
                suite.add_test_case(test);
            }
            None => {
                let mut suite = TestSuite::new(file);
                suite.add_test_case(test);
                suites.push((file, suite));
            }
        }
    }
    report.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    report.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_for_each_file() {
        let test = |file, name, verdict| Tested { file, name, took: Duration::from_millis(5), verdict };
        let failed = Verdict::Failed { message: "1 < 2".to_owned(), text: "1 < 2\nand more".to_owned() };
        let tests =
            [test("a", "one", Verdict::Passed), test("a", "two", failed), test("b", "three", Verdict::Skipped("no Envoy".to_owned()))];
        let xml = junit("title", tests).unwrap();
        assert!(xml.contains(r#"<testsuites name="title" tests="3" skipped="1" failures="1" errors="0""#), "{xml}");
        assert_eq!(xml.matches("<testsuite ").count(), 2, "{xml}");
        assert!(xml.contains(r#"<failure message="1 &lt; 2""#) && xml.contains(r#"<skipped message="no Envoy"/>"#), "{xml}");
    }
}

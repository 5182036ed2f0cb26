//! What the commands print: answers to standard output, everything else to standard error.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// How long nothing is said, and then how often something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[value(alias = "human")]
    Text,
    /// For scripts.
    Json,
}

/// One line of the answer. A reader that went away (a closed pipe) ends the output, not the command.
pub(crate) fn line(text: &str) {
    let _closed = writeln!(std::io::stdout().lock(), "{text}");
}

/// `1 error`, `2 errors`, `2 proxies`.
pub(crate) fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if number == N::from(1) => format!("1 {one}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {one}s"),
    }
}

pub(crate) fn json(value: &serde_json::Value) {
    line(&format!("{value:#}"));
}

pub(crate) fn progress(text: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line: what failed, and because of what.
pub(crate) fn error(error: &anyhow::Error) {
    progress(&format!("error: {error:#}"));
}

pub(crate) fn start_logging(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let all = [
            counted(0_u64, "error"),
            counted(1_usize, "error"),
            counted(2_usize, "error"),
            counted(1_u64, "proxy"),
            counted(3_u64, "proxy"),
        ];
        assert_eq!(all, ["0 errors", "1 error", "2 errors", "1 proxy", "3 proxies"]);
    }
}

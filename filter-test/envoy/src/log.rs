//! Envoy's log, as far as filters wrote it. One entry is `<thread>|<level>|<text>` and a record separator, as `FORMAT` asks for.

use meshwright_wasm_host::LogLevel;

/// For `--log-format`.
pub(crate) const FORMAT: &str = "%t|%l|%v\u{1e}";

/// A line that a filter logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its severity.
    pub level: LogLevel,
    /// On the worker, where streams are, rather than on the main thread.
    pub worker: bool,
    /// Its text.
    pub message: String,
}

/// The lines of the plugin with this `vm_id`, and what a VM logs before it has a plugin if there is only one case (`sole`). `main` is the id
/// of the main thread, which is the process's.
pub(crate) fn lines_of(log: &str, vm_id: &str, main: u32, sole: bool) -> Vec<Line> {
    log.split('\u{1e}').filter_map(|entry| line(entry, vm_id, main, sole)).collect()
}

fn line(entry: &str, vm_id: &str, main: u32, sole: bool) -> Option<Line> {
    let (thread, rest) = entry.trim_start_matches('\n').split_once('|')?;
    let (level, text) = rest.split_once('|')?;
    // `wasm log <name> <root id> <vm id>: <message>`, each of the three only if it is not empty.
    let message = text.strip_prefix("wasm log")?;
    let mark = format!(" {vm_id}: ");
    let message = match message.strip_prefix(": ") {
        Some(message) if sole => message,
        _ => message.find(&mark).and_then(|at| message.get(at + mark.len()..))?,
    };
    let level = match level {
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warning" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "critical" => LogLevel::Critical,
        _ => return None,
    };
    Some(Line { level, worker: thread.parse() != Ok(main), message: message.to_owned() })
}

/// What Envoy said last, without the separators.
pub(crate) fn last_words(log: &str) -> String {
    let entries: Vec<&str> = log.split(['\u{1e}', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let from = entries.len().saturating_sub(6);
    entries.get(from..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plugins_own_lines_count() {
        let log = "1|info|wasm log a vm-1: one\ntwo\u{1e}\n2|warning|wasm log a root vm-1: three: x\u{1e}\n2|info|wasm log vm-10: no\u{1e}\n2|error|else\u{1e}\n2|info|wasm log: start\u{1e}\n";
        let lines = lines_of(log, "vm-1", 1, false);
        assert_eq!(
            lines.iter().map(|line| (line.worker, line.message.as_str())).collect::<Vec<_>>(),
            [(false, "one\ntwo"), (true, "three: x")]
        );
        assert_eq!(lines_of(log, "vm-1", 1, true).last().map(|line| line.message.as_str()), Some("start"));
        assert_eq!(last_words("1|info|a\u{1e}\n\u{1e}\nb\n"), "1|info|a; b");
    }
}

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::lines::{Line, Lines};
use super::queue::Queue;
use crate::unknown_keys::UnknownKeys;

const READ: usize = 64 * 1024;
const KEPT: usize = 20;

/// Where Envoy's lines go.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The access log's records.
    pub(crate) records: Queue,
    /// Every line.
    pub(crate) console: Queue,
    pub(crate) tail: Tail,
    /// What the filter does not have.
    pub(crate) unknown_keys: UnknownKeys,
}

/// The last lines that were not records, for an error message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Output {
    /// Reads until the end. Waits for nothing but the source, so that Envoy never waits for a reader.
    pub(crate) async fn follow(self, mut source: impl AsyncRead + Unpin) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; READ];
        loop {
            match source.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), |line| self.take(line)),
                Err(error) => {
                    tracing::warn!(%error, "Envoy's output cannot be read");
                    break;
                }
            }
        }
        if let Some(rest) = lines.rest() {
            self.take(&rest);
        }
    }

    fn take(&self, line: &[u8]) {
        self.console.push(line);
        match Line::of(line) {
            Line::Record(record) => self.records.push(record),
            Line::BrokenRecord => self.records.count_dropped(),
            Line::UnknownKey(key) => self.unknown_keys.push(key),
            Line::Other => self.tail.push(line),
        }
    }
}

impl Tail {
    fn push(&self, line: &[u8]) {
        let Ok(mut lines) = self.0.lock() else { return };
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(line).into_owned());
    }

    /// Indented, each on its own line.
    pub(crate) fn shown(&self) -> String {
        let Ok(lines) = self.0.lock() else { return String::new() };
        lines.iter().map(|line| format!("\n  | {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn collecting() -> (Queue, Arc<Mutex<Vec<u8>>>) {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let queue = Queue::start("test", 1000, move |batch| {
            sink.lock().unwrap().extend_from_slice(batch);
            Ok(())
        });
        (queue.unwrap(), bytes)
    }

    #[tokio::test]
    async fn records_go_to_the_access_log_and_every_line_to_the_console() {
        let ((records, recorded), (console, shown)) = (collecting(), collecting());
        let (unknown_keys, mut keys) = UnknownKeys::channel();
        let output = Output { records: records.clone(), console: console.clone(), tail: Tail::default(), unknown_keys };
        let tail = output.tail.clone();
        let head = "[2026-11-21 06:51:24.766][1][info][wasm] [a.cc:1] wasm log access-log vm: meshwright-access";
        let key = "[2026-11-21 06:51:24.766][1][warning][wasm] [a.cc:1] wasm log authz vm: meshwright-unknown-key";
        let text = format!("[x] starting\n{head} {{\"n\":1}}\n{head} {{\"n\":\n{key} {{\"issuer\":\"i\",\"kid\":\"k\"}}\nlast");
        output.follow(text.as_bytes()).await;
        assert!(keys.recv().await.is_some() && keys.recv().await.is_none(), "one unknown key");
        assert_eq!(records.dropped(), 1, "the broken record is counted");
        records.finish(Duration::from_secs(10)).await;
        console.finish(Duration::from_secs(10)).await;
        assert_eq!(recorded.lock().unwrap().as_slice(), b"{\"n\":1}\n");
        assert_eq!(shown.lock().unwrap().as_slice(), format!("{text}\n").as_bytes());
        assert_eq!(tail.shown(), "\n  | [x] starting\n  | last");
    }
}

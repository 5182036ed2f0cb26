use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::watch;

/// What one write takes at most.
const BATCH: usize = 256 * 1024;

/// Lines on their way to a slow place. Pushing never waits: what finds the queue full is dropped and counted.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
    finished: watch::Receiver<bool>,
}

impl Queue {
    /// Starts the thread that hands whole lines, many at a time, to `sink`. `name` is what the lines are, for the log.
    pub(crate) fn start(
        name: &'static str,
        capacity: usize,
        sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        let (finish, finished) = watch::channel(false);
        let counter = Arc::clone(&dropped);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            write(name, &receiver, &counter, sink);
            finish.send_replace(true);
        })?;
        Ok(Self { sender, dropped, finished })
    }

    /// The queue's thread puts the line feed after `line`.
    pub(crate) fn push(&self, line: &[u8]) {
        match self.sender.try_send(line.to_vec()) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.count_dropped(),
        }
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything pushed is written, given that every other clone is gone; at most `deadline`, for the place may be stuck.
    pub(crate) async fn finish(self, deadline: Duration) {
        let Self { sender, dropped: _, mut finished } = self;
        drop(sender);
        let _stuck = tokio::time::timeout(deadline, finished.wait_for(|finished| *finished)).await;
    }
}

fn write(name: &str, receiver: &Receiver<Vec<u8>>, dropped: &AtomicU64, mut sink: impl FnMut(&[u8]) -> io::Result<()>) {
    let (mut batch, mut reported, mut failing) = (Vec::new(), 0, false);
    while let Ok(first) = receiver.recv() {
        batch.clear();
        let mut next = Some(first);
        while let Some(line) = next {
            batch.extend_from_slice(&line);
            batch.push(b'\n');
            next = if batch.len() < BATCH { receiver.try_recv().ok() } else { None };
        }
        match sink(&batch) {
            Ok(()) => failing = false,
            Err(error) => {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count();
                dropped.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
                // Once per outage: every batch would fail with the same words.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "{name} cannot be written");
                }
            }
        }
        let now = dropped.load(Ordering::Relaxed);
        if now != reported {
            tracing::warn!(dropped = now, "lines of {name} are dropped");
            reported = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn writes_everything_in_order_before_it_finishes() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let queue = Queue::start("test", 1000, move |bytes| {
            sink.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        let expected: String = (0..500).map(|n| format!("{n}\n")).collect();
        expected.lines().for_each(|line| queue.push(line.as_bytes()));
        assert_eq!(queue.dropped(), 0);
        queue.finish(DEADLINE).await;
        assert_eq!(String::from_utf8(written.lock().unwrap().clone()).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_stuck_place_costs_lines_and_never_time() {
        let (go, gate) = mpsc::channel::<()>();
        let (enter, entered) = mpsc::channel::<()>();
        let queue = Queue::start("test", 2, move |_| {
            let _nobody = enter.send(());
            let _closed = gate.recv();
            Ok(())
        })
        .unwrap();
        queue.push(b"the line at which it gets stuck");
        entered.recv_timeout(DEADLINE).unwrap();
        for _ in 0..100 {
            queue.push(b"line");
        }
        assert_eq!(queue.dropped(), 98, "two wait in the queue");
        drop(go);
        queue.finish(DEADLINE).await;
    }

    #[tokio::test]
    async fn lines_that_cannot_be_written_are_counted() {
        let queue = Queue::start("test", 10, |_| Err(io::Error::other("disk full"))).unwrap();
        queue.push(b"a");
        queue.push(b"b");
        let dropped = Arc::clone(&queue.dropped);
        queue.finish(DEADLINE).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }
}

//! Reads a log on one thread and decides on others. Little is held at once: what waits to be decided is bounded.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::blocks::{Block, LONGEST_LINE, cut};
use crate::compare::{Comparer, Sides};
use crate::record::Record;
use crate::side::Mesh;
use crate::tally::Tally;

/// Blocks that wait, for each thread that decides.
const WAITING: usize = 2;

/// What is compared with what, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options<'m> {
    /// Whose decisions are asked for.
    pub candidate: &'m Mesh,
    /// Under whose policies the log was made; without it, decisions are compared with those of the log.
    pub current: Option<&'m Mesh>,
    /// Without `current`: tokens fare under the candidate as they did when the log was made.
    pub same_tokens: bool,
    /// Threads that decide.
    pub threads: NonZeroUsize,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] io::Error),
    /// Policies that the documents hold cannot be compiled.
    #[error("{0}")]
    Policies(String),
}

/// Decides every record of `log` once more.
///
/// # Errors
/// [`ReplayError`]. Lines that are no records are counted.
pub fn replay(log: &mut dyn Read, options: Options<'_>) -> Result<Tally, ReplayError> {
    let Options { candidate, current, same_tokens, threads } = options;
    let sides = Sides { candidate, current, same_tokens };
    let (sender, receiver) = sync_channel::<Block>(threads.get().saturating_mul(WAITING));
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(|| work(&receiver, sides))).collect();
        let read = cut(log, &mut |block| sender.send(block).is_ok());
        drop(sender);
        let mut tally = Tally::default();
        for worker in workers {
            let part = worker.join().unwrap_or_else(|_| Err("a thread ended early".to_owned()));
            tally.merge(part.map_err(ReplayError::Policies)?);
        }
        read?;
        Ok(tally)
    })
}

/// Decides blocks until there are no more. After an error the rest is taken and thrown away, so that nobody waits for it.
fn work(blocks: &Mutex<Receiver<Block>>, sides: Sides<'_>) -> Result<Tally, String> {
    let (mut tally, mut comparer) = (Tally::default(), Comparer::new(sides));
    let mut failed = None;
    loop {
        let received = blocks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(block) = received else { return failed.map_or(Ok(tally), Err) };
        if failed.is_none() {
            failed = decide(&block, &mut comparer, &mut tally).err();
        }
    }
}

fn decide(block: &Block, comparer: &mut Comparer<'_>, tally: &mut Tally) -> Result<(), String> {
    if block.too_long {
        tally.bad(block.first_line, format!("the line is longer than {LONGEST_LINE} bytes"));
        return Ok(());
    }
    let lines = block.bytes.strip_suffix(b"\n").unwrap_or(&block.bytes);
    let mut lines = (block.first_line..).zip(lines.split(|byte| *byte == b'\n')).peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match Record::read(line) {
            Ok(record) => {
                let compared = comparer.compare(&record)?;
                tally.count(number, &record, compared);
            }
            Err(error) if block.open && lines.peek().is_none() => tally.bad(number, format!("the last line breaks off: {error}")),
            Err(error) => tally.bad(number, error),
        }
    }
    Ok(())
}

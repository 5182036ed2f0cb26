//! JSON Lines in, JSON Lines out: one answer a line, in order, whatever the line.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use serde_json::Value;

use crate::answer::Answer;
use crate::explainer::Explainer;

/// Longer lines are answered with an error.
const LONGEST_LINE: usize = 16 << 20;
const BUFFER: usize = 64 << 10;

/// What came in.
enum Line {
    /// In the buffer, without its end.
    Whole,
    TooLong,
    End,
}

impl Explainer {
    /// Answers every line of `input`, of which `now` is the time in seconds since the epoch. An answer is out before the next line is waited
    /// for.
    ///
    /// # Errors
    /// Of reading and writing. What is wrong with a line is in its answer.
    pub fn batch(&mut self, input: impl Read, output: impl Write, now: impl Fn() -> u64) -> io::Result<()> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let mut output = BufWriter::with_capacity(BUFFER, output);
        let mut line = Vec::new();
        loop {
            if input.buffer().is_empty() {
                output.flush()?;
            }
            let answer = match next(&mut input, &mut line)? {
                Line::Whole => self.answer_line(&line, now()),
                Line::TooLong => {
                    let message = format!("the line is longer than {LONGEST_LINE} bytes");
                    Answer::error(Value::Null, "invalid_case", message)
                }
                Line::End => return output.flush(),
            };
            serde_json::to_writer(&mut output, &answer)?;
            output.write_all(b"\n")?;
        }
    }
}

/// Reads to the end of the line, keeping no more of it than may be used.
fn next(input: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut too_long = false;
    let mut read = 0_usize;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok(if read == 0 { Line::End } else { ended(too_long) });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let piece = end.and_then(|end| available.get(..end)).unwrap_or(available);
        too_long |= line.len().saturating_add(piece.len()) > LONGEST_LINE;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(piece);
        }
        let used = piece.len().saturating_add(usize::from(end.is_some()));
        read = read.saturating_add(used);
        input.consume(used);
        if end.is_some() {
            return Ok(ended(too_long));
        }
    }
}

const fn ended(too_long: bool) -> Line {
    if too_long { Line::TooLong } else { Line::Whole }
}

//! JSON Lines in, JSON Lines out: one answer a line, in order, whatever the line.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use serde_json::Value;

use crate::answer::Answer;
use crate::explainer::Explainer;

/// Longer lines are answered with an error.
const LONGEST_LINE: u64 = 16 << 20;
/// How much of a line that is too long is held at once.
const PIECE: u64 = 1 << 16;
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
    if input.by_ref().take(LONGEST_LINE).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.pop_if(|last| *last == b'\n').is_some() || input.fill_buf()?.is_empty() {
        return Ok(Line::Whole);
    }
    let mut too_long = false;
    // Either just the end of the line is left, or it is too long and thrown away piece by piece.
    loop {
        let mut rest = Vec::new();
        if input.by_ref().take(PIECE).read_until(b'\n', &mut rest)? == 0 {
            return Ok(Line::TooLong);
        }
        let ended = rest.pop_if(|last| *last == b'\n').is_some();
        too_long |= !rest.is_empty();
        if ended {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

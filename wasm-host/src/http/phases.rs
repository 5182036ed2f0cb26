//! The three phases of one half of a stream, the same for both halves.

use std::time::Duration;

use super::{Exchange, IDLE, Stop};
use crate::abi::{DataAction, HeadersAction, length};
use crate::message::Message;
use crate::misuse::Misuse;
use crate::stream::Side;

/// A half of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Request,
    Response,
}

impl Which {
    const fn callbacks(self) -> [&'static str; 3] {
        match self {
            Self::Request => ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"],
            Self::Response => ["proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"],
        }
    }
}

impl Exchange<'_> {
    /// True when body and trailers follow: a filter may also end the stream with the headers.
    pub(super) fn headers_phase(&mut self, which: Which, ends: bool) -> Result<bool, Stop> {
        let count = self.with_side(which, |side| {
            side.headers_open = true;
            side.end_of_stream = ends;
            length(side.headers.len())
        });
        let [name, ..] = which.callbacks();
        let action = HeadersAction::from_wire(self.call(name, &[count, u32::from(ends)])?);
        // Headers stay visible if the filter replied: a reply stops the iteration whatever the callback returns.
        self.check()?;
        match action {
            HeadersAction::Continue | HeadersAction::ContinueAndEndStream => {
                let resumed = self.with_side(which, |side| {
                    side.headers_open = false;
                    std::mem::take(&mut side.resume)
                });
                if resumed {
                    let misuse = if which == Which::Response { Misuse::ResponseHeadersTwice } else { Misuse::ResumeWithoutPause };
                    self.vm.state_mut().recorder.misuse(misuse);
                    if which == Which::Response && ends {
                        return Err(Stop::Crash);
                    }
                }
            }
            HeadersAction::Stop => self.stopped(which, ends)?,
        }
        Ok(action != HeadersAction::ContinueAndEndStream)
    }

    /// A resumption inside the callback acts before the pause does: the headers go on, and all that follows them is held.
    fn stopped(&mut self, which: Which, ends: bool) -> Result<(), Stop> {
        if !self.with_side(which, |side| std::mem::take(&mut side.resume)) {
            return self.wait(which);
        }
        let headers = self.with_side(which, |side| {
            side.close();
            side.headers.clone()
        });
        if ends {
            return Ok(());
        }
        let message = Some(Message { headers, ..Message::default() });
        match which {
            Which::Request => self.outcome.upstream_request = message,
            Which::Response => self.outcome.client_response = message,
        }
        self.wait(which)
    }

    /// `pieces` are the body as it comes in, each with whether it ends the stream.
    pub(super) fn body_phase(&mut self, which: Which, pieces: Vec<(Vec<u8>, bool)>, has_trailers: bool) -> Result<(), Stop> {
        let mut paused = false;
        for (piece, ends) in pieces {
            paused = self.body_call(which, piece, ends)?;
        }
        if has_trailers {
            paused = self.trailers_call(which)?;
        }
        if paused {
            self.wait(which)?;
        }
        self.flush(which);
        Ok(())
    }

    /// True when the filter holds the body back.
    fn body_call(&mut self, which: Which, piece: Vec<u8>, ends: bool) -> Result<bool, Stop> {
        let length_of_piece = piece.len();
        let (size, held) = self.with_side(which, |side| {
            let held = !side.body.is_empty() || !side.kept.is_empty();
            // What was received is known at once, what was sent only afterwards.
            side.received += if which == Which::Request { length_of_piece } else { 0 };
            side.body.extend(piece);
            side.body_open = true;
            side.end_of_stream = ends;
            (length(side.body.len()), held)
        });
        let [_, name, _] = which.callbacks();
        let action = DataAction::from_wire(self.call(name, &[size, u32::from(ends)])?);
        self.check()?;
        let resumed = self.with_side(which, |side| {
            side.received += if which == Which::Response { length_of_piece } else { 0 };
            std::mem::take(&mut side.resume)
        });
        // A resumption inside the callback acts before its answer does, on what was held before.
        let went_on = resumed && held;
        match action {
            DataAction::StopAndBuffer | DataAction::StopAndKeep | DataAction::StopNoBuffer if went_on => {
                self.flush(which);
                Ok(!ends)
            }
            DataAction::StopAndBuffer => Ok(true),
            DataAction::StopAndKeep => {
                self.with_side(which, |side| side.kept.append(&mut side.body));
                Ok(true)
            }
            DataAction::StopNoBuffer => {
                self.with_side(which, |side| side.body.clear());
                Ok(true)
            }
            DataAction::Continue => {
                if resumed {
                    self.vm.state_mut().recorder.misuse(Misuse::ResumeWithoutPause);
                }
                self.flush(which);
                Ok(false)
            }
        }
    }

    fn trailers_call(&mut self, which: Which) -> Result<bool, Stop> {
        let count = self.with_side(which, |side| {
            side.trailers_open = true;
            length(side.trailers.as_ref().map_or(0, crate::Headers::len))
        });
        let [.., name] = which.callbacks();
        let action = self.call(name, &[count])?;
        self.check()?;
        let resumed = self.with_side(which, |side| std::mem::take(&mut side.resume));
        let goes_on = action == 0 || resumed;
        if goes_on {
            self.with_side(which, |side| side.trailers_open = false);
        }
        Ok(!goes_on)
    }

    /// Lets happen what is to happen until the filter resumes this half.
    fn wait(&mut self, which: Which) -> Result<(), Stop> {
        let until = self.vm.state().timeline.now().saturating_add(IDLE);
        self.with_side(which, |side| side.waiting = true);
        let waited = self.wait_until(which, until);
        self.with_side(which, |side| side.waiting = false);
        waited
    }

    fn wait_until(&mut self, which: Which, until: Duration) -> Result<(), Stop> {
        loop {
            if self.with_side(which, |side| std::mem::take(&mut side.resume)) {
                self.with_side(which, Side::close);
                return Ok(());
            }
            if !self.vm.next_event(until)? {
                self.vm.state_mut().recorder.misuse(Misuse::PauseForNothing);
                return Err(Stop::Hung);
            }
            self.check()?;
        }
    }

    /// What was seen of the body goes on to the other end.
    fn flush(&mut self, which: Which) {
        let body = self.with_side(which, |side| {
            side.body_open = false;
            let kept = std::mem::take(&mut side.kept);
            [kept, std::mem::take(&mut side.body)].concat()
        });
        if let Some(message) = self.sent(which) {
            message.body.extend_from_slice(&body);
        }
        if !body.is_empty() {
            self.passed.push(body);
        }
    }

    pub(super) fn complete(&mut self, which: Which) {
        let (trailers, changed) = self.with_side(which, |side| (side.trailers.clone().unwrap_or_default(), side.body_changed));
        let Some(message) = self.sent(which) else { return };
        message.trailers = trailers;
        message.complete = true;
        let promised = message.headers.text("content-length").and_then(|text| text.parse().ok());
        if changed && promised.is_some_and(|length: usize| length != message.body.len()) {
            self.vm.state_mut().recorder.misuse(Misuse::StaleContentLength);
        }
    }

    const fn sent(&mut self, which: Which) -> Option<&mut Message> {
        match which {
            Which::Request => self.outcome.upstream_request.as_mut(),
            Which::Response => self.outcome.client_response.as_mut(),
        }
    }

    /// A callback about this stream; one that the module does not have continues.
    fn call(&mut self, name: &'static str, arguments: &[u32]) -> Result<u32, Stop> {
        let arguments: Vec<u32> = [self.id].iter().chain(arguments).copied().collect();
        Ok(self.vm.invoke(name, self.id, &arguments)?.unwrap_or(0))
    }

    /// Acts on what the filter asked for in its callback.
    fn check(&mut self) -> Result<(), Stop> {
        if self.vm.state().recorder.misuse.iter().any(|misuse| misuse.ends_envoy()) {
            return Err(Stop::Crash);
        }
        let Some(stream) = self.stream_mut() else {
            return Ok(());
        };
        if let Some(reply) = stream.local_reply.take() {
            return Err(Stop::Reply(reply));
        }
        if stream.close { Err(Stop::Closed) } else { Ok(()) }
    }

    fn with_side<R>(&mut self, which: Which, act: impl FnOnce(&mut Side) -> R) -> R {
        // A stream lives as long as its exchange; a side of its own stands in rather than a panic.
        let mut lost = Side::default();
        let side = match (self.stream_mut(), which) {
            (Some(stream), Which::Request) => &mut stream.request,
            (Some(stream), Which::Response) => &mut stream.response,
            (None, _) => &mut lost,
        };
        act(side)
    }
}

//! HTTP/1.1 as both ends of a case speak it: messages are written in the pieces that the case has, and read as far as they come.

use std::io::{Read, Write};
use std::time::Duration;

use meshwright_wasm_host::{Headers, Message};

use crate::tls::Stream;

/// Between two pieces of a body, so that Envoy reads them as two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace(pub(crate) Duration);

const MOST_HEADERS: usize = 256;

/// Writes a start line, headers and body. A body without `content-length` is chunked. The end of the body is sent by itself.
pub(crate) fn write(
    stream: &mut Stream,
    start: &[u8],
    headers: &Headers,
    chunks: &[Vec<u8>],
    trailers: &Headers,
    pace: Pace,
) -> std::io::Result<()> {
    let mut head = [start, b"\r\n"].concat();
    let has_body = !chunks.is_empty() || !trailers.is_empty();
    let chunked = has_body && headers.get("content-length").is_none();
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        head.extend([name, b": ", value, b"\r\n"].concat());
    }
    if chunked {
        head.extend(b"transfer-encoding: chunked\r\n");
    }
    head.extend(b"\r\n");
    stream.write_all(&head)?;
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        wait(pace);
        if chunked {
            stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())?;
        } else {
            stream.write_all(chunk)?;
        }
    }
    if chunked {
        wait(pace);
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers.iter() {
            end.extend([name, b": ", value, b"\r\n"].concat());
        }
        end.extend(b"\r\n");
        stream.write_all(&end)?;
    }
    Ok(())
}

/// Nothing says when Envoy has read what was sent.
fn wait(pace: Pace) {
    std::thread::sleep(pace.0);
}

/// Reads messages from a connection.
pub(crate) struct Reader {
    stream: Stream,
    unread: Vec<u8>,
    /// Nothing came for as long as the stream's read timeout.
    pub(crate) timed_out: bool,
}

impl Reader {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self { stream, unread: Vec::new(), timed_out: false }
    }

    pub(crate) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// A request as Envoy would show it: with pseudo headers instead of the start line. `None` at the connection's end.
    pub(crate) fn request(&mut self, seen: &mut dyn FnMut(&Message)) -> Option<Message> {
        let headers = loop {
            let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut request = httparse::Request::new(&mut space);
            if let Ok(httparse::Status::Complete(length)) = request.parse(&self.unread) {
                let mut headers = Headers::new();
                headers.add(":path", request.path.unwrap_or_default());
                headers.add(":method", request.method.unwrap_or_default());
                add(&mut headers, request.headers);
                self.unread.drain(..length);
                break headers;
            }
            self.more()?;
        };
        let length = framing(&headers).unwrap_or(Framing::Length(0));
        Some(self.body(headers, length, seen))
    }

    /// A response to a request by `method`.
    pub(crate) fn response(&mut self, method: &[u8]) -> Option<Message> {
        let headers = loop {
            let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut response = httparse::Response::new(&mut space);
            if let Ok(httparse::Status::Complete(length)) = response.parse(&self.unread) {
                let code = response.code.unwrap_or_default();
                let mut headers = Headers::new();
                headers.add(":status", code.to_string());
                add(&mut headers, response.headers);
                self.unread.drain(..length);
                if (100..200).contains(&code) {
                    continue;
                }
                break headers;
            }
            self.more()?;
        };
        let bodiless = method == b"HEAD" || matches!(headers.text(":status"), Some("204" | "304"));
        let length = if bodiless { Framing::Length(0) } else { framing(&headers).unwrap_or(Framing::UntilClose) };
        Some(self.body(headers, length, &mut |_| {}))
    }

    /// What came and is no part of a message. Waits for the connection's end or the read timeout.
    pub(crate) fn surplus(mut self) -> Vec<u8> {
        while self.more().is_some() {}
        self.unread
    }

    /// `seen` is told how much of the message there is whenever there is more.
    fn body(&mut self, headers: Headers, framing: Framing, seen: &mut dyn FnMut(&Message)) -> Message {
        let mut message = Message::default();
        message.headers = headers;
        message.headers.remove("transfer-encoding");
        seen(&message);
        match framing {
            Framing::Length(length) => {
                while message.body.len() < length {
                    if self.unread.is_empty() && self.more().is_none() {
                        return message;
                    }
                    let take = self.unread.len().min(length - message.body.len());
                    message.body.extend(self.unread.drain(..take));
                    seen(&message);
                }
                message.complete = true;
            }
            Framing::Chunked => self.chunks(&mut message, seen),
            Framing::UntilClose => {
                while self.more().is_some() {}
                message.body = std::mem::take(&mut self.unread);
                message.complete = !self.timed_out;
            }
        }
        message
    }

    fn chunks(&mut self, message: &mut Message, seen: &mut dyn FnMut(&Message)) {
        loop {
            let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(&self.unread) else {
                if self.more().is_none() {
                    return;
                }
                continue;
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size == 0 {
                self.unread.drain(..start);
                return self.trailers(message);
            }
            while self.unread.len() < start.saturating_add(size).saturating_add(2) {
                if self.more().is_none() {
                    return;
                }
            }
            let chunk: Vec<u8> = self.unread.drain(..start + size + 2).skip(start).take(size).collect();
            message.body.extend(chunk);
            seen(message);
        }
    }

    fn trailers(&mut self, message: &mut Message) {
        loop {
            let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
            if let Ok(httparse::Status::Complete((length, trailers))) = httparse::parse_headers(&self.unread, &mut space) {
                add(&mut message.trailers, trailers);
                self.unread.drain(..length);
                message.complete = true;
                return;
            }
            if self.more().is_none() {
                return;
            }
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(length) => {
                self.unread.extend(buffer.get(..length).unwrap_or_default());
                Some(())
            }
            Err(error) => {
                self.timed_out = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                None
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

fn framing(headers: &Headers) -> Option<Framing> {
    if headers.text("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Some(Framing::Chunked);
    }
    headers.text("content-length").and_then(|length| length.parse().ok()).map(Framing::Length)
}

fn add(headers: &mut Headers, parsed: &[httparse::Header<'_>]) {
    for header in parsed {
        let name = if header.name.eq_ignore_ascii_case("host") { ":authority" } else { header.name };
        headers.add(name, header.value);
    }
}

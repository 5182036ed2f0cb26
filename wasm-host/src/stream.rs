//! What the host keeps of one stream: maps, buffers and which of them the guest may see now. Who calls the guest when is in `http` and `tcp`.

use crate::attributes::Attributes;
use crate::headers::Headers;
use crate::report::LocalReply;

/// One half of a stream.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) headers: Headers,
    /// Whether the message exists: there is none before the upstream has answered.
    pub(crate) present: bool,
    /// Whether the guest may read and write the headers.
    pub(crate) headers_open: bool,
    pub(crate) body: Vec<u8>,
    /// Held back before, and not shown to the filter again.
    pub(crate) kept: Vec<u8>,
    pub(crate) body_open: bool,
    pub(crate) trailers: Option<Headers>,
    pub(crate) trailers_open: bool,
    pub(crate) end_of_stream: bool,
    /// The guest asked to go on. Acted upon after its callback.
    pub(crate) resume: bool,
    /// The half is paused, and other things happen meanwhile.
    pub(crate) waiting: bool,
    /// The guest changed the body.
    pub(crate) body_changed: bool,
    /// Body bytes that came in, for `request.size` and `response.size`.
    pub(crate) received: usize,
}

impl Side {
    /// What `proxy_continue_stream` takes away at once.
    pub(crate) const fn close(&mut self) {
        self.headers_open = false;
        self.body_open = false;
        self.trailers_open = false;
    }

    /// The trailers that the guest may change. In the last body call of a message without trailers, asking for them makes them.
    pub(crate) fn trailers_mut(&mut self) -> Option<&mut Headers> {
        if self.trailers.is_none() && self.body_open && self.end_of_stream {
            self.trailers_open = true;
            self.trailers = Some(Headers::new());
        }
        if self.trailers_open { self.trailers.as_mut() } else { None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) request: Side,
    pub(crate) response: Side,
    pub(crate) is_tcp: bool,
    pub(crate) attributes: Attributes,
    /// In `proxy_on_log`: every header is there again, to read.
    pub(crate) logging: bool,
    pub(crate) local_reply: Option<LocalReply>,
    /// The stream is to be reset, or the connection closed.
    pub(crate) close: bool,
    /// Since when, in nanoseconds since the epoch.
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) code_details: Option<String>,
    pub(crate) id: u32,
    pub(crate) root: u32,
    /// It answered false to `proxy_on_done`, and `proxy_done` is awaited.
    pub(crate) finishing: bool,
    pub(crate) done: bool,
    pub(crate) route_cache_cleared: bool,
}

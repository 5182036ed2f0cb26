//! HTTP calls in flight and the answer that is being delivered.

use std::collections::BTreeMap;

use crate::headers::Headers;
use crate::message::{Message, Response};

/// How a call ended.
#[derive(Debug)]
pub(crate) enum CallEnd {
    Response(Box<Response>),
    /// No headers at all: the stream was reset.
    Reset,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    last_token: u32,
    /// The context that gets the answer, by token.
    pub(crate) pending: BTreeMap<u32, u32>,
    /// Calls so far by cluster: which answer is next.
    made: BTreeMap<String, usize>,
    /// Readable only while `proxy_on_http_call_response` runs.
    pub(crate) delivering: Option<Message>,
}

impl Calls {
    pub(crate) const fn next_token(&mut self) -> u32 {
        self.last_token += 1;
        self.last_token
    }

    pub(crate) fn count(&mut self, cluster: &str) -> usize {
        let made = self.made.entry(cluster.to_owned()).or_default();
        *made += 1;
        *made - 1
    }
}

pub(crate) fn message(headers: Headers, chunks: &[Vec<u8>], trailers: Headers) -> Message {
    Message { headers, body: chunks.concat(), trailers, complete: true }
}

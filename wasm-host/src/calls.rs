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
    tokens: [u32; 3],
    /// The context that gets the answer, by token.
    pub(crate) pending: BTreeMap<u32, u32>,
    /// Calls so far by cluster: which answer is next.
    made: BTreeMap<String, usize>,
    /// Readable only while `proxy_on_http_call_response` runs.
    pub(crate) delivering: Option<Message>,
}

/// What a token is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Http,
    GrpcCall,
    GrpcStream,
}

impl TokenKind {
    /// `None` for a token that nobody can have got.
    pub(crate) const fn of(token: u32) -> Option<Self> {
        match token & 3 {
            0 => Some(Self::Http),
            1 => Some(Self::GrpcCall),
            2 => Some(Self::GrpcStream),
            _ => None,
        }
    }
}

impl Calls {
    /// Each kind counts by itself; which it is, is in the low bits.
    pub(crate) fn next_token(&mut self, kind: TokenKind) -> u32 {
        let [http, call, stream] = &mut self.tokens;
        let (count, low_bits) = match kind {
            TokenKind::Http => (http, 0),
            TokenKind::GrpcCall => (call, 1),
            TokenKind::GrpcStream => (stream, 2),
        };
        *count += 4;
        *count | low_bits
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

//! The body of a streaming answer: runs the stream while it is read, and hands its responses to the transport piece by piece. There is no task
//! and no queue beside it: a client that does not read is not read from either, and costs one piece.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tonic::{Code, Status};

use crate::codec::{Outgoing, Pieces};

type Running = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// What a stream has to say and the transport has not taken yet: at most one response of each type. Nobody waits for it and nobody is woken by
/// it, since the stream that fills it is run by the body that empties it.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<VecDeque<Outgoing>>>);

impl Pending {
    pub(crate) fn push(&self, outgoing: Outgoing) {
        self.lock().push_back(outgoing);
    }

    fn pop(&self) -> Option<Outgoing> {
        let mut pending = self.lock();
        let next = pending.pop_front();
        if pending.is_empty() {
            // Between pushes there may be hours.
            *pending = VecDeque::new();
        }
        next
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Outgoing>> {
        // No change to it can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(crate) struct Answer {
    /// None when it has ended.
    stream: Option<Running>,
    responses: Pending,
    sending: Option<Pieces>,
}

impl Answer {
    /// `stream` puts what it sends where `responses` takes it from.
    pub(crate) fn new(stream: impl Future<Output = Result<(), Status>> + Send + 'static, responses: Pending) -> Self {
        Self { stream: Some(Box::pin(stream)), responses, sending: None }
    }

    /// The next piece of what is to be sent already.
    fn piece(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(piece) = self.sending.as_mut().and_then(Pieces::piece) {
                return Ok(Some(piece));
            }
            self.sending = match self.responses.pop() {
                Some(outgoing) => Some(outgoing.pieces()?),
                None => return Ok(None),
            };
        }
    }

    fn end(&mut self, ended: Result<(), Status>) -> Result<Frame<Bytes>, Status> {
        self.stream = None;
        let mut trailers = HeaderMap::new();
        ended.err().unwrap_or_else(|| Status::new(Code::Ok, "")).add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            let ended = match this.piece() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) => {
                    let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
                    match stream.as_mut().poll(context) {
                        Poll::Ready(ended) => ended,
                        Poll::Pending if this.responses.is_empty() => return Poll::Pending,
                        Poll::Pending => continue,
                    }
                }
                Err(status) => Err(status),
            };
            // What was sent before the end goes before it.
            if let Ok(Some(piece)) = this.piece() {
                this.stream = Some(Box::pin(std::future::ready(ended)));
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            return Poll::Ready(Some(this.end(ended)));
        }
    }
}

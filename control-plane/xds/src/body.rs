//! The body of a streaming answer: runs the stream while it is read, and hands its responses to the transport piece by piece. There is no task
//! and no queue beside it: a client that does not read is not read from either, and costs one piece.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::codec::{Outgoing, Pieces};

type Running = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// See the module.
pub(crate) struct Answer {
    /// None when it has ended.
    stream: Option<Running>,
    responses: mpsc::Receiver<Outgoing>,
    sending: Option<Pieces>,
}

impl Answer {
    /// `stream` puts what it sends where `responses` takes it from.
    pub(crate) fn new(stream: impl Future<Output = Result<(), Status>> + Send + 'static, responses: mpsc::Receiver<Outgoing>) -> Self {
        Self { stream: Some(Box::pin(stream)), responses, sending: None }
    }

    /// The next piece of what is to be sent already.
    fn piece(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(piece) = self.sending.as_mut().and_then(Pieces::piece) {
                return Ok(Some(piece));
            }
            // Nobody is woken by this channel: the stream that fills it is run right here.
            self.sending = match self.responses.try_recv() {
                Ok(outgoing) => Some(outgoing.pieces()?),
                Err(_) => return Ok(None),
            };
        }
    }

    fn end(&mut self, ended: Result<(), Status>) -> Result<Frame<Bytes>, Status> {
        self.stream = None;
        self.responses.close();
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

//! The requests of a stream: gRPC messages out of the body's frames. Between messages nothing is kept, however large the last one was: a
//! client names all that it wants once, and then says little for hours.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body as _;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// A buffer that was made for a message of more than this is given back after it.
const SMALL: usize = 4 * 1024;

/// See the module.
pub(crate) struct Requests<M> {
    body: Body,
    /// What has come and is no whole message yet.
    gathered: BytesMut,
    /// Bytes of one message.
    limit: usize,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Requests<M> {
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self { body, gathered: BytesMut::new(), limit, message: PhantomData }
    }

    /// The next request; none when the client has said its last. Nothing is lost when the future is dropped.
    pub(crate) async fn message(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                Some(frame) => {
                    // Trailers say nothing here; the end comes after them.
                    if let Ok(data) = frame?.into_data() {
                        self.gathered.extend_from_slice(&data);
                    }
                }
                None if self.gathered.is_empty() => return Ok(None),
                None => return Err(Status::invalid_argument("the stream ends within a request")),
            }
        }
    }

    fn take(&mut self) -> Result<Option<M>, Status> {
        let Some(length) = self.length()? else { return Ok(None) };
        let end = PREFIX.saturating_add(length);
        if self.gathered.len() < end {
            self.gathered.reserve(end.saturating_sub(self.gathered.len()));
            return Ok(None);
        }
        let mut message: Bytes = self.gathered.split_to(end).freeze();
        if end > SMALL {
            self.gathered = BytesMut::from(self.gathered.as_ref());
        }
        message.advance(PREFIX);
        M::decode(message).map(Some).map_err(|error| Status::invalid_argument(format!("not a discovery request: {error}")))
    }

    /// Of the message that has begun.
    fn length(&self) -> Result<Option<usize>, Status> {
        let Some((prefix, _)) = self.gathered.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        if compressed != 0 {
            return Err(Status::unimplemented("a request is compressed, and no encoding was agreed on"));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(Status::out_of_range(format!("a request has {length} bytes, at most {} are allowed", self.limit)));
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use http_body::Frame;

    use super::*;

    struct Frames(VecDeque<Bytes>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn framed(names: usize) -> Vec<u8> {
        let resource_names_subscribe = (0..names).map(|name| name.to_string()).collect();
        let message = DeltaDiscoveryRequest { resource_names_subscribe, ..DeltaDiscoveryRequest::default() }.encode_to_vec();
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message);
        framed
    }

    fn requests(bytes: &[u8], at_once: usize) -> Requests<DeltaDiscoveryRequest> {
        let frames = bytes.chunks(at_once).map(Bytes::copy_from_slice).collect();
        Requests::new(Body::new(Frames(frames)), 100_000)
    }

    #[tokio::test]
    async fn messages_are_found_however_they_are_cut_into_frames() {
        let sizes = [3, 0, 2_000, 1];
        let bytes = sizes.map(framed).concat();
        for at_once in [1, 2, 5, 6, 7, 1_000, bytes.len()] {
            let mut requests = requests(&bytes, at_once);
            for size in sizes {
                assert_eq!(requests.message().await.unwrap().unwrap().resource_names_subscribe.len(), size, "{at_once} bytes at once");
            }
            assert!(requests.message().await.unwrap().is_none());
            assert!(requests.gathered.capacity() <= SMALL, "{} bytes stay", requests.gathered.capacity());
        }
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_stream() {
        let refused = async |bytes: &[u8]| requests(bytes, 7).message().await.unwrap_err();
        assert_eq!(refused(&[1, 0, 0, 0, 0]).await.code(), tonic::Code::Unimplemented);
        assert_eq!(refused(&[0, 255, 0, 0, 0]).await.code(), tonic::Code::OutOfRange);
        assert_eq!(refused(&[0, 0, 0, 0, 2, 255, 255]).await.code(), tonic::Code::InvalidArgument);
        let whole = framed(9);
        assert_eq!(refused(whole.split_last().unwrap().1).await.message(), "the stream ends within a request");
    }
}

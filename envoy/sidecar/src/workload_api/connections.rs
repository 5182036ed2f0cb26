use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::{Connected, UdsConnectInfo};

/// At once. The process has other uses for its file descriptors: an app that leaks connections must not stop renewals.
const CONNECTIONS: usize = 64;
/// When the machine has no more descriptors, until there may be some.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection, and its place among those that there may be.
pub(super) struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

/// Every connection that there is a place for; the others are closed as they come.
pub(super) fn accepted(listener: UnixListener) -> impl Stream<Item = io::Result<Connection>> + Send {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    futures::stream::unfold((listener, places), |(listener, places)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _address)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => return Some((Ok(Connection { stream, _place: place }), (listener, places))),
                    Err(_) => tracing::warn!("the workload API has {CONNECTIONS} connections already; one more was closed"),
                },
                Err(error) => {
                    tracing::warn!(%error, "the workload API takes no connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn one_too_many_is_closed_and_a_place_that_is_free_again_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut connections = Box::pin(accepted(UnixListener::bind(&path).unwrap()));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = UnixStream::connect(&path).await.unwrap();
            held.push((client, connections.next().await.unwrap().unwrap()));
        }
        let mut late = UnixStream::connect(&path).await.unwrap();
        let mut byte = [0];
        let closed = tokio::select! {
            read = late.read(&mut byte) => read.unwrap(),
            _connection = connections.next() => panic!("there is no place for it"),
        };
        assert_eq!(closed, 0);
        held.pop();
        let _client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(connections.next().await.unwrap().unwrap().connect_info().peer_cred.unwrap().uid(), nix::unistd::geteuid().as_raw());
    }
}

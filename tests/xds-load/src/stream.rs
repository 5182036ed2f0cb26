//! One client's life: connects, talks, and comes back as Envoy does when the stream ends.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::client::{Client, Reply};
use crate::swarm::{Member, Shared};
use crate::target::Own;
use crate::wire::{Request, Response};

const METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// Envoy's own.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 24 * 1024 * 1024;
/// Bytes before the message: a flag and its length.
const PREFIX: usize = 5;

pub(crate) async fn live(member: Member, shared: Arc<Shared>) {
    let mut client = Client::new(member.node.clone());
    let mut wish = shared.wish.subscribe();
    let mut attempts = 0_u64;
    loop {
        let now = *wish.borrow_and_update();
        if !now.connected {
            if wish.changed().await.is_err() {
                return;
            }
            continue;
        }
        let ended = tokio::select! {
            ended = talk(&member, &mut client, &shared) => ended,
            _ = wish.changed() => Ok(()),
        };
        shared.lost(member.index, ended.err());
        attempts = attempts.saturating_add(1);
        // Envoy comes back after 0.1 to 0.45 s; which of it each takes does not matter, but that they differ.
        let spread = u64::try_from(member.index).unwrap_or_default().wrapping_add(attempts).wrapping_mul(0x9e37_79b9) % 350;
        tokio::time::sleep(Duration::from_millis(100_u64.saturating_add(spread))).await;
    }
}

async fn talk(member: &Member, client: &mut Client, shared: &Shared) -> anyhow::Result<()> {
    let (requests, mut body) = open(member, shared).await?;
    // A stream that is gone is seen when it is read.
    let send = |of_reply: Vec<Request>| of_reply.into_iter().for_each(|request| requests.send(request.framed()).unwrap_or_default());
    let first = client.open(&shared.lock().contents);
    send(first);
    let mut received = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = until(client.deadline()) => {
                let reply = client.on_timeout();
                shared.replied(member.index, 0, &reply, client.is_synced());
                send(reply.requests);
                continue;
            }
        };
        let frame = frame.context("the server ended the stream")??;
        let Ok(data) = frame.into_data().map_err(|trailers| trailers.into_trailers()) else {
            anyhow::bail!("the server ended the stream with a status");
        };
        received.extend_from_slice(&data);
        while let Some(message) = next_message(&mut received) {
            if let Some(delay) = member.ack_delay {
                tokio::time::sleep(delay).await;
            }
            let reply = answer(client, &message, shared)?;
            let Reply { requests, .. } = shared.replied_with(member.index, message.len(), reply, client.is_synced());
            send(requests);
        }
    }
}

fn answer(client: &mut Client, message: &Bytes, shared: &Shared) -> anyhow::Result<Reply> {
    let response = Response::parse(message)?;
    Ok(client.on_response(&response, &mut shared.lock().contents))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn next_message(received: &mut BytesMut) -> Option<Bytes> {
    let length: [u8; 4] = received.get(1..PREFIX)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if received.len() < PREFIX.saturating_add(length) {
        return None;
    }
    received.advance(PREFIX);
    Some(received.split_to(length).freeze())
}

async fn open(member: &Member, shared: &Shared) -> anyhow::Result<(mpsc::UnboundedSender<Bytes>, Incoming)> {
    // Connections are made a few at a time, as the kernel's queue of the listener is short.
    let place = shared.connecting.acquire().await?;
    let own = member.certificate.as_deref().zip(member.key.as_deref());
    let own = own.map(|(certificate, key)| Own { certificate: Path::new(certificate), key: Path::new(key) });
    let stream = shared.target.connect(own).await?;
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        // Its end is seen by the stream on it.
        let _ended = connection.await;
    });
    let (requests, body) = mpsc::unbounded_channel::<Bytes>();
    let body = StreamBody::new(UnboundedReceiverStream::new(body).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let request = http::Request::post(format!("http://{}{METHOD}", shared.target.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    let response = sender.send_request(request).await?;
    drop(place);
    shared.connected();
    let status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("0").to_owned();
    let message = response.headers().get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default().to_owned();
    anyhow::ensure!(
        response.status().is_success() && status == "0",
        "the server answered {} grpc-status {status} {message}",
        response.status()
    );
    Ok((requests, response.into_body()))
}

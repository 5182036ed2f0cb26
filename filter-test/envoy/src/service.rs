//! Upstreams: each listens on a port of its own, answers by its script, and remembers what it got.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshwright_wasm_host::Message;

use crate::case::Reply;
use crate::error::EnvoyError;
use crate::http1::{Pace, Reader, write};
use crate::tls::{Stream, Tls};

/// An upstream that is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    replies: Vec<Reply>,
    tls: Option<Tls>,
    pace: Pace,
    answered: AtomicUsize,
    ended: AtomicBool,
    seen: Mutex<Vec<Message>>,
}

impl Service {
    pub(crate) fn start(replies: Vec<Reply>, tls: Option<Tls>, pace: Pace) -> Result<Self, EnvoyError> {
        let bind = || {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bind().map_err(EnvoyError::io("an upstream cannot listen"))?;
        let refused = matches!(replies.as_slice(), [Reply::Refused, ..]);
        let seen = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { replies, tls, pace, answered: AtomicUsize::new(0), ended: AtomicBool::new(false), seen });
        if !refused {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, &shared));
        }
        Ok(Self { address, shared })
    }

    /// What it got so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; should that fail, it goes with the process.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { return };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || drop(serve(stream, &shared)));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = match &shared.tls {
        Some(tls) => tls.accept(stream).map_err(std::io::Error::other)?,
        None => Stream::plain(stream),
    };
    let mut sender = stream.clone();
    let mut reader = Reader::new(stream);
    loop {
        let place = {
            let mut place = None;
            let request = reader.request(&mut |message| {
                let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
                match place.and_then(|place: usize| seen.get_mut(place)) {
                    Some(known) => known.clone_from(message),
                    None => {
                        place = Some(seen.len());
                        seen.push(message.clone());
                    }
                }
            });
            let (Some(request), Some(place)) = (request, place) else { return Ok(()) };
            if let Some(known) = shared.seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
                known.clone_from(&request);
            }
            if !request.complete {
                return Ok(());
            }
            shared.answered.fetch_add(1, Ordering::Relaxed)
        };
        match shared.replies.get(place).or(shared.replies.last()) {
            Some(Reply::Response { headers, chunks, trailers, after }) => {
                std::thread::sleep(*after);
                let status = headers.text(":status").unwrap_or("200");
                let mut headers = headers.clone();
                let bodiless = chunks.is_empty() && trailers.is_empty() && status != "204" && status != "304";
                if bodiless && headers.get("content-length").is_none() {
                    headers.add("content-length", "0");
                }
                write(&mut sender, format!("HTTP/1.1 {status} -").as_bytes(), &headers, chunks, trailers, shared.pace)?;
            }
            Some(Reply::Never) => {
                // Until Envoy gives up.
                let _ended = reader.request(&mut |_| {});
                return Ok(());
            }
            Some(Reply::Reset | Reply::Refused) | None => return Ok(()),
        }
    }
}

/// For a service that has nothing to answer.
pub(crate) fn response_of(status: u16) -> Reply {
    let headers = [(":status", status.to_string())].into_iter().collect();
    Reply::Response { headers, chunks: Vec::new(), trailers: meshwright_wasm_host::Headers::new(), after: Duration::ZERO }
}

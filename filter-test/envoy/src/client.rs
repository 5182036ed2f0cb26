//! The client of an HTTP case.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::case::{Exchange, Observed};
use crate::error::EnvoyError;
use crate::http1::{Pace, Reader, write};
use crate::tls::{Stream, Tls};

/// How long after a response more may come.
const SURPLUS: Duration = Duration::from_millis(50);

/// Sends the request and reads what comes; the connection is closed afterwards.
pub(crate) fn play(
    address: SocketAddr,
    tls: Option<&Tls>,
    exchange: &Exchange,
    patience: Duration,
    pace: Pace,
) -> Result<Observed, EnvoyError> {
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        match tls {
            Some(tls) => tls.connect(stream).map_err(std::io::Error::other),
            None => Ok(Stream::plain(stream)),
        }
    };
    let stream = connect().map_err(EnvoyError::io("the listener cannot be connected to"))?;
    let mut sender = stream.clone();
    let method = exchange.headers.get(":method").unwrap_or(b"GET").to_vec();
    let path = exchange.headers.get(":path").unwrap_or(b"/");
    let start = [&method, &b" "[..], path, b" HTTP/1.1"].concat();
    let mut headers = exchange.headers.clone();
    if let Some(host) = exchange.headers.get(":authority") {
        headers.add("host", host);
    }
    let at_once = stream.is_plain();
    let mut reader = Reader::new(stream);
    let mut observed = Observed::default();
    std::thread::scope(|scope| {
        // An answer may come, and the connection end, before all was sent.
        let mut send = || drop(write(&mut sender, &start, &headers, &exchange.chunks, &exchange.trailers, pace));
        if at_once {
            scope.spawn(send);
        } else {
            send();
        }
        observed.client = reader.response(&method);
        observed.hung = reader.timed_out;
        if !observed.hung && reader.stream().set_read_timeout(SURPLUS).is_ok() {
            observed.surplus = reader.surplus();
        }
    });
    Ok(observed)
}

//! The client of an HTTP case.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::case::{Exchange, Observed};
use crate::error::EnvoyError;
use crate::http1::{Pace, Reader, write};

/// How long after a response more may come.
const SURPLUS: Duration = Duration::from_millis(50);

/// Sends the request and reads what comes; the connection is closed afterwards.
pub(crate) fn play(address: SocketAddr, exchange: &Exchange, patience: Duration, pace: Pace) -> Result<Observed, EnvoyError> {
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok((stream.try_clone()?, stream))
    };
    let (mut sender, receiver) = connect().map_err(EnvoyError::io("the listener cannot be connected to"))?;
    let method = exchange.headers.get(":method").unwrap_or(b"GET").to_vec();
    let path = exchange.headers.get(":path").unwrap_or(b"/");
    let start = [&method, &b" "[..], path, b" HTTP/1.1"].concat();
    let mut headers = exchange.headers.clone();
    if let Some(host) = exchange.headers.get(":authority") {
        headers.add("host", host);
    }
    let mut reader = Reader::new(receiver);
    let mut observed = Observed::default();
    std::thread::scope(|scope| {
        // An answer may come, and the connection end, before all was sent.
        scope.spawn(|| drop(write(&mut sender, &start, &headers, &exchange.chunks, &exchange.trailers, pace)));
        observed.client = reader.response(&method);
        observed.hung = reader.timed_out;
        if !observed.hung && reader.stream().set_read_timeout(Some(SURPLUS)).is_ok() {
            observed.surplus = reader.surplus();
        }
    });
    Ok(observed)
}

//! Both ends of a TCP case, played by one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::case::{ObservedTcp, TcpStep};
use crate::error::EnvoyError;
use crate::http1::Pace;

/// How long the other end of a connection is waited for.
const ARRIVAL: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// The upstream of a TCP case.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, EnvoyError> {
        let bind = || {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bind().map_err(EnvoyError::io("an upstream cannot listen"))?;
        Ok(Self { address, listener })
    }
}

/// Plays the steps; after each, what they lead to is waited for as long as `pace` says at least.
pub(crate) fn play(address: SocketAddr, upstream: &Upstream, steps: &[TcpStep], pace: Pace) -> Result<ObservedTcp, EnvoyError> {
    let connect = || {
        let client = TcpStream::connect(address)?;
        client.set_nodelay(true)?;
        client.set_nonblocking(true)?;
        Ok(client)
    };
    let client = connect().map_err(EnvoyError::io("the listener cannot be connected to"))?;
    let mut ends = Ends { client, server: None, listener: &upstream.listener, observed: ObservedTcp::default() };
    ends.gather(pace.0.saturating_mul(4));
    for step in steps {
        match step {
            TcpStep::Downstream(data) => drop(ends.client.write_all(data)),
            TcpStep::Upstream(data) => {
                if let Some(server) = ends.server() {
                    drop(server.write_all(data));
                }
            }
            TcpStep::DownstreamClose => drop(ends.client.shutdown(Shutdown::Write)),
            TcpStep::UpstreamClose => {
                if let Some(server) = ends.server() {
                    drop(server.shutdown(Shutdown::Write));
                }
            }
        }
        ends.gather(pace.0.saturating_mul(4));
    }
    Ok(ends.observed)
}

struct Ends<'a> {
    client: TcpStream,
    server: Option<TcpStream>,
    listener: &'a TcpListener,
    observed: ObservedTcp,
}

impl Ends<'_> {
    /// The upstream's end, once Envoy has opened it.
    fn server(&mut self) -> Option<&mut TcpStream> {
        let until = Instant::now() + ARRIVAL;
        while self.server.is_none() && Instant::now() < until {
            self.gather(POLL);
        }
        self.server.as_mut()
    }

    /// Takes in whatever comes.
    fn gather(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            if self.server.is_none()
                && let Ok((stream, _)) = self.listener.accept()
                && stream.set_nonblocking(true).is_ok()
            {
                self.observed.upstream_connected = true;
                self.server = Some(stream);
            }
            self.observed.closed |= take(&mut self.client, &mut self.observed.to_downstream);
            if let Some(server) = &mut self.server {
                take(server, &mut self.observed.to_upstream);
            }
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// True at the end of what comes.
fn take(stream: &mut TcpStream, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => into.extend(buffer.get(..length).unwrap_or_default()),
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

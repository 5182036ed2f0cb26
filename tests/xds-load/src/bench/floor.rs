//! What the kernel alone takes for a push: a process that decides nothing, pinned as the server is, writes as many bytes to as many connections, one
//! write each, and reads an answer as long as an ACK, one read each.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

use super::server::{CLIENTS, SERVER};
use crate::process::{pin_to, usage};
use crate::wire::Kind;

/// Before each message: a frame's head of HTTP/2, and gRPC's.
const HEADS: usize = 9 + 5;

/// What such a process does, in the form in which it is told: numbers with a comma between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    connections: usize,
    push_bytes: usize,
    answer_bytes: usize,
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([connections, push_bytes, answer_bytes]) => {
                Ok(Self { connections: *connections, push_bytes: *push_bytes, answer_bytes: *answer_bytes })
            }
            Ok(_) | Err(_) => Err(format!("`{text}` is not CONNECTIONS,PUSH,ANSWER")),
        }
    }
}

impl Floor {
    /// `message_bytes`: of a response.
    pub(crate) fn new(connections: usize, message_bytes: usize) -> Self {
        let ack = DeltaDiscoveryRequest {
            type_url: Kind::Endpoint.type_url().to_owned(),
            response_nonce: "10".to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        Self { connections, push_bytes: message_bytes.saturating_add(HEADS), answer_bytes: ack.encoded_len().saturating_add(HEADS) }
    }

    /// The process itself: says its port, and makes a round for each line that it reads.
    ///
    /// # Errors
    /// When a connection ends early.
    pub fn serve(self) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        writeln!(stdout(), "{}", listener.local_addr()?)?;
        let accepted = std::iter::repeat_with(|| {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let mut streams = accepted.take(self.connections).collect::<std::io::Result<Vec<TcpStream>>>()?;
        writeln!(stdout(), "connected")?;
        let (push, mut answer) = (vec![0; self.push_bytes], vec![0; self.answer_bytes]);
        for line in stdin().lines() {
            line?;
            streams.iter_mut().try_for_each(|stream| stream.write_all(&push))?;
            streams.iter_mut().try_for_each(|stream| stream.read_exact(&mut answer))?;
            writeln!(stdout(), "done")?;
        }
        Ok(())
    }

    /// Microseconds of the process for each push, over so many rounds.
    pub(crate) async fn measure(self, rounds: usize, interval: Duration) -> anyhow::Result<f64> {
        pin_to(&[SERVER])?;
        let arguments = format!("{},{},{}", self.connections, self.push_bytes, self.answer_bytes);
        let process =
            Command::new(std::env::current_exe()?).args(["--floor", &arguments]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        pin_to(&[CLIENTS])?;
        let mut process = Running(process.context("the floor's process cannot be run")?);
        let mut output = BufReader::new(process.0.stdout.take().context("its output is piped")?).lines();
        let mut input = process.0.stdin.take().context("its input is piped")?;
        let address: SocketAddr = output.next().context("it says its address")??.parse()?;
        for _ in 0..self.connections {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            tokio::spawn(self.answer(stream));
        }
        output.next().context("it accepts connections")??;
        let before = usage(process.0.id())?.cpu;
        let began = Instant::now();
        // Read beside the clients, which are on this thread.
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || output.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        for round in 0..rounds {
            sleep_until(began + interval * u32::try_from(round).unwrap_or(u32::MAX)).await;
            writeln!(input, "push")?;
            done.recv().await.context("it ended early")?;
        }
        let spent = usage(process.0.id())?.cpu.saturating_sub(before);
        let pushes = u32::try_from(self.connections.saturating_mul(rounds).max(1))?;
        Ok(spent.as_secs_f64() * 1e6 / f64::from(pushes))
    }

    async fn answer(self, mut stream: tokio::net::TcpStream) {
        let (mut push, answer) = (vec![0; self.push_bytes], vec![0; self.answer_bytes]);
        // Until the process is gone.
        while stream.read_exact(&mut push).await.is_ok() && stream.write_all(&answer).await.is_ok() {}
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_numbers() {
        let told = "3,400,80".parse::<Floor>();
        assert_eq!(told, Ok(Floor { connections: 3, push_bytes: 400, answer_bytes: 80 }));
        assert_eq!("3,400".parse::<Floor>(), Err("`3,400` is not CONNECTIONS,PUSH,ANSWER".to_owned()));
        assert!("3,400,x".parse::<Floor>().is_err());
    }
}

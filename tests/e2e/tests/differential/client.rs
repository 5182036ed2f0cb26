//! A client that sends a request exactly as it is told, byte for byte.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::envoy::{SEEN, seen_as};

/// One request; its source is an address of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) source: Ipv4Addr,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) host: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) challenge: Option<String>,
    /// What an app would have received of the headers in [`SEEN`].
    pub(crate) seen: Vec<(String, String)>,
}

/// Kept-alive connections.
#[derive(Debug, Default)]
pub(crate) struct Client(HashMap<(Ipv4Addr, SocketAddr), BufReader<TcpStream>>);

impl Client {
    pub(crate) async fn send(&mut self, to: SocketAddr, request: &Sent) -> anyhow::Result<Answer> {
        let key = (request.source, to);
        let mut stream = match self.0.remove(&key) {
            Some(stream) => stream,
            None => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(IpAddr::V4(request.source), 0))?;
                BufReader::new(socket.connect(to).await?)
            }
        };
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.path, request.host);
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        let (answer, closes) = read(&mut stream).await.with_context(|| format!("{request:?}"))?;
        if !closes {
            self.0.insert(key, stream);
        }
        Ok(answer)
    }
}

/// The answer, and whether the connection ends with it.
async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(Answer, bool)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        anyhow::ensure!(stream.read_line(&mut line).await? > 0, "the connection was closed after {lines:?}");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines[0].split(' ').nth(1).context("no status")?.parse()?;
    let header = |name: &str| {
        let mut found = lines[1..].iter().filter_map(|line| line.split_once(": ")).filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").map_or(Ok(0), |length| length.parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let seen = SEEN.iter().filter_map(|name| Some(((*name).to_owned(), header(&seen_as(name))?))).collect();
    let closes = header("connection").is_some_and(|value| value == "close");
    Ok((Answer { status, body: String::from_utf8(body)?, challenge: header("www-authenticate"), seen }, closes))
}

//! A small HTTP/1.1 server whose answers a test changes while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Path → the whole response after the status line's `HTTP/1.1 `.
type Answers = Arc<Mutex<BTreeMap<String, String>>>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(tls: Option<TlsAcceptor>) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), tls).await
    }

    pub(crate) async fn at(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (answers, asked) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let address = listener.local_addr().unwrap();
        let (of_task, told) = (Arc::clone(&answers), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => answer(stream, &of_task, &told).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer(stream, &of_task, &told).await;
                        }
                    }
                }
            }
        });
        Self { address, answers, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `status` is `200 OK`, or with headers `302 Found\r\nlocation: /a`.
    pub(crate) fn answers(&self, path: &str, status: &str, body: &str) {
        let response = format!("{status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        self.answers.lock().unwrap().insert(path.to_owned(), response);
    }

    /// The paths that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &Answers, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(path.clone());
    let response = answers.lock().unwrap().get(&path).cloned();
    let response = response.unwrap_or_else(|| "404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    // A client that has read enough closes.
    let _closed = stream.write_all(format!("HTTP/1.1 {response}").as_bytes()).await;
    let _closed = stream.shutdown().await;
}

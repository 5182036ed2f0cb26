//! What a running source can be asked: to look at its directory now, and to let a removal pass that it holds back.

use tokio::sync::{mpsc, oneshot};

/// Requests that wait; whoever asks beyond that waits to be heard.
const PLACES: usize = 16;

/// Asks a running [`DirectorySource`](crate::DirectorySource).
#[derive(Debug, Clone)]
pub struct SourceHandle(mpsc::Sender<Request>);

impl SourceHandle {
    /// Has the directory read: what was written before this call is loaded, or refused, when it returns. False when the source has ended.
    pub async fn reload(&self) -> bool {
        self.ask(None).await.is_some()
    }

    /// Lets the removal `held` pass, see [`Held`](crate::Held). False when no removal of this name is held, or the source has ended.
    pub async fn release(&self, held: &str) -> bool {
        self.ask(Some(held.to_owned())).await.unwrap_or(false)
    }

    async fn ask(&self, release: Option<String>) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request { release, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// One question, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    release: Option<String>,
    answer: oneshot::Sender<bool>,
}

impl Request {
    pub(crate) fn releases(&self) -> Option<&str> {
        self.release.as_deref()
    }

    pub(crate) fn answer(self, answer: bool) {
        // Whoever asked may have gone.
        let _gone = self.answer.send(answer);
    }
}

/// The source's end. It keeps one sender, so that there is always somebody who may ask.
#[derive(Debug)]
pub(crate) struct Requests {
    sender: mpsc::Sender<Request>,
    receiver: mpsc::Receiver<Request>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(PLACES);
        Self { sender, receiver }
    }

    pub(crate) fn handle(&self) -> SourceHandle {
        SourceHandle(self.sender.clone())
    }

    pub(crate) async fn next(&mut self) -> Request {
        match self.receiver.recv().await {
            Some(request) => request,
            // Not while `sender` lives.
            None => std::future::pending().await,
        }
    }
}

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Enough for every signal that is acted on: one to drain, one to hasten it.
const QUEUE: usize = 4;

/// The termination signals that this process is sent, in order.
#[derive(Debug)]
pub struct Signals {
    receiver: mpsc::Receiver<Signal>,
}

impl Signals {
    /// SIGTERM and SIGINT of this process from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn of_this_process() -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (sender, signals) = Self::by_hand();
        tokio::spawn(async move {
            loop {
                let received = tokio::select! {
                    _ = terminate.recv() => Signal::SIGTERM,
                    _ = interrupt.recv() => Signal::SIGINT,
                    () = sender.closed() => return,
                };
                // A full queue means that the sidecar is being ended as fast as it can be already.
                let _full = sender.try_send(received);
            }
        });
        Ok(signals)
    }

    /// Signals that the caller sends.
    #[must_use]
    pub fn by_hand() -> (mpsc::Sender<Signal>, Self) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (sender, Self { receiver })
    }

    /// Waits for the next one; forever, when there can be none any more.
    pub(crate) async fn next(&mut self) -> Signal {
        match self.receiver.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

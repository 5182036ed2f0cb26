//! The shell around `Store`: reads the directory when the kernel says that it changed, and every two seconds in case it did not say so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshwright_config::Rejected;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::loaded::{Checked, Loaded};
use crate::scan::{self, Files, Fingerprint, SourceError};
use crate::store::{self, Store};

const POLL: Duration = Duration::from_secs(2);
/// One save is several events; this long after the last of them the directory is read.
const QUIET: Duration = Duration::from_millis(10);
/// Events that do not end must not keep an edit from being seen.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// What would take documents out of force is looked at twice, this far apart: files are often replaced by removing them first.
const CONFIRM: Duration = Duration::from_millis(100);

/// A directory of documents. [`DirectorySource::run`] keeps what was loaded up to date.
#[derive(Debug)]
pub struct DirectorySource {
    dir: PathBuf,
    store: Store,
    loaded: watch::Sender<Arc<Loaded>>,
    fingerprint: Option<Fingerprint>,
}

impl DirectorySource {
    /// Loads the directory for the first time. Documents that are wrong are quarantined; the directory as a whole must be right.
    ///
    /// # Errors
    /// [`SourceError`]: it is missing, unreadable or empty, or no `Mesh` document in it is right.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let dir = dir.into();
        let fingerprint = scan::fingerprint(&dir)?;
        let files = scan::read(&dir)?;
        let mut store = Store::default();
        let loaded = store.update(&files).map_err(|because| SourceError::NoMesh { dir: dir.clone(), because })?;
        report(None, &loaded);
        Ok(Self { dir, store, loaded: watch::Sender::new(Arc::new(loaded)), fingerprint: Some(fingerprint) })
    }

    /// What is loaded, now and whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Loaded>> {
        self.loaded.subscribe()
    }

    /// Follows the directory until nobody listens any more.
    pub async fn run(mut self) {
        let (signal, mut changed) = mpsc::channel(1);
        let mut watcher = watch_directory(&self.dir, &signal);
        let mut poll = interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A change between the first reading and the watch.
        let _ = signal.try_send(());
        let sender = self.loaded.clone();
        loop {
            let polled = tokio::select! {
                () = sender.closed() => return,
                _ = changed.recv() => false,
                _ = poll.tick() => true,
            };
            if polled {
                // The watch is lost with the directory that it was put on, and may have failed.
                if watcher.is_none() || self.loaded.borrow().source_error.is_some() {
                    watcher = watch_directory(&self.dir, &signal);
                }
                if !self.looks_changed().await {
                    continue;
                }
            } else {
                settle(&mut changed).await;
            }
            self.reload().await;
        }
    }

    async fn looks_changed(&self) -> bool {
        let dir = self.dir.clone();
        let now = blocking(&self.dir, move || scan::fingerprint(&dir)).await.ok();
        now != self.fingerprint || self.loaded.borrow().source_error.is_some()
    }

    async fn reload(&mut self) {
        let mut read = self.read().await;
        if read.as_ref().is_ok_and(|(_, files)| self.store.removes(files)) {
            sleep(CONFIRM).await;
            read = self.read().await;
        }
        let loaded = match read {
            Ok((fingerprint, files)) => {
                self.fingerprint = Some(fingerprint);
                self.store.update(&files).map_err(|because| SourceError::NoMesh { dir: self.dir.clone(), because })
            }
            Err(error) => {
                self.fingerprint = None;
                Err(error)
            }
        };
        let last = Arc::clone(&self.loaded.borrow());
        let next = loaded.unwrap_or_else(|error| Loaded { source_error: Some(error.to_string()), ..Loaded::clone(&last) });
        if next != *last {
            report(Some(&last), &next);
            self.loaded.send_replace(Arc::new(next));
        }
    }

    async fn read(&self) -> Result<(Fingerprint, Files), SourceError> {
        let dir = self.dir.clone();
        // The fingerprint first: what changes in between is seen as a change by the next poll.
        blocking(&self.dir, move || Ok((scan::fingerprint(&dir)?, scan::read(&dir)?))).await
    }
}

async fn blocking<T: Send + 'static>(dir: &Path, work: impl FnOnce() -> Result<T, SourceError> + Send + 'static) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SourceError::Interrupted { dir: dir.to_owned(), reason: error.to_string() }),
    }
}

/// Waits until events have stopped coming, but not for ever.
async fn settle(changed: &mut mpsc::Receiver<()>) {
    let quiet = async { while let Ok(Some(())) = timeout(QUIET, changed.recv()).await {} };
    // Whether it got quiet or the longest wait is over makes no difference.
    let _ = timeout(LONGEST_WAIT, quiet).await;
}

/// `None`, with a warning, when the kernel cannot watch; the poll finds changes then.
fn watch_directory(dir: &Path, signal: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let signal = signal.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| matters(event.kind)) {
            // A full channel holds a signal already.
            let _ = signal.try_send(());
        }
    };
    let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watching.inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "cannot watch, polls instead")).ok()
}

/// Reading is no change, and writing is one when the file is closed: before that it may be half a document.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Logs each quarantine that is new.
fn report(last: Option<&Loaded>, next: &Loaded) {
    use crate::loaded::DocumentState;
    if let Some(error) = next.source_error() {
        tracing::error!(error, "the last good configuration stays in force");
    }
    for document in next.documents() {
        let known = last.is_some_and(|last| last.documents().contains(document));
        if let (DocumentState::Quarantined { error, last_good }, false) = (document.state(), known) {
            for error in error.errors() {
                tracing::error!(%error, last_good, "document quarantined");
            }
        }
    }
}

/// Reads a directory once and reports everything that is wrong with it.
///
/// # Errors
/// [`SourceError`], when the directory as a whole cannot be used.
pub fn load_once(dir: impl AsRef<Path>) -> Result<Checked, SourceError> {
    let dir = dir.as_ref();
    let files = scan::read(dir)?;
    Ok(with_mesh(store::check(&files), dir))
}

/// The same of several folders and files together, each file by its path; a file that is named is read whatever its name.
///
/// # Errors
/// [`SourceError`], when a folder as a whole cannot be used.
pub fn load_paths(paths: &[PathBuf]) -> Result<Checked, SourceError> {
    let files = scan::read_all(paths)?;
    Ok(with_mesh(store::check(&files), paths.first().map_or(Path::new("."), PathBuf::as_path)))
}

fn with_mesh(mut checked: Checked, dir: &Path) -> Checked {
    if checked.state.mesh().is_none() {
        let missing = SourceError::NoMesh { dir: dir.to_owned(), because: String::new() }.to_string();
        checked.errors.extend_from_slice(Rejected::of_file(&dir.display().to_string(), missing).errors());
    }
    checked
}

//! The shell around `Store`: reads what the kernel says has changed in the directory, and looks at all of it where that is not certain, and every two
//! seconds in case it did not say so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_config::Rejected;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::guard::Guard;
use crate::last_good::LastGood;
use crate::loaded::{Checked, DocumentState, Loaded};
use crate::request::{Request, Requests, SourceHandle};
use crate::scan::{self, Files, Fingerprint, Named, Now, Reading, Saved, SourceError, Tree};
use crate::store::{self, Store};
use crate::watched::{News, Seen};

const POLL: Duration = Duration::from_secs(2);
/// One save is several events; this long after the last of them the directory is read.
const QUIET: Duration = Duration::from_millis(10);
/// Events that do not end must not keep an edit from being seen.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// What would take documents out of force is looked at twice, this far apart: files are often replaced by removing them first.
const CONFIRM: Duration = Duration::from_millis(100);
/// A directory that never rests is taken as it is.
const LONGEST_FILLING: Duration = Duration::from_secs(2);

/// Why the directory is looked at.
enum Cause {
    Event,
    Poll,
    Request(Request),
}

/// A directory of documents. [`DirectorySource::run`] keeps what was loaded up to date.
#[derive(Debug)]
pub struct DirectorySource {
    dir: PathBuf,
    store: Store,
    loaded: watch::Sender<Arc<Loaded>>,
    fingerprint: Option<Fingerprint>,
    /// When the last reading began.
    began: SystemTime,
    asked: Requests,
    last_good: Option<LastGood>,
    /// What was read last is not yet kept on disk.
    unkept: Option<Arc<Files>>,
    /// As they were read last.
    files: Arc<Files>,
    /// As it was when all of it was looked at last.
    tree: Arc<Tree>,
}

impl DirectorySource {
    /// Loads the directory for the first time, going on where the last process ended: what was in force then is read from the file
    /// `last_good` and is the last good version of each document; what is in force is kept there. `guard`: how much one change may remove.
    /// Documents that are wrong are quarantined; the directory as a whole must be right.
    ///
    /// # Errors
    /// [`SourceError`]: the directory is missing, unreadable or empty, or no `Mesh` document in it is right; the file cannot be used; or there
    /// is none yet and some document is wrong, so that it has no version to fall back on.
    pub fn open(dir: impl Into<PathBuf>, guard: Guard, last_good: &Path) -> Result<Self, SourceError> {
        let dir = dir.into();
        let mut store = Store::new(guard);
        let (last_good, kept) = LastGood::open(last_good)?;
        if let Some(kept) = &kept {
            store.restore(kept);
        }
        let source = Self::load(dir, store, last_good)?;
        if kept.is_none() {
            refuse_wrong(&source.dir, &source.loaded.borrow())?;
        }
        Ok(source)
    }

    fn load(dir: PathBuf, mut store: Store, last_good: LastGood) -> Result<Self, SourceError> {
        let began = SystemTime::now();
        let Reading { fingerprint, files, tree } = first_reading(&dir)?;
        let saved = Saved::new(&fingerprint, SystemTime::UNIX_EPOCH, began);
        let files = Arc::new(files);
        store.look(&files);
        let loaded = store.update(&saved).map_err(|because| SourceError::NoMesh { dir: dir.clone(), because })?;
        report(None, &loaded);
        let loaded = watch::Sender::new(Arc::new(loaded));
        Ok(Self {
            dir,
            store,
            loaded,
            fingerprint: Some(fingerprint),
            began,
            asked: Requests::new(),
            last_good: Some(last_good),
            unkept: Some(Arc::clone(&files)),
            files,
            tree: Arc::new(tree),
        })
    }

    /// What is loaded, now and whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Loaded>> {
        self.loaded.subscribe()
    }

    /// For asking the source while it runs.
    #[must_use]
    pub fn handle(&self) -> SourceHandle {
        self.asked.handle()
    }

    /// Follows the directory until nobody listens any more.
    pub async fn run(mut self) {
        let (news, mut changed) = News::new();
        let mut watcher = news.watch(&self.dir);
        let mut poll = interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.keep_current().await;
        let sender = self.loaded.clone();
        loop {
            let cause = tokio::select! {
                () = sender.closed() => return,
                _ = changed.recv() => Cause::Event,
                _ = poll.tick() => Cause::Poll,
                request = self.asked.next() => Cause::Request(request),
            };
            match cause {
                Cause::Event => {
                    settle(&mut changed).await;
                    self.follow(news.take()).await;
                }
                Cause::Poll => {
                    // The watch is lost with the directory that it was put on, and may have failed.
                    if watcher.is_none() || self.loaded.borrow().source_error.is_some() {
                        watcher = news.watch(&self.dir);
                    }
                    self.keep_current().await;
                    if self.looks_changed().await {
                        self.reload().await;
                    }
                }
                Cause::Request(request) => {
                    let answer = request.releases().is_none_or(|held| self.store.release(held));
                    self.reload().await;
                    request.answer(answer);
                }
            }
        }
    }

    /// Looks at what has changed.
    async fn follow(&mut self, seen: Seen) {
        match seen {
            Seen::Files(names) if self.tree.is_plain() => {
                if !names.is_empty() && !self.reload_some(names).await {
                    self.reload().await;
                }
            }
            Seen::Files(_) | Seen::Anything => self.reload().await,
        }
    }

    /// Looks at these files alone. False where all of it is to be looked at.
    async fn reload_some(&mut self, names: BTreeSet<String>) -> bool {
        if self.loaded.borrow().source_error.is_some() {
            return false;
        }
        let began = SystemTime::now();
        let Some(named) = Named::new(&self.dir, &self.tree, &names, &self.files) else { return false };
        let now = blocking(&self.dir, move || Ok(named.read())).await;
        let (Ok(Some(now)), Some(fingerprint)) = (now, &mut self.fingerprint) else { return false };
        let looked: Fingerprint = now.iter().map(|now| (now.name.clone(), now.facts)).collect();
        fingerprint.extend(looked.clone());
        // Nobody else has them, nearly always.
        Arc::make_mut(&mut self.files).extend(now.into_iter().map(|Now { name, text, .. }| (name, text)));
        self.store.look_at(&self.files, &names);
        // What would take documents out of force is looked at twice, and whole.
        if self.store.removes() {
            return false;
        }
        let saved = Saved::new(&looked, self.began, SystemTime::now());
        self.began = began;
        let loaded = self.take(&saved);
        self.publish(loaded).await;
        true
    }

    /// What is in force by what the store has looked at.
    fn take(&mut self, saved: &Saved) -> Result<Loaded, SourceError> {
        let loaded = self.store.update(saved);
        self.unkept = Some(Arc::clone(&self.files));
        loaded.map_err(|because| SourceError::NoMesh { dir: self.dir.clone(), because })
    }

    async fn looks_changed(&self) -> bool {
        let dir = self.dir.clone();
        let now = blocking(&self.dir, move || scan::fingerprint(&dir)).await.ok();
        now != self.fingerprint || self.loaded.borrow().source_error.is_some()
    }

    async fn reload(&mut self) {
        let mut began = SystemTime::now();
        let mut read = self.read().await;
        if read.is_ok() && self.store.removes() {
            sleep(CONFIRM).await;
            began = SystemTime::now();
            read = self.read().await;
        }
        let loaded = match read {
            Ok(fingerprint) => {
                let saved = Saved::new(&fingerprint, self.began, SystemTime::now());
                (self.fingerprint, self.began) = (Some(fingerprint), began);
                self.take(&saved)
            }
            Err(error) => {
                self.fingerprint = None;
                Err(error)
            }
        };
        self.publish(loaded).await;
    }

    async fn publish(&mut self, loaded: Result<Loaded, SourceError>) {
        let last = Arc::clone(&self.loaded.borrow());
        let next = loaded.unwrap_or_else(|error| Loaded { source_error: Some(error.to_string()), ..Loaded::clone(&last) });
        if next != *last {
            report(Some(&last), &next);
            let next = Arc::new(next);
            // Before anybody sees it: who restarts must not know less than the proxies do.
            self.keep(&next).await;
            self.loaded.send_replace(next);
        }
    }

    async fn keep_current(&mut self) {
        let current = Arc::clone(&self.loaded.borrow());
        self.keep(&current).await;
    }

    /// Keeps on disk what is in force. A disk that is full does not keep it from being in force; it is tried again with each poll.
    async fn keep(&mut self, loaded: &Arc<Loaded>) {
        if self.unkept.is_none() {
            return;
        }
        let (Some(mut last_good), Some(files)) = (self.last_good.take(), self.unkept.take()) else { return };
        let loaded = Arc::clone(loaded);
        let kept = tokio::task::spawn_blocking(move || {
            let kept = last_good.keep(&loaded.in_force, &files);
            (last_good, files, kept)
        });
        match kept.await {
            Ok((last_good, files, kept)) => {
                self.last_good = Some(last_good);
                if let Err(error) = kept {
                    tracing::error!(%error, "if the control plane starts again now, it does not know the newest documents");
                    self.unkept = Some(files);
                }
            }
            Err(error) => tracing::error!(%error, "keeping the documents in force was interrupted"),
        }
    }

    /// Looks at everything.
    async fn read(&mut self) -> Result<Fingerprint, SourceError> {
        let (dir, last) = (self.dir.clone(), Arc::clone(&self.files));
        let Reading { fingerprint, files, tree } = blocking(&self.dir, move || scan::read(&dir, &last)).await?;
        (self.files, self.tree) = (Arc::new(files), Arc::new(tree));
        self.store.look(&self.files);
        Ok(fingerprint)
    }
}

/// A mesh without one of its documents may allow what it must not; when there is no version to fall back on, there is no mesh.
fn refuse_wrong(dir: &Path, loaded: &Loaded) -> Result<(), SourceError> {
    let errors: String = loaded
        .documents()
        .iter()
        .filter_map(|document| match document.state() {
            DocumentState::Quarantined { error, last_good: false } => Some(format!("\n  {}", error.to_string().replace('\n', "\n  "))),
            DocumentState::Quarantined { .. } | DocumentState::Accepted => None,
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(SourceError::Wrong { dir: dir.to_owned(), errors }) }
}

/// A directory that is just being filled is read when it has been left alone for a moment.
fn first_reading(dir: &Path) -> Result<Reading, SourceError> {
    let deadline = std::time::Instant::now() + LONGEST_FILLING;
    loop {
        let reading = scan::read(dir, &Files::new())?;
        let before = &reading.fingerprint;
        let newest = before.values().flatten().map(|(_, time)| *time).max();
        let is_young = newest.is_some_and(|time| time.elapsed().is_ok_and(|age| age < CONFIRM));
        if std::time::Instant::now() > deadline || (!is_young && scan::fingerprint(dir)? == *before) {
            return Ok(reading);
        }
        std::thread::sleep(CONFIRM);
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

/// Logs each quarantine that is new.
fn report(last: Option<&Loaded>, next: &Loaded) {
    if let Some(error) = next.source_error() {
        tracing::error!(error, "the last good configuration stays in force");
    }
    if let Some(held) = next.held().filter(|held| last.and_then(Loaded::held) != Some(held)) {
        tracing::error!(
            name = held.name(),
            "{held}: it is held back until the documents are there again, or `meshwright release {}`",
            held.name()
        );
    }
    for document in next.documents() {
        let DocumentState::Quarantined { error, last_good } = document.state() else { continue };
        if !last.is_some_and(|last| last.documents().contains(document)) {
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
    let files = scan::read(dir, &Files::new())?.files;
    Ok(with_mesh(store::check(&files, SystemTime::now()), dir))
}

/// The same of several folders and files together, each file by its path; a file that is named is read whatever its name.
///
/// # Errors
/// [`SourceError`], when a folder as a whole cannot be used.
pub fn load_paths(paths: &[PathBuf]) -> Result<Checked, SourceError> {
    let files = scan::read_all(paths)?;
    Ok(with_mesh(store::check(&files, SystemTime::now()), paths.first().map_or(Path::new("."), PathBuf::as_path)))
}

fn with_mesh(mut checked: Checked, dir: &Path) -> Checked {
    if checked.state.mesh().is_none() {
        let missing = SourceError::NoMesh { dir: dir.to_owned(), because: String::new() }.to_string();
        checked.errors.extend_from_slice(Rejected::of_file(&dir.display().to_string(), missing).errors());
    }
    checked
}

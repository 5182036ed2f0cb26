//! What the kernel says has changed in the directory: which files, as long as that is certain. Reads nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::scan::{is_document, is_hidden};

/// What may have changed since somebody asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The files of these names within the directory, if there is neither link nor folder among them, and no other document.
    Files(BTreeSet<String>),
    Anything,
}

impl Seen {
    fn nothing() -> Self {
        Self::Files(BTreeSet::new())
    }

    fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Files(names), Self::Files(more)) => names.extend(more),
            (Self::Anything, _) => {}
            (_, Self::Anything) => *self = Self::Anything,
        }
    }
}

/// What the watch has seen and nobody has looked at.
#[derive(Debug, Clone)]
pub(crate) struct News {
    seen: Arc<Mutex<Seen>>,
    signal: mpsc::Sender<()>,
}

impl News {
    /// The receiver gets something when there are news. To begin with everything is.
    pub(crate) fn new() -> (Self, mpsc::Receiver<()>) {
        let (signal, signals) = mpsc::channel(1);
        let news = Self { seen: Arc::new(Mutex::new(Seen::nothing())), signal };
        news.tell(Seen::Anything);
        (news, signals)
    }

    /// All there is; it is new no more.
    pub(crate) fn take(&self) -> Seen {
        std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), Seen::nothing())
    }

    fn tell(&self, seen: Seen) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(seen);
        // A full channel holds a signal already.
        let _ = self.signal.try_send(());
    }

    /// `None`, with a warning, when the kernel cannot watch; the poll finds changes then.
    pub(crate) fn watch(&self, dir: &Path) -> Option<RecommendedWatcher> {
        // As the events have it.
        let root = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let news = self.clone();
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) if !event.need_rescan() && !matters(event.kind) => {}
            Ok(event) => news.tell(of(&event, &root)),
            Err(_) => news.tell(Seen::Anything),
        };
        let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::Recursive)?;
            // What happened before nobody saw.
            self.tell(Seen::Anything);
            Ok(watcher)
        });
        watching.inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "cannot watch, polls instead")).ok()
    }
}

/// Reading is no change, and writing is one when the file is closed: before that it may be half a document.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Events that were lost, that name nothing, or something that may be a folder or a link to one, leave open what has changed.
fn of(event: &Event, root: &Path) -> Seen {
    if event.need_rescan() || event.paths.is_empty() {
        return Seen::Anything;
    }
    let mut seen = Seen::nothing();
    event.paths.iter().for_each(|path| seen.add(of_path(path, root)));
    seen
}

fn of_path(path: &Path, root: &Path) -> Seen {
    let Ok(within) = path.strip_prefix(root) else { return Seen::Anything };
    // What is hidden holds no documents, whatever it is.
    if within.iter().any(is_hidden) {
        return Seen::nothing();
    }
    match (within.to_str(), within.file_name()) {
        (Some(name), Some(last)) if is_document(last) => Seen::Files(BTreeSet::from([name.to_owned()])),
        _ => Seen::Anything,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag, RemoveKind, RenameMode};

    use super::*;

    fn event(kind: EventKind, paths: &[&str]) -> Seen {
        let event = paths.iter().fold(Event::new(kind), |event, path| event.add_path(path.into()));
        of(&event, Path::new("/mesh"))
    }

    fn files(names: &[&str]) -> Seen {
        Seen::Files(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_file_is_named_and_what_may_be_more_than_a_file_is_anything() {
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let both = renamed(RenameMode::Both);
        assert_eq!(event(both, &["/mesh/a/.b.yaml.new", "/mesh/a/b.yaml"]), files(&["a/b.yaml"]));
        assert_eq!(event(EventKind::Access(AccessKind::Close(AccessMode::Write)), &["/mesh/c.yml"]), files(&["c.yml"]));
        assert_eq!(event(EventKind::Create(CreateKind::Any), &["/mesh/..data", "/mesh/.git/x.yaml"]), files(&[]));
        let unclear = [
            event(EventKind::Create(CreateKind::Folder), &["/mesh/team"]),
            event(renamed(RenameMode::To), &["/mesh/team"]),
            event(both, &["/mesh/a.yaml", "/mesh/a"]),
            event(EventKind::Remove(RemoveKind::Folder), &["/mesh"]),
            event(both, &["/elsewhere/a.yaml"]),
            event(EventKind::Other, &[]),
            of(&Event::new(EventKind::Other).add_path("/mesh/a.yaml".into()).set_flag(Flag::Rescan), Path::new("/mesh")),
        ];
        assert_eq!(unclear.map(|seen| seen == Seen::Anything), [true; 7]);
    }

    #[tokio::test]
    async fn everything_is_news_until_somebody_looks_and_after_what_is_unclear() {
        let (news, mut signals) = News::new();
        assert_eq!((signals.recv().await, news.take(), news.take()), (Some(()), Seen::Anything, files(&[])));
        news.tell(files(&["a.yaml"]));
        news.tell(files(&["b.yaml"]));
        assert_eq!((signals.recv().await, news.take()), (Some(()), files(&["a.yaml", "b.yaml"])));
        [files(&["a.yaml"]), Seen::Anything, files(&["b.yaml"])].into_iter().for_each(|seen| news.tell(seen));
        assert_eq!(news.take(), Seen::Anything);
    }
}

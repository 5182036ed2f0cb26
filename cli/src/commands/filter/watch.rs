//! Waits for scenarios or the module to change. What else happens beside them, such as a build into the module's folder, is no change.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// One save is several events.
const QUIET: Duration = Duration::from_millis(100);

pub(super) struct Changes {
    changes: Receiver<()>,
    /// Watches as long as it lives.
    _watcher: RecommendedWatcher,
}

/// A path that was named, as the system's events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    /// Scenarios anywhere below.
    Folder(PathBuf),
    File {
        folder: PathBuf,
        name: OsString,
    },
}

impl Changes {
    /// Of these files, and of the scenarios and snapshots in these folders.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> anyhow::Result<Self> {
        let watched = paths.map(Watched::new).collect::<anyhow::Result<Vec<_>>>()?;
        let (sender, changes) = channel();
        let wanted = watched.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_one = |path: &PathBuf| wanted.iter().any(|watched| watched.concerns(path));
            if event.map_or(true, |event| matters(event.kind) && (event.need_rescan() || event.paths.iter().any(is_one))) {
                // Nobody listens any more: the command ends.
                let _ = sender.send(());
            }
        })?;
        for (folder, mode) in watched.iter().map(Watched::folder) {
            watcher.watch(folder, mode).with_context(|| format!("`{}` cannot be watched", folder.display()))?;
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for the next, and until all is quiet.
    pub(super) fn next(&self) -> anyhow::Result<()> {
        self.changes.recv().context("the watch has ended")?;
        while self.changes.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) {}
        Ok(())
    }
}

impl Watched {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let absolute = |path: &Path| path.canonicalize().with_context(|| format!("`{}` cannot be watched", path.display()));
        if path.is_dir() {
            return Ok(Self::Folder(absolute(path)?));
        }
        let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok(Self::File { folder: absolute(folder)?, name })
    }

    /// A file is watched by its folder: editors replace it.
    fn folder(&self) -> (&Path, RecursiveMode) {
        match self {
            Self::Folder(folder) => (folder, RecursiveMode::Recursive),
            Self::File { folder, .. } => (folder, RecursiveMode::NonRecursive),
        }
    }

    fn concerns(&self, changed: &Path) -> bool {
        match self {
            Self::Folder(folder) => {
                let kind = changed.extension().and_then(OsStr::to_str);
                changed.starts_with(folder) && kind.is_none_or(|kind| ["yaml", "yml", "json"].contains(&kind))
            }
            Self::File { folder, name } => changed.parent() == Some(folder) && changed.file_name() == Some(name),
        }
    }
}

/// Reading is no change.
const fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_named_concerns() {
        let file = Watched::File { folder: "/a".into(), name: "m.wasm".into() };
        let folder = Watched::Folder("/a/tests".into());
        for (changed, of_file, of_folder) in [
            ("/a/m.wasm", true, false),
            ("/a/m.wasm.partial", false, false),
            ("/a/b/m.wasm", false, false),
            ("/a/tests/deep/x.yaml", false, true),
            ("/a/tests/snapshots/x.json", false, true),
            ("/a/tests/new-folder", false, true),
            ("/a/tests/x.yaml.swp", false, false),
            ("/b/x.yaml", false, false),
        ] {
            assert_eq!((file.concerns(Path::new(changed)), folder.concerns(Path::new(changed))), (of_file, of_folder), "{changed}");
        }
    }
}

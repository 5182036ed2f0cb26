//! The states of the documents that this control plane has been in, kept on disk. A proxy that comes from another replica with something
//! from a state that is not among them has been further than this one: it is sent elsewhere until this one has caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshwright_config::Kind;
use meshwright_durable::Journal;
use meshwright_sources::Loaded;
use sha2::{Digest as _, Sha256};

/// Bytes of the hash that make a state's name.
const NAME_BYTES: usize = 6;
/// More are forgotten, the oldest first: policies are not edited so often that a proxy would hold something so old.
const MOST: usize = 65_536;
/// For so long a proxy is sent elsewhere. Then there is nobody else, or the state was lost: an old configuration is better than none.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of states.
#[derive(Debug)]
pub(crate) struct Lineage {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    known: BTreeSet<Arc<str>>,
    now: Option<Arc<str>>,
    journal: Journal,
    /// Node → since when it is sent elsewhere.
    refused: BTreeMap<String, Instant>,
}

impl Lineage {
    /// Reads the states that earlier processes were in from the file `path`, and goes on there.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let wrong = || format!("the states that were in force, `{}`, cannot be used", path.display());
        let mut journal = Journal::open(path).with_context(wrong)?;
        let text = String::from_utf8(journal.read().with_context(wrong)?).with_context(wrong)?;
        let lines: Vec<&str> = text.lines().filter(|line| is_name(line)).collect();
        let newest = lines.get(lines.len().saturating_sub(MOST)..).unwrap_or_default();
        if newest.len() < lines.len() {
            journal.rewrite((newest.join("\n") + "\n").as_bytes()).with_context(wrong)?;
        }
        let known = newest.iter().map(|name| Arc::from(*name)).collect();
        Ok(Self { inner: Mutex::new(Inner { known, now: None, journal, refused: BTreeMap::new() }) })
    }

    /// The documents are these from now on. To be called before anybody is sent anything that is made from them.
    pub(crate) fn advance(&self, loaded: &Loaded) {
        let name: Arc<str> = name(loaded).into();
        let mut inner = self.lock();
        if inner.known.insert(Arc::clone(&name))
            && let Err(error) = inner.journal.append_synced(format!("{name}\n").as_bytes())
        {
            tracing::error!(%error, "the state cannot be kept on disk: after a restart, proxies may wait a minute for another replica");
        }
        inner.now = Some(name);
    }

    pub(crate) fn now(&self) -> Option<Arc<str>> {
        self.lock().now.clone()
    }

    pub(crate) fn knows(&self, state: &str) -> bool {
        self.lock().known.contains(state)
    }

    /// Whether `node` has been sent elsewhere for so long that it is served nevertheless.
    pub(crate) fn is_out_of_patience(&self, node: &str, now: Instant) -> bool {
        let mut inner = self.lock();
        // Who has not come back since was served elsewhere.
        inner.refused.retain(|_, since| now.saturating_duration_since(*since) < PATIENCE.saturating_mul(2));
        let since = *inner.refused.entry(node.to_owned()).or_insert(now);
        let out = now.saturating_duration_since(since) >= PATIENCE;
        if out {
            inner.refused.remove(node);
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_name(line: &str) -> bool {
    line.len() == 2 * NAME_BYTES && line.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The same for the same documents, whatever files they are in. Endpoints that come and go make no other state.
fn name(loaded: &Loaded) -> String {
    let mut hash = Sha256::new();
    for (key, good) in loaded.in_force().iter().filter(|(key, _)| key.kind() != Kind::WorkloadEntry) {
        hash.update(format!("{key} {}\n", good.version()));
    }
    hash.finalize().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patience_ends_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let lineage = Lineage::open(&folder.path().join("states")).unwrap();
        let start = Instant::now();
        let at = |seconds| lineage.is_out_of_patience("a", start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(30), at(59), at(60), at(61), at(100), at(121), at(400)],
            [false, false, false, true, false, false, true, false]
        );
    }

    #[test]
    fn states_are_known_after_a_restart_and_the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states");
        let names = |range: std::ops::Range<usize>| -> String { range.map(|number| format!("{number:012x}\n")).collect() };
        fs::write(&path, names(0..MOST + 10) + "torn").unwrap();
        for _ in 0..2 {
            let lineage = Lineage::open(&path).unwrap();
            assert!(!lineage.knows(&format!("{:012x}", 9)) && lineage.knows(&format!("{:012x}", 10)) && !lineage.knows("torn"));
        }
        assert!(fs::read_to_string(&path).unwrap() == names(10..MOST + 10), "the newest, in their order");
        fs::write(&path, "00000000000a\n0000").unwrap();
        drop(Lineage::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "00000000000a\n");
    }
}

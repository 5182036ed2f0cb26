//! A look at a few files, whose names the kernel has told, instead of at all of them. It comes to what a look at everything would come to, or to
//! nothing: where files were removed, where there are links or second names of a file, or where a folder is not the one that it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Files, MOST_FILES, Text, facts, is_test, read_file};

/// The folders that were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Device and inode, by the path within the directory, with a slash behind it; the directory itself is empty.
    folders: BTreeMap<String, (u64, u64)>,
    /// Something can be reached by another way than by its own name.
    has_links: bool,
}

impl Tree {
    pub(super) fn add(&mut self, within: &str, folder: &Metadata) {
        self.folders.insert(within.to_owned(), (folder.dev(), folder.ino()));
    }

    pub(super) fn has_link(&mut self) {
        self.has_links = true;
    }

    /// Whether files are what their names say, and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        !self.has_links
    }

    /// Whether the folders on the way to a file are those that were looked at.
    fn leads_to(&self, dir: &Path, name: &str) -> bool {
        let ends = std::iter::once(0).chain(name.match_indices('/').map(|(at, _)| at.saturating_add(1)));
        ends.filter_map(|end| name.get(..end)).all(|folder| {
            let found = if folder.is_empty() { fs::metadata(dir) } else { fs::symlink_metadata(dir.join(folder.trim_end_matches('/'))) };
            found.is_ok_and(|found| self.folders.get(folder) == Some(&(found.dev(), found.ino())))
        })
    }
}

/// What one file is now.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) name: String,
    pub(crate) facts: Option<(u64, std::time::SystemTime)>,
    pub(crate) text: Result<Text, String>,
}

/// The files of these names, to be looked at.
#[derive(Debug)]
pub(crate) struct Named {
    dir: PathBuf,
    tree: Arc<Tree>,
    /// With what was read last.
    files: Vec<(String, Option<Text>)>,
}

impl Named {
    /// None where all must be looked at.
    pub(crate) fn new(dir: &Path, tree: &Arc<Tree>, names: &BTreeSet<String>, last: &Files) -> Option<Self> {
        if !tree.is_plain() || last.len().saturating_add(names.len()) > MOST_FILES {
            return None;
        }
        let files = names.iter().map(|name| (name.clone(), last.get(name).and_then(|text| text.as_ref().ok()).cloned()));
        Some(Self { dir: dir.to_owned(), tree: Arc::clone(tree), files: files.collect() })
    }

    /// As [`Named::new`].
    pub(crate) fn read(self) -> Option<Vec<Now>> {
        let Self { dir, tree, files } = self;
        let now: Option<Vec<Now>> = files.into_iter().map(|(name, last)| look(&dir, name, last.as_ref())).collect();
        // After they were read: then it is certain where they were.
        now.filter(|now| now.iter().all(|file| tree.leads_to(&dir, &file.name)))
    }
}

fn look(dir: &Path, name: String, last: Option<&Text>) -> Option<Now> {
    let path = dir.join(&name);
    let metadata = fs::symlink_metadata(&path).ok().filter(|found| found.is_file() && found.nlink() == 1)?;
    let facts = facts(&metadata);
    let text = read_file(&path, Ok(metadata), last);
    (!is_test(&name, &text)).then_some(Now { name, facts, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look at these names comes to, after one at everything and then `edit`.
    fn after(names: &[&str], edit: impl Fn(&Path)) -> Option<Vec<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in ["a.yaml", "b.yaml", "team/c.yaml"] {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), name).unwrap();
        }
        let reading = super::super::read(dir, &Files::new()).unwrap();
        assert!(reading.tree.is_plain());
        edit(dir);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let now = Named::new(dir, &Arc::new(reading.tree), &names, &reading.files)?.read()?;
        Some(now.into_iter().map(|now| (now.name, String::from_utf8(now.text.unwrap().bytes().to_vec()).unwrap())).collect())
    }

    fn one(name: &str, text: &str) -> Option<Vec<(String, String)>> {
        Some(vec![(name.to_owned(), text.to_owned())])
    }

    #[test]
    fn a_file_that_is_one_is_read_and_all_else_is_left_to_a_look_at_everything() {
        let write = |name: &'static str| move |dir: &Path| fs::write(dir.join(name), "new").unwrap();
        assert_eq!(after(&["a.yaml"], write("a.yaml")), one("a.yaml", "new"));
        assert_eq!(after(&["team/c.yaml"], write("team/c.yaml")), one("team/c.yaml", "new"));
        assert_eq!(after(&["d.yaml"], write("d.yaml")), one("d.yaml", "new"));
        assert_eq!(after(&["a.yaml"], |dir| fs::remove_file(dir.join("a.yaml")).unwrap()), None, "removed");
        assert_eq!(after(&["d.yaml"], |dir| std::os::unix::fs::symlink("a.yaml", dir.join("d.yaml")).unwrap()), None, "a link");
        assert_eq!(after(&["d.yaml"], |dir| fs::hard_link(dir.join("a.yaml"), dir.join("d.yaml")).unwrap()), None, "a second name");
        assert_eq!(after(&["d.yaml"], |dir| fs::create_dir(dir.join("d.yaml")).unwrap()), None, "a folder");
        let swapped = |dir: &Path| {
            fs::rename(dir.join("team"), dir.join("old")).unwrap();
            fs::create_dir(dir.join("team")).unwrap();
            fs::write(dir.join("team/c.yaml"), "other").unwrap();
        };
        assert_eq!(after(&["team/c.yaml"], swapped), None, "of another folder");
        let new = |dir: &Path| {
            fs::create_dir(dir.join("new")).unwrap();
            fs::write(dir.join("new/d.yaml"), "other").unwrap();
        };
        assert_eq!(after(&["new/d.yaml"], new), None, "of a new folder");
        let moved = |dir: &Path| {
            let beside = dir.with_extension("beside");
            fs::rename(dir, &beside).unwrap();
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("a.yaml"), "other").unwrap();
            fs::remove_dir_all(beside).unwrap();
        };
        assert_eq!(after(&["a.yaml"], moved), None, "of another directory");
        let test = |dir: &Path| fs::write(dir.join("a_test.yaml"), "tests:\n- name: x\n").unwrap();
        let is_test = meshwright_config::is_policy_test(b"tests:\n- name: x\n");
        assert_eq!(after(&["a_test.yaml"], test).is_none(), is_test);
    }

    #[test]
    fn where_there_are_links_the_kernel_does_not_tell_all() {
        let plain = |edit: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("team")).unwrap();
            fs::write(folder.path().join("team/a.yaml"), "a").unwrap();
            edit(folder.path());
            super::super::read(folder.path(), &Files::new()).unwrap().tree.is_plain()
        };
        use std::os::unix::fs::symlink;
        assert!(plain(&|_| {}));
        assert!(plain(&|dir| symlink("team", dir.join(".hidden")).unwrap()));
        assert!(!plain(&|dir| symlink("team", dir.join("other")).unwrap()));
        assert!(!plain(&|dir| symlink("team/a.yaml", dir.join("b.yaml")).unwrap()));
        assert!(!plain(&|dir| fs::hard_link(dir.join("team/a.yaml"), dir.join("b.yaml")).unwrap()));
    }
}

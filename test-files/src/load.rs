//! Finds and reads files: those that are named, whatever they are called, and of folders those that are called as such files are.

use std::path::{Path, PathBuf};

use crate::error::{FileError, LoadError};

/// A larger file is no test.
const LARGEST_FILE: u64 = 16 << 20;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// In words: "scenarios".
    pub what: &'static str,
    /// How the names of their files end.
    pub ends: [&'static str; 2],
}

/// Reads everything below `paths`, in the order of the names, and gives each file to `parse`. Names that start with a dot are left out.
///
/// # Errors
/// When a file cannot be read or is wrong, and when there is none.
pub fn load<T>(
    paths: &[PathBuf],
    kind: &Kind,
    mut parse: impl FnMut(&Path, &str) -> Result<Vec<T>, FileError>,
) -> Result<Vec<T>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, kind, true, &mut files).map_err(|(path, error)| LoadError::Unreadable { path, reason: error.to_string() })?;
    }
    if files.is_empty() {
        let names = kind.ends.map(|end| format!("`*{end}`")).join(" or ");
        return Err(LoadError::None { what: kind.what, names, paths: paths.to_vec() });
    }
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        let text = read(&file).map_err(|reason| LoadError::Unreadable { path: file.clone(), reason })?;
        match parse(&file, &text) {
            Ok(parsed) => all.extend(parsed),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(all) } else { Err(LoadError::Wrong { errors }) }
}

fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LARGEST_FILE {
        return Err(format!("it has {length} bytes, at most {LARGEST_FILE} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn find(path: &Path, kind: &Kind, named: bool, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let at = |error| (path.to_owned(), error);
    if !std::fs::metadata(path).map_err(at)?.is_dir() {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if named || kind.ends.iter().any(|end| name.ends_with(end)) {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(at)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(at)?;
    entries.sort();
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    for entry in entries.iter().filter(|entry| !hidden(entry)) {
        find(entry, kind, false, files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { what: "tests", ends: ["_test.yaml", "_test.yml"] };

    #[test]
    fn folders_give_their_files_in_order_and_files_are_taken_as_named() {
        let folder = tempfile::tempdir().unwrap();
        let paths = |names: &[&str]| names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>();
        let found = |names: &[&str]| {
            let named = |file: &Path, _: &str| Ok(vec![file.strip_prefix(folder.path()).unwrap().display().to_string()]);
            load(&paths(names), &KIND, named).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
        };
        assert!(found(&[""]).unwrap_err().ends_with("holds no `*_test.yaml` or `*_test.yml`"));
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c_test.yml", "b/a_test.yaml", "a_test.yaml", ".hidden_test.yaml", "other.yaml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(found(&[""]).unwrap(), ["a_test.yaml", "b/a_test.yaml", "c_test.yml"]);
        assert_eq!(found(&["other.yaml", "b"]).unwrap(), ["other.yaml", "b/a_test.yaml"]);
        assert!(found(&["none"]).unwrap_err().starts_with("`none` cannot be read: "));
        let file = std::fs::File::create(folder.path().join("large_test.yaml")).unwrap();
        file.set_len(LARGEST_FILE + 1).unwrap();
        assert!(found(&[""]).unwrap_err().ends_with("it has 16777217 bytes, at most 16777216 are read"));
    }

    #[test]
    fn every_file_that_is_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a_test.yaml", "b_test.yaml", "c_test.yaml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let wrong = |file: &Path, _: &str| {
            let file = file.file_name().unwrap().to_string_lossy().into_owned();
            if file == "b_test.yaml" {
                Ok(vec![()])
            } else {
                Err(FileError { file, line: None, path: "x".to_owned(), message: "no".to_owned() })
            }
        };
        let error = load(&[folder.path().to_owned()], &KIND, wrong).unwrap_err().to_string();
        assert_eq!(error, "a_test.yaml: x: no\nc_test.yaml: x: no");
    }
}

//! Files as a careful operator replaces them.

use std::path::Path;

use anyhow::Context as _;

/// Puts `text` in the place of `folder/name` in one step, written beside and renamed: whoever watches never reads a part of it.
///
/// # Errors
/// When the folder cannot be made or the file not written.
pub fn put(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let (file, beside) = (folder.join(name), folder.join(format!(".{name}.new")));
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, &file).with_context(|| format!("`{}` cannot be replaced", file.display()))
}

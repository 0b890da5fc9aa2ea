//! Source files and their names, for the lints that read them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::process::root;

/// Rust sources below a folder, by path; build folders are skipped.
pub(crate) fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                let built = ["target", "node_modules"];
                let name = path.file_name().and_then(|name| name.to_str());
                if !name.is_some_and(|name| built.contains(&name)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Path from the repository's root on, as people write it.
pub(crate) fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

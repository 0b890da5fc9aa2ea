//! The files of a folder, each with its digest.

use std::fs;
use std::path::Path;

use super::{Resource, invalid};
use crate::{Error, Result, outside};

/// A folder with more files is refused.
pub const MAX_FILES: usize = 10_000;

/// A folder with folders nested more deeply is refused.
pub const MAX_DEPTH: usize = 32;

/// A folder with a larger file (bytes) is refused: no model has one, and a sparse file takes no room.
pub const MAX_FILE_BYTES: u64 = 512 << 30;

/// The folder's own name.
pub(super) fn name(folder: &Path) -> Result<String> {
    let full = fs::canonicalize(folder).map_err(|e| Error::io(folder, e))?;
    match full.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(invalid(format!(
            "{}: the folder's name is not UTF-8",
            folder.display()
        ))),
    }
}

/// The path of a file below the folder, with `/`; none for one outside, and for a name that is not
/// UTF-8, which no folder that is signed has.
pub(super) fn below(folder: &Path, file: &Path) -> Option<String> {
    // A file that is still to be written is where its folder is.
    let within = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return None,
    };
    let within = fs::canonicalize(within).ok()?;
    let inside = within.strip_prefix(fs::canonicalize(folder).ok()?).ok()?;
    let path = inside.join(file.file_name()?);
    let parts: Option<Vec<&str>> = path.iter().map(std::ffi::OsStr::to_str).collect();
    Some(parts?.join("/"))
}

/// The regular files below a folder in the order of their paths' parts. `ignored` are paths below
/// the folder; the content of an ignored folder is ignored with it.
pub(super) fn resources(folder: &Path, ignored: &[String]) -> Result<Vec<Resource>> {
    let mut files = Vec::new();
    walk(folder, "", 0, ignored, &mut files)?;
    if files.is_empty() {
        return Err(invalid(format!(
            "{}: it holds no file that is to be signed",
            folder.display()
        )));
    }
    files.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    Ok(files)
}

fn walk(
    folder: &Path,
    below: &str,
    depth: usize,
    ignored: &[String],
    files: &mut Vec<Resource>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!(
            "{below}: folders nested more than {MAX_DEPTH} deep"
        )));
    }
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let path = entry.path();
        let Some(own) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(invalid(format!("{}: not UTF-8", path.display())));
        };
        let name = match below {
            "" => own,
            _ => format!("{below}/{own}"),
        };
        if ignored.iter().any(|i| i.trim_end_matches('/') == name) {
            continue;
        }
        let kind = entry.file_type().map_err(|e| Error::io(&path, e))?;
        if kind.is_dir() {
            walk(&path, &name, depth + 1, ignored, files)?;
        } else if kind.is_file() {
            if files.len() == MAX_FILES {
                return Err(invalid(format!("more than {MAX_FILES} files")));
            }
            // In pieces: a model's file may be larger than memory.
            let digest = outside::digest(folder, entry.file_name(), MAX_FILE_BYTES)
                .map_err(|e| Error::io(&path, e))?;
            files.push(Resource {
                name,
                algorithm: "sha256".to_owned(),
                digest,
            });
        } else {
            return Err(invalid(format!(
                "{name:?} is a symbolic link or a special file; only files and folders are signed"
            )));
        }
    }
    Ok(())
}

//! The files of a folder, each with its digest.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Resource, invalid};
use crate::digest::Digest;
use crate::{Error, Result};

/// A folder with more files is refused.
pub const MAX_FILES: usize = 10_000;

/// A folder with folders nested more deeply is refused.
pub const MAX_DEPTH: usize = 32;

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

/// The regular files below a folder in the order of their paths' parts. `ignored` are paths below
/// the folder; what lies in an ignored folder is ignored with it.
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
            let digest = digest(&path)?;
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

/// In pieces: a model's file may be larger than memory.
fn digest(path: &Path) -> Result<Digest> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece).map_err(|e| Error::io(path, e))?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Digest(hasher.finalize().into()));
        };
        hasher.update(bytes);
    }
}

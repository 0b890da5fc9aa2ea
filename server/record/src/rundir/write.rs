//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file so that a reader (and a restart after a crash) sees the old bytes or the new ones,
/// never a part: temporary file, fsync, rename, fsync of the folder.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            // A bare file name has the empty path as its parent.
            let here = folder.as_os_str().is_empty();
            File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|source| {
        // A file that a full disk cut short is of no use to anybody.
        let _ = fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// Removes what an interrupted [`write_atomically`] left.
pub fn remove_temporaries(root: &Path) -> Result<()> {
    let entries = fs::read_dir(root).map_err(|source| Error::io(root, source))?;
    for entry in entries {
        let path = entry.map_err(|source| Error::io(root, source))?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::write(dir.path().join("run.tmp"), b"torn").unwrap();
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

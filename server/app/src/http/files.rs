//! Files of a run as the server reads them: regular ones alone, under a bound, and stamped, so that a
//! result about a file stays valid until the file changes.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use fedseal_client_sdk::outside;

/// Age below which a file may change again without a new stamp: clocks of file systems are coarse.
const COARSE: Duration = Duration::from_secs(1);
/// Folders below each other that a walk goes into; a log's tiles need fewer.
const DEEPEST: usize = 12;

/// Size, times and identity of a file: they tell it from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Inode, and when it changed (seconds, nanoseconds), where the system has such.
    identity: (u64, i64, i64),
}

impl Stamp {
    /// The stamp of a file with this metadata.
    pub(super) fn of(meta: &Metadata) -> Stamp {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            (meta.ino(), meta.ctime(), meta.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0);
        Stamp {
            length: meta.len(),
            modified: meta.modified().ok(),
            identity,
        }
    }

    /// The stamp of the file at a path; `None` where there is nothing. Links are not followed.
    pub(super) fn at(path: &Path) -> Option<Stamp> {
        fs::symlink_metadata(path).ok().map(|meta| Stamp::of(&meta))
    }

    /// The file's size, bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether a file that is still open has the bytes that it had: another name, or none any more,
    /// is no change of them.
    pub(super) fn is_of_the_bytes_of(&self, earlier: &Stamp) -> bool {
        (self.length, self.modified) == (earlier.length, earlier.modified)
    }
}

/// Opens the regular file `below` a folder; a link, a pipe or a device is refused.
///
/// # Errors
/// Any error of the system; [`ErrorKind::InvalidInput`] for a file that is not regular.
pub(super) fn open(folder: &Path, below: impl AsRef<Path>) -> io::Result<(File, Stamp)> {
    let file = outside::open(folder, below).map_err(|error| match outside::is_unfit(&error) {
        true => io::Error::new(ErrorKind::InvalidInput, "is no regular file"),
        false => error,
    })?;
    let stamp = Stamp::of(&file.metadata()?);
    Ok((file, stamp))
}

/// Reads the regular file `below` a folder, of at most `most` bytes, with its stamp.
///
/// # Errors
/// As [`open`]; [`ErrorKind::FileTooLarge`] for a larger one.
pub(super) fn read(
    folder: &Path,
    below: impl AsRef<Path>,
    most: u64,
) -> io::Result<(Vec<u8>, Stamp)> {
    let (file, stamp) = open(folder, below)?;
    let large = || {
        let text = format!("is larger than {most} bytes, the most that is read of it");
        io::Error::new(ErrorKind::FileTooLarge, text)
    };
    if stamp.length > most {
        return Err(large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.length).map_err(|_| large())?);
    // It may have grown since.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(large());
    }
    Ok((bytes, stamp))
}

/// Stamps of files, summed up: two sums are equal where no file came, went or changed. However many files there
/// are, it takes the same memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    files: u64,
    bytes: u64,
    /// Hashes of paths with their stamps, added up: files come in any order.
    stamps: u64,
    newest: Option<SystemTime>,
    /// Whether a file has no time, which says nothing.
    undated: bool,
}

impl Sum {
    /// Adds a file.
    pub(super) fn add(&mut self, path: &Path, stamp: &Stamp) {
        let mut hasher = DefaultHasher::new();
        (path, stamp).hash(&mut hasher);
        self.files += 1;
        self.bytes = self.bytes.saturating_add(stamp.length);
        self.stamps = self.stamps.wrapping_add(hasher.finish());
        self.newest = self.newest.max(stamp.modified);
        self.undated |= stamp.modified.is_none();
    }

    /// How many files they are.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether an equal sum later means equal bytes.
    pub(super) fn is_settled(&self) -> bool {
        let old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > COARSE);
        !self.undated && self.newest.is_none_or(old)
    }
}

/// All files below a folder; none where there are more than `most`, or where they lie too deep.
pub(super) fn sum(root: &Path, most: usize) -> Option<Sum> {
    let mut found = Sum::default();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if found.files + open.len() as u64 >= most as u64 {
                return None;
            }
            // Neither follows a link.
            let Ok(meta) = entry.metadata() else { continue };
            if !meta.is_dir() {
                found.add(&entry.path(), &Stamp::of(&meta));
            } else if depth < DEEPEST {
                open.push((entry.path(), depth + 1));
            } else {
                return None;
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_under_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(dir.path(), "file", 5).unwrap().0, b"12345");
        let large = read(dir.path(), "file", 4).unwrap_err();
        assert_eq!(large.kind(), ErrorKind::FileTooLarge);
        fs::create_dir(dir.path().join("folder")).unwrap();
        let folder = open(dir.path(), "folder").unwrap_err();
        assert_eq!(folder.kind(), ErrorKind::InvalidInput);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
            std::os::unix::fs::symlink(".", dir.path().join("way")).unwrap();
            for below in ["link", "way/file"] {
                let error = open(dir.path(), below).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{below}");
            }
        }
    }

    #[test]
    fn a_stamp_shows_a_change_of_what_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        file.set_modified(old).unwrap();
        assert!(sum(dir.path(), 1).unwrap().is_settled());
        let stamp = Stamp::at(&path);
        fs::write(&path, "two").unwrap();
        assert_ne!(Stamp::at(&path), stamp);
    }

    #[test]
    fn a_walk_is_bounded_and_sees_every_change() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tile")).unwrap();
        for name in ["checkpoint", "tile/0", "tile/1"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let first = sum(dir.path(), 10).unwrap();
        assert_eq!((first.files(), first.bytes()), (3, 3));
        assert!(!first.is_settled(), "just written");
        assert!(sum(dir.path(), 2).is_none());
        assert_eq!(sum(dir.path(), 10), Some(first));
        let old = SystemTime::now() - Duration::from_secs(60);
        let file = File::options()
            .write(true)
            .open(dir.path().join("tile/1"))
            .unwrap();
        file.set_modified(old).unwrap();
        let touched = sum(dir.path(), 10).unwrap();
        assert_ne!(touched, first);
        fs::rename(dir.path().join("tile/1"), dir.path().join("tile/2")).unwrap();
        assert_ne!(sum(dir.path(), 10), Some(touched));
        assert!(Sum::default().is_settled());
    }
}

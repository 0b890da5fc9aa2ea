//! Files that somebody else may have put there: a run's folder, a bundle, a signed adapter.
//!
//! Only regular files are read: opened without waiting for anybody, found without following a link
//! below the folder that is looked at, and no longer than a bound that the caller names. On Unix a
//! folder is opened part by part, each relative to the one before (`openat`), so that no part can be
//! exchanged between a look at it and its use; elsewhere each part is looked at first.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// Bytes that are hashed at a time.
const PIECE: usize = 64 << 10;

/// Advice about a file that is not read.
const INSTEAD: &str = "it was not read: get a whole copy from whoever made the folder";

/// Opens the regular file `below` a folder for reading. The folder itself is the caller's choice and
/// may be a link; nothing below it may be one.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidData`] when the file or a folder on the way is
/// something else, saying what; any error of the system.
pub fn open(folder: &Path, below: impl AsRef<Path>) -> io::Result<File> {
    let parts = parts(below.as_ref())?;
    let file = system::open(folder, &parts).map_err(|error| match error.kind() {
        ErrorKind::NotFound => error,
        // Chooses the error's words only: whether the file is opened was decided above.
        _ => unfit(folder, &parts, true).unwrap_or(error),
    })?;
    regular(file)
}

/// Reads the regular file `below` a folder, as [`open`] finds it.
///
/// # Errors
/// As [`open`]; [`ErrorKind::InvalidData`] for more than `most` bytes, of which none is read.
pub fn read(folder: &Path, below: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    contents(open(folder, below)?, most)
}

/// The digest of the regular file `below` a folder, which is read in pieces.
///
/// # Errors
/// As [`read`].
pub fn digest(folder: &Path, below: impl AsRef<Path>, most: u64) -> io::Result<Digest> {
    digest_of(open(folder, below)?, most)
}

/// Opens a regular file that the caller names himself. Links are followed; opening never waits for
/// a pipe or a device.
///
/// # Errors
/// As [`open`].
pub fn open_named(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    at_once(&mut options);
    let file = options.open(path).map_err(|error| {
        let found = fs::metadata(path).ok().map(|found| found.file_type());
        match found.filter(|found| !found.is_file()) {
            Some(found) => wrong(format!("{}, where a file belongs", kind(found))),
            None => error,
        }
    })?;
    regular(file)
}

/// Reads a regular file that the caller names himself, as [`open_named`] opens it.
///
/// # Errors
/// As [`read`].
pub fn read_named(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    contents(open_named(path)?, most)
}

/// Reads an open regular file from its beginning.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for more than `most` bytes, of which none is read.
pub fn contents(mut file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = length(&file, most)?;
    file.rewind()?;
    let mut bytes = Vec::new();
    // It is not longer than `most`, which the caller can hold.
    bytes.reserve_exact(usize::try_from(length).unwrap_or_default());
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(too_long(bytes.len() as u64, most)),
    }
}

/// The digest of an open regular file from its beginning, which is read in pieces.
///
/// # Errors
/// As [`contents`].
pub fn digest_of(mut file: File, most: u64) -> io::Result<Digest> {
    length(&file, most)?;
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut read_so_far = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Digest(hasher.finalize().into()));
        };
        read_so_far += read as u64;
        if read_so_far > most {
            return Err(too_long(read_so_far, most));
        }
        hasher.update(bytes);
    }
}

/// The length of an open file, bytes.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for more than `most`.
pub fn length(file: &File, most: u64) -> io::Result<u64> {
    match file.metadata()?.len() {
        length if length <= most => Ok(length),
        length => Err(too_long(length, most)),
    }
}

/// Makes sure that `below` a folder there is a real folder, reached through real folders.
///
/// # Errors
/// As [`open`].
pub fn folder(folder: &Path, below: impl AsRef<Path>) -> io::Result<()> {
    let parts = parts(below.as_ref())?;
    match unfit(folder, &parts, false) {
        Some(error) => Err(error),
        None => fs::symlink_metadata(folder.join(below)).map(|_| ()),
    }
}

/// Every name in a folder, in order.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for more than `most` names; any error of the system.
pub fn names(folder: &Path, most: usize) -> io::Result<Vec<fs::DirEntry>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if names.len() == most {
            return Err(wrong(format!("more than {most} names in one folder")));
        }
        names.push(entry?);
    }
    names.sort_by_key(fs::DirEntry::file_name);
    Ok(names)
}

/// Makes opening a file for writing in such a folder fail on a link and not wait for a pipe.
/// [`regular`] says whether what was opened is a file.
pub fn no_link(options: &mut OpenOptions) {
    system::no_link(options);
}

/// Kind of a name in a folder, in words.
pub fn kind(found: FileType) -> &'static str {
    if found.is_file() {
        "a file"
    } else if found.is_dir() {
        "a folder"
    } else if found.is_symlink() {
        "a symbolic link"
    } else {
        system::special(found)
    }
}

/// Whether an error says that a file is of a kind that is not read here.
pub fn is_unfit(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidData
}

fn wrong(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{what}; {INSTEAD}"))
}

fn too_long(length: u64, most: u64) -> io::Error {
    wrong(format!(
        "{length} bytes or more, {most} at most are read of such a file"
    ))
}

/// The open file, if it is a regular one.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for anything else, saying what.
pub fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.file_type() {
        found if found.is_file() => Ok(file),
        found => Err(wrong(format!("{}, where a file belongs", kind(found)))),
    }
}

/// The names of a relative path, which does not leave its folder.
fn parts(below: &Path) -> io::Result<Vec<&OsStr>> {
    let parts: Option<Vec<_>> = below
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).ok_or_else(|| {
        let text = format!("{} does not name a file below a folder", below.display());
        io::Error::new(ErrorKind::InvalidInput, text)
    })
}

/// Error about the first part of the path that is of the wrong kind. Each part must be a folder,
/// the last one a file if `file`.
fn unfit(folder: &Path, parts: &[&OsStr], file: bool) -> Option<io::Error> {
    let mut at = folder.to_owned();
    for (index, part) in parts.iter().enumerate() {
        at.push(part);
        let last = index + 1 == parts.len();
        let found = fs::symlink_metadata(&at).ok()?.file_type();
        let (fits, wanted) = match last && file {
            true => (found.is_file(), "a file"),
            false => (found.is_dir(), "a folder"),
        };
        if !fits {
            let place = match last {
                true => String::new(),
                false => {
                    let above: PathBuf = parts.iter().take(index + 1).collect();
                    format!("{} on the way to it is ", above.display())
                }
            };
            let what = kind(found);
            return Some(wrong(format!("{place}{what}, where {wanted} belongs")));
        }
    }
    None
}

#[cfg(unix)]
fn at_once(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
fn at_once(_: &mut OpenOptions) {}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::fs::{File, FileType, OpenOptions};
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, openat};

    /// Flags for a folder on the way: passing through it needs no permission to list it.
    #[cfg(target_os = "linux")]
    const THROUGH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    const THROUGH: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

    const AT_ONCE: OFlags = OFlags::NOFOLLOW
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC);

    pub(super) fn open(folder: &Path, parts: &[&OsStr]) -> io::Result<File> {
        let Some((last, above)) = parts.split_last() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let start = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let mut at = openat(CWD, start, THROUGH, Mode::empty())?;
        for part in above {
            at = openat(&at, *part, THROUGH | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(openat(&at, *last, AT_ONCE, Mode::empty())?.into())
    }

    pub(super) fn no_link(options: &mut OpenOptions) {
        options.custom_flags(AT_ONCE.bits().cast_signed());
    }

    pub(super) fn special(found: FileType) -> &'static str {
        if found.is_fifo() {
            "a named pipe"
        } else if found.is_socket() {
            "a socket"
        } else {
            "a device"
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::fs::{File, FileType, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn open(folder: &Path, parts: &[&OsStr]) -> io::Result<File> {
        match super::unfit(folder, parts, true) {
            Some(error) => Err(error),
            None => File::open(
                parts
                    .iter()
                    .fold(folder.to_owned(), |at, part| at.join(part)),
            ),
        }
    }

    pub(super) fn no_link(_: &mut OpenOptions) {}

    pub(super) fn special(_: FileType) -> &'static str {
        "a special file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), b"four").unwrap();
        assert_eq!(read(dir.path(), "a/b", 4).unwrap(), b"four");
        assert_eq!(read_named(&dir.path().join("a/b"), 4).unwrap(), b"four");
        let whole = Digest::of(b"four");
        assert_eq!(digest(dir.path(), "a/b", 4).unwrap(), whole);
        for error in [
            read(dir.path(), "a/b", 3).unwrap_err(),
            digest(dir.path(), "a/b", 3).map(|_| ()).unwrap_err(),
            read_named(&dir.path().join("a/b"), 3).unwrap_err(),
        ] {
            assert!(is_unfit(&error), "{error}");
            assert!(error.to_string().contains("3 at most"), "{error}");
        }
        folder(dir.path(), "a").unwrap();
        assert!(
            folder(dir.path(), "a/b")
                .unwrap_err()
                .to_string()
                .contains("a file")
        );
        assert_eq!(names(dir.path(), 1).unwrap().len(), 1);
        fs::write(dir.path().join("c"), b"").unwrap();
        assert!(is_unfit(&names(dir.path(), 1).unwrap_err()));
    }

    #[test]
    fn no_path_leaves_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        for below in ["", ".", "..", "../x", "/etc/passwd", "a/../b"] {
            let error = open(dir.path(), below).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{below:?}");
        }
        for below in ["none", "none/deeper"] {
            let error = open(dir.path(), below).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{below:?}");
        }
    }

    /// Opening a pipe the ordinary way would wait forever for a writer.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/file"), b"x").unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("real/file", at("link")).unwrap();
        symlink("real", at("way")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        for (name, what) in [
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("way/file", "way on the way to it is a symbolic link"),
            ("pipe/file", "pipe on the way to it is a named pipe"),
            ("real", "a folder"),
        ] {
            let error = read(dir.path(), name, 10).unwrap_err();
            assert!(is_unfit(&error), "{name}: {error}");
            assert!(error.to_string().contains(what), "{name}: {error}");
        }
        assert!(folder(dir.path(), "way").is_err());
        let device = read(Path::new("/dev"), "zero", 10).unwrap_err();
        assert!(device.to_string().contains("a device"), "{device}");
        // Named by the caller himself, links are followed, and nothing else is different.
        assert_eq!(read_named(&at("link"), 1).unwrap(), b"x");
        assert_eq!(read(&at("way"), "file", 1).unwrap(), b"x");
        for (name, what) in [
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
            ("real", "a folder"),
        ] {
            let error = read_named(&at(name), 10).unwrap_err();
            assert!(error.to_string().contains(what), "{name}: {error}");
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        no_link(&mut options);
        assert!(options.open(at("link")).is_err() && options.open(at("dangling")).is_err());
        assert!(options.open(at("pipe")).is_err(), "nobody reads it");
        assert!(!at("nowhere").exists());
    }
}

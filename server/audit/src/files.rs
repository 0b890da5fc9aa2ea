//! Files that were named on the command line: somebody else may have made them, so each is read under
//! a bound.

use std::io::ErrorKind;
use std::path::Path;

use fedseal_client_sdk::outside;

use crate::failure::{Failure, Outcome};

/// A regular file's bytes, at most so many.
///
/// # Errors
/// A file that cannot be read. A missing file, one that is too long and one that is not regular are
/// mistakes of the caller.
pub fn read(path: &Path, most: usize) -> Outcome<Vec<u8>> {
    outside::read_named(path, most as u64).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::InvalidData => {
            Failure::usage(format!("{}: {error}", path.display()))
        }
        _ => Failure::io(path, &error),
    })
}

/// A file's text, at most so many bytes.
///
/// # Errors
/// As [`read`]; a file that is not UTF-8.
pub fn text(path: &Path, most: usize) -> Outcome<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| Failure::usage(format!("{}: not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_the_callers_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        for failure in [
            read(&path, 4).unwrap_err(),
            text(&dir.path().join("none"), 4).unwrap_err(),
        ] {
            let said = format!("{failure:?}");
            assert!(said.contains("usage: true"), "{said}");
            assert!(said.contains(&dir.path().display().to_string()), "{said}");
        }
    }

    /// A device that never ends is read to the bound, and no further.
    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_no_trap() {
        assert!(read(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}

//! A blob that is open: its bytes were hashed when it was opened, and are read in parts from then on.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// An open blob. Any number of threads may read it at the same time.
#[derive(Debug)]
pub struct OpenBlob {
    held: Held,
    length: u64,
}

#[derive(Debug)]
enum Held {
    /// A file, and when it was changed last.
    File(Mutex<File>, Option<SystemTime>),
    /// A small blob, which shares its file with others.
    Bytes(Vec<u8>),
}

impl OpenBlob {
    /// The blob in a file of its own.
    pub(crate) fn file(file: File) -> io::Result<OpenBlob> {
        let meta = file.metadata()?;
        Ok(OpenBlob {
            length: meta.len(),
            held: Held::File(Mutex::new(file), meta.modified().ok()),
        })
    }

    /// The blob with these bytes.
    pub(crate) fn bytes(bytes: Vec<u8>) -> OpenBlob {
        OpenBlob {
            length: bytes.len() as u64,
            held: Held::Bytes(bytes),
        }
    }

    /// Its length, bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether its file has the length and the time of its last change that it had when it was opened. The store
    /// never writes into a file that is there; whoever does so makes it another one.
    pub fn is_unchanged(&self) -> bool {
        let Held::File(file, modified) = &self.held else {
            return true;
        };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.metadata()
            .is_ok_and(|meta| meta.len() == self.length && meta.modified().ok() == *modified)
    }

    /// At most `most` bytes from an offset on; fewer where the blob ends.
    ///
    /// # Errors
    /// Any error of the system; [`io::ErrorKind::UnexpectedEof`] for a file that was cut off.
    pub fn read(&self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let from = from.min(self.length);
        let count = most.min(self.length - from);
        // Both are at most the length of what fits into memory, or of what the caller asks for.
        let size = usize::try_from(count).map_err(io::Error::other)?;
        match &self.held {
            Held::Bytes(bytes) => {
                let part = bytes.iter().skip(from as usize).take(size);
                Ok(part.copied().collect())
            }
            Held::File(file, _) => {
                let mut part = vec![0; size];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(from))?;
                file.read_exact(&mut part)?;
                Ok(part)
            }
        }
    }
}

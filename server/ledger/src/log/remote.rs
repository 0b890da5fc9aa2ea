//! A log's files that are read from elsewhere: over HTTP, from an archive, out of a test.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::tile::{Tile, WIDTH};
use super::tiles::Tiles;
use crate::{Error, Result};

/// Files that are kept in memory; beyond that number all are forgotten.
const MOST_FILES: usize = 1024;

/// The files of a log in the C2SP tlog-tiles layout, wherever they are. An implementation bounds
/// what it reads (a tile has at most 8,192 bytes, an entry bundle 256 entries of 65,535) and
/// retries inside.
pub trait Remote: Send + Sync {
    /// The file at a path below the log, for example `tile/0/x001/000.p/17`; none when there is no
    /// such file.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>>;
}

/// Tiles of a remote log. They are hints: whoever uses them checks them against a root.
pub(super) struct RemoteTiles {
    remote: Arc<dyn Remote>,
    pub(super) place: PathBuf,
    kept: Mutex<HashMap<PathBuf, Vec<u8>>>,
}

impl RemoteTiles {
    pub(super) fn new(remote: Arc<dyn Remote>, place: &Path) -> Self {
        RemoteTiles {
            remote,
            place: place.to_owned(),
            kept: Mutex::default(),
        }
    }
}

impl fmt::Debug for RemoteTiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteTiles({})", self.place.display())
    }
}

impl Tiles for RemoteTiles {
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
        let full = Tile {
            width: WIDTH,
            ..tile
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for path in [tile.path(), full.path()] {
            if let Some(bytes) = lock().get(&path) {
                return Ok((self.place.join(&path), bytes.clone()));
            }
            // The layout's names are plain ASCII with `/`.
            if let Some(bytes) = self.remote.get(&path.to_string_lossy())? {
                let mut kept = lock();
                if kept.len() >= MOST_FILES {
                    kept.clear();
                }
                kept.insert(path.clone(), bytes.clone());
                return Ok((self.place.join(path), bytes));
            }
        }
        Err(Error::corrupt(
            &self.place.join(tile.path()),
            "missing, though the checkpoint covers it",
        ))
    }
}

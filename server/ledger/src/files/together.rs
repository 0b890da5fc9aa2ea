//! Syncing all of a file system (Linux; elsewhere each file is synced by itself).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

/// "syncfs(): sends all dirty data and metadata of the file system to the disk and waits",
/// and reports what could not be written since the file was opened (Linux 5.8).
pub(super) const KNOWN: bool = true;

/// One open file on each of the file systems that are to be synced.
#[derive(Default)]
pub(super) struct Systems(BTreeMap<u64, File>);

impl Systems {
    pub(super) fn add(&mut self, file: &File) -> io::Result<()> {
        let device = file.metadata()?.dev();
        if let Entry::Vacant(place) = self.0.entry(device) {
            place.insert(file.try_clone()?);
        }
        Ok(())
    }

    pub(super) fn sync(self) -> io::Result<()> {
        for file in self.0.values() {
            rustix::fs::syncfs(file)?;
        }
        Ok(())
    }
}

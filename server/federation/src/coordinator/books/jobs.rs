//! Jobs of each node by how they ended, kept for the time when no round is executed. While one is, the run says so.

use std::collections::BTreeMap;
use std::fs;

use fedseal_client_sdk::keys::PublicKey;

use super::Books;
use crate::protocol::Jobs;
use crate::{Error, Result};
use fedseal_record::rundir::write_atomically;

/// The file.
const FILE: &str = "jobs.json";

impl Books {
    /// Keeps how the jobs of nodes ended, for `status` while no round is executed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_jobs(&self, name: &str, jobs: &BTreeMap<PublicKey, Jobs>) -> Result<()> {
        let path = self.folder(name)?.join(FILE);
        let bytes = serde_json::to_vec(jobs).map_err(|error| Error::Data(error.into()))?;
        match fs::read(&path).is_ok_and(|before| before == bytes) {
            true => Ok(()),
            false => write_atomically(&path, &bytes),
        }
    }

    /// Jobs as far as they were kept; none where they were not, or cannot be read.
    pub(super) fn kept_jobs(&self, name: &str) -> Result<BTreeMap<PublicKey, Jobs>> {
        let bytes = fs::read(self.folder(name)?.join(FILE)).unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

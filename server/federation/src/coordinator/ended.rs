//! A federation that is over, as its nodes may still read it: the blobs of its plan, and every arm's last adapter.

use std::collections::BTreeSet;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::{Blobs, OpenBlob};
use fedseal_record::export::last_adapters;
use fedseal_record::opened::OpenRun;
use fedseal_record::rundir::RunDir;

use crate::work::task::plan_takes;
use crate::{Error, Result};

/// Blobs of a run that is over.
pub struct Ended {
    blobs: Blobs,
    allowed: BTreeSet<Digest>,
}

impl Ended {
    /// Reads which blobs those are.
    ///
    /// # Errors
    /// A run that is damaged.
    pub fn read(run: &RunDir) -> Result<Ended> {
        let run = OpenRun::read(&run.root)?;
        let mut allowed: BTreeSet<Digest> = plan_takes(&run.plan).collect();
        allowed.insert(Digest::of_json(&run.plan)?);
        allowed.extend(last_adapters(&run)?.into_values().map(|(_, last)| last));
        Ok(Ended {
            blobs: run.blobs,
            allowed,
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::Missing`] for any other; [`Error::Ledger`] for one that was changed.
    pub fn blob(&self, digest: &Digest) -> Result<Arc<OpenBlob>> {
        match self.allowed.contains(digest) {
            true => Ok(Arc::new(self.blobs.opened(digest)?)),
            false => Err(Error::Missing {
                what: format!("blob {digest}"),
                hint: "of a federation that is over nodes fetch each arm's last adapter".into(),
            }),
        }
    }
}

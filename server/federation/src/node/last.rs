//! End of a federation at a node: every arm's last adapter, each with a proof that anybody checks offline
//! (`fedseal log check`): the entry that names it, its place in the log, the checkpoint that the coordinator signed.

use fedseal_record::rundir::{is_name, write_atomically};

use super::Node;
use super::deeds::Deed;
use crate::{Error, Result};

/// Folder of the adapters in a node's state folder.
const FOLDER: &str = "final";

impl Node<'_> {
    /// Fetches what the federation ended with. What is there already is not fetched again.
    ///
    /// # Errors
    /// The coordinator cannot be reached, or has another log than this node saw; a full disk.
    pub(super) fn take_last(&mut self) -> Result<()> {
        let Some(follower) = &self.follower else {
            return Err(Error::Missing {
                what: "the federation's plan".into(),
                hint: "without it this node cannot follow the log; start it again".into(),
            });
        };
        let folder = self.own.dir.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        for last in follower.last(self.link.log())? {
            // A coordinator chooses the names of arms.
            let name = match is_name(&last.arm) {
                true => last.arm.clone(),
                false => last.adapter.to_string(),
            };
            let proof = folder.join(format!("{name}.tlog-proof"));
            if proof.is_file() {
                continue;
            }
            self.cache.fetch(self.link, &last.adapter)?;
            let bytes = self.cache.blobs().get(&last.adapter)?;
            let adapter = folder.join(format!("{name}.safetensors"));
            write_atomically(&adapter, &bytes)?;
            write_atomically(&proof, last.proof.to_text().as_bytes())?;
            self.deeds.add(Deed::Received {
                arm: last.arm.clone(),
                adapter: last.adapter,
                entry: last.proof.index,
            })?;
            self.say(format!(
                "arm {}: {}, named by entry {} of the log",
                last.arm,
                adapter.display(),
                last.proof.index
            ));
        }
        Ok(())
    }
}

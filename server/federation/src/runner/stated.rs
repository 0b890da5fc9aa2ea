//! A statement about a task, made elsewhere: held against the task, and against what came with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_tuning::Adapter;

use super::evidence::Stated;
use crate::Result;
use crate::work::package::{Package, wrong};
use crate::work::task::UpdateTask;
use fedseal_record::rundir::Plan;

/// A task, and whose statement is expected about it.
pub(crate) struct Asked<'a> {
    pub plan: &'a Plan,
    pub task: &'a UpdateTask,
    /// The task's global adapter.
    pub global: &'a Arc<Adapter>,
    pub node: PublicKey,
}

impl Asked<'_> {
    /// Checks a statement against the task, and that everything is there that it names.
    ///
    /// # Errors
    /// [`crate::Error::Tampered`] with the first thing that is wrong.
    pub(crate) fn stated(
        &self,
        predicate: &UpdatePredicate,
        log: &[String],
        package: &Package,
    ) -> Result<Stated> {
        let (plan, task) = (self.plan, self.task);
        let same = [
            ("client", predicate.client == task.client),
            ("round", predicate.round == task.round),
            ("seed", predicate.seed == task.seed),
            ("module", predicate.module == task.module),
            (
                "signer",
                predicate.module_signer == plan.signer(&task.module)?,
            ),
            ("node", predicate.node == self.node),
            ("base", predicate.base == plan.base),
            ("global adapter", predicate.global == task.global),
            ("engine", predicate.engine == plan.engine),
        ];
        if let Some((name, _)) = same.iter().find(|(_, same)| !same) {
            return Err(wrong(format!("its {name} is not the task's")));
        }
        if predicate.update.is_some() == predicate.failure.is_some() {
            return Err(wrong("it has an update and a failure, or neither"));
        }
        package.blob(&predicate.transcript.blob)?;
        for used in predicate.data.iter().filter(|used| used.origin != "shard") {
            package.blob(&used.digest)?;
        }
        let adapter = match predicate.update {
            None => None,
            Some(digest) if digest == task.global => Some((digest, self.global.clone())),
            Some(digest) => {
                let adapter = Adapter::from_bytes(package.blob(&digest)?).map_err(wrong)?;
                if !adapter.same_shape(self.global) {
                    return Err(wrong("its adapter has another shape than the global one"));
                }
                Some((digest, Arc::new(adapter)))
            }
        };
        Ok(Stated {
            predicate: predicate.clone(),
            key: task.key,
            adapter,
            log: log.to_vec(),
            blobs: package.blobs.values().cloned().map(Hashed::of).collect(),
        })
    }
}

/// Blobs that come with a statement; `envelope` is the attestation itself.
pub(crate) fn named(predicate: &UpdatePredicate, envelope: Digest) -> BTreeSet<Digest> {
    let brought = predicate.data.iter().filter(|used| used.origin != "shard");
    let mut all: BTreeSet<Digest> = brought.map(|used| used.digest).collect();
    all.extend([predicate.transcript.blob, envelope]);
    all.extend(predicate.update);
    all
}

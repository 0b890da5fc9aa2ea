//! Module authors, checked against the keys that an auditor trusts.

use std::path::Path;

use fedseal_client_sdk::keys::{Moment, Place, TrustStore};

use crate::error::{Error, Result};
use crate::opened::OpenRun;

/// Checks a run's modules against an auditor's own trust file: each author must have been trusted
/// when the run was made, and each update that counts must be logged before its author's revocation.
///
/// # Errors
/// [`Error::Tampered`] names the module or update and the reason. Verify the run first.
pub fn authors(dir: impl AsRef<Path>, store: &TrustStore) -> Result<()> {
    let OpenRun {
        plan,
        state,
        blobs,
        mut evidence,
        ..
    } = OpenRun::read(dir)?;
    for update in state.updates.values() {
        let mut verdicts = state.verdicts(update);
        if !verdicts.any(|(_, _, verdict)| verdict.effect.counts()) {
            continue;
        }
        let attested = evidence.attested(&blobs, &update.attestation, &plan)?;
        let at = Moment {
            time: &plan.created,
            entry: Some(Place {
                origin: &plan.origin,
                key: &plan.node,
                entry: update.entry,
            }),
        };
        store
            .check(&attested.module_signer, &at)
            .map_err(|reason| {
                Error::tampered(
                    format!("update {} (log entry {})", update.attestation, update.entry),
                    format!("counts, but {reason}"),
                )
            })?;
    }
    Ok(())
}

//! Module authors, checked against the keys that an auditor trusts.

use std::path::Path;

use fedseal_client_sdk::keys::{Moment, Place, TrustStore};

use crate::error::{Error, Result};
use crate::opened::Opened;

/// Checks a run's modules against an auditor's own trust file: each author must have been trusted
/// when the run was made, and each update that counts must be logged before its author's revocation.
///
/// # Errors
/// [`Error::Tampered`] names the module or update and the reason. Verify the run first.
pub fn authors(dir: impl AsRef<Path>, store: &TrustStore) -> Result<()> {
    let Opened {
        plan,
        state,
        blobs,
        mut cache,
        ..
    } = Opened::read(dir)?;
    for update in state.updates.values() {
        let counts = state
            .arms
            .values()
            .flatten()
            .flat_map(|round| round.verdicts.values())
            .any(|v| v.attestation == update.attestation && v.effect.counts());
        if !counts {
            continue;
        }
        let attested = cache.attested(&blobs, &update.attestation, plan.node)?;
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

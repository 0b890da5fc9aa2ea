//! Makes one file about an update out of a run. [`fedseal_client_sdk::bundle`] reads the file where
//! the run is not at hand.

use fedseal_client_sdk::bundle::{Bundle, Trust};
use fedseal_client_sdk::dsse::Envelope;

use crate::basis;
use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::state::{RotatedRef, UpdateRef};

/// The bundle of an update of a run, with the module's bytes where they are asked for. The bundle is
/// verified as a reader would verify it.
///
/// # Errors
/// [`Error::Tampered`] for an update by a module that is none of the run's; [`Error::Ledger`],
/// [`Error::Sdk`] for a part that is missing or does not hold.
pub fn bundle(run: &OpenRun, update: &UpdateRef, with_module: bool) -> Result<Bundle> {
    let OpenRun {
        plan, log, blobs, ..
    } = run;
    let envelope = |digest| Ok::<_, Error>(Envelope::from_bytes(&blobs.get(digest)?)?);
    let statement = envelope(&update.attestation)?;
    let attested = basis::verified(plan, &statement)?;
    if attested.node != plan.node {
        return Err(Error::Missing {
            what: "a bundle of an update that a node attests".into(),
            hint: "a bundle has one key for log and attestation; hand over the run's folder".into(),
        });
    }
    let module = attested.module;
    let planned = plan
        .modules
        .iter()
        .find(|planned| planned.digest == module)
        .ok_or_else(|| Error::tampered("update", "its module is not one of the run's"))?;
    let bytes = match with_module {
        true => Some(blobs.get(&module)?),
        false => None,
    };
    let chain = RotatedRef::leading_to(plan.node, &run.state.rotations);
    let oldest = chain.last().map_or(plan.node, |first| first.old);
    let rotations = chain
        .iter()
        .rev()
        .map(|rotation| envelope(&rotation.statement));
    let rotations = rotations.collect::<Result<_>>()?;
    let bundle = Bundle::new(
        statement,
        module,
        envelope(&planned.envelope)?,
        bytes.as_deref(),
        &log.entry(update.entry)?,
        &log.proof_file(update.entry)?,
    )
    .with_rotations(rotations);
    bundle.verify(&Trust {
        node: oldest,
        authors: &plan.trusted_authors(),
        origin: Some(&plan.origin),
        policy: None,
    })?;
    Ok(bundle)
}

//! Makes one file about an update out of a run. [`fedseal_client_sdk::bundle`] reads the file where
//! the run is not at hand.

use fedseal_client_sdk::attestation;
use fedseal_client_sdk::bundle::{Bundle, Trust};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_ledger::{Blobs, LogReader};

use crate::error::{Error, Result};
use crate::rundir::Plan;
use crate::state::RotatedRef;

/// The parts of a run that a bundle is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The log; its checkpoint is the bundle's.
    pub log: &'a LogReader,
    /// The blobs.
    pub blobs: &'a Blobs,
    /// The rotations of the node's key that the log names, in its order.
    pub rotations: &'a [RotatedRef],
}

/// The bundle of the update with this attestation, logged as `entry`; with the module's bytes where
/// they are asked for. The bundle is verified as a reader would verify it.
///
/// # Errors
/// [`Error::Tampered`] for an update by a module that is none of the run's; [`Error::Ledger`]
/// and [`Error::Sdk`] for a part that is missing or does not hold.
pub fn bundle(
    source: Source<'_>,
    attestation: &Digest,
    entry: u64,
    with_module: bool,
) -> Result<Bundle> {
    let Source {
        plan, log, blobs, ..
    } = source;
    let envelope = |digest| Ok::<_, Error>(Envelope::from_bytes(&blobs.get(digest)?)?);
    let statement = envelope(attestation)?;
    let module = attestation::verify(&statement, &[plan.node])?
        .predicate
        .module;
    let planned = plan
        .modules
        .iter()
        .find(|planned| planned.digest == module)
        .ok_or_else(|| Error::tampered("update", "its module is not one of the run's"))?;
    let bytes = match with_module {
        true => Some(blobs.get(&module)?),
        false => None,
    };
    let chain = RotatedRef::leading_to(plan.node, source.rotations);
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
        &log.entry(entry)?,
        &log.proof_file(entry)?,
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

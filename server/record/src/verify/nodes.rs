//! Rotations of the node's key that the log names.

use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{PublicKey, verify_rotation};

use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::state::RotatedRef;

impl OpenRun {
    /// Every rotation's statement, signed by both keys. Returns the keys that led to the run's own,
    /// nearest first.
    pub(super) fn rotations(&self) -> Result<Vec<PublicKey>> {
        for logged in &self.state.rotations {
            let item = format!("rotation of node key {}", logged.old);
            let bytes = self.blobs.get(&logged.statement)?;
            let rotation = Envelope::from_bytes(&bytes)
                .and_then(|envelope| verify_rotation(&envelope, &[logged.old]))
                .map_err(|error| Error::tampered(&item, error))?;
            if rotation.new != logged.new {
                return Err(Error::tampered(
                    &item,
                    format!("names {}, the log says {}", rotation.new, logged.new),
                ));
            }
        }
        let chain = RotatedRef::leading_to(self.plan.node, &self.state.rotations);
        Ok(chain.iter().map(|rotation| rotation.old).collect())
    }
}

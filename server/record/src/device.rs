//! Aggregates that a device computed, as a round has them in the log.
//!
//! A device's bits are its own, so the log has its aggregate, and what follows (the server optimiser's
//! state, the next global adapter) follows from that. An auditor applies the rule's own code and holds the
//! aggregate against it, within [`device::BOUND`]; everything else has equal bits.

use fedseal_adapter::{Adapter, DEVICES};
use fedseal_client_sdk::record::DeviceAggregate;
use fedseal_ledger::Blobs;

use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::read::read_adapter;
use crate::round::RoundOf;
use fedseal_rules::aggregation::{Outcome, device};

impl RoundOf<'_> {
    /// The aggregate of a logged round: a device's as the log has it, else the rule's own, computed again.
    /// None where no update counts.
    ///
    /// # Errors
    /// As [`RoundOf::combine`]; a device's aggregate that is missing or damaged.
    pub fn aggregate(
        &self,
        deltas: &[Option<Vec<f32>>],
        cache: &mut Cache,
        blobs: &Blobs,
    ) -> Result<Option<Vec<f32>>> {
        if let Some(logged) = self.by_device() {
            let global = read_adapter(blobs, &self.state.global)?;
            return Ok(Some(self.read(logged, &global, blobs)?));
        }
        let combined = self.combine(deltas, cache, blobs)?;
        Ok(combined.outcome.map(|outcome| outcome.delta))
    }

    /// Checks a round's aggregate, as the log has it, against the rule's own. Gives the aggregate that the
    /// round goes on with: a device's where the log has one, else `own`.
    ///
    /// # Errors
    /// [`Error::Tampered`] for a device's aggregate that the experiment does not ask for or that is further
    /// off than rounding makes it.
    pub fn held(
        &self,
        own: Option<Outcome>,
        global: &Adapter,
        blobs: &Blobs,
    ) -> Result<Option<Vec<f32>>> {
        let Some(logged) = self.by_device() else {
            return Ok(own.map(|outcome| outcome.delta));
        };
        let bad = |problem: String| Err(Error::tampered(self.item(), problem));
        let named = DEVICES.iter().any(|name| *name == logged.device);
        if !named || logged.device == "auto" {
            return bad(format!("is by `{}`, which is no device", logged.device));
        }
        if !self.experiment.aggregation.device {
            return bad("is by a device, which the experiment does not ask for".into());
        }
        let Some(own) = own else {
            return bad("is by a device, and no update counts".into());
        };
        let found = self.read(logged, global, blobs)?;
        match device::within(&found, &own.delta) {
            Ok(()) => Ok(Some(found)),
            Err(problem) => bad(format!(
                "is not what its updates and weights give: {problem}"
            )),
        }
    }

    /// The device's aggregate of this round, where the log has one.
    fn by_device(&self) -> Option<&DeviceAggregate> {
        self.state.aggregated.as_ref()?.device.as_ref()
    }

    fn item(&self) -> String {
        format!("aggregate of arm {} in round {}", self.arm.id, self.round)
    }

    /// The values of a logged aggregate.
    fn read(&self, logged: &DeviceAggregate, global: &Adapter, blobs: &Blobs) -> Result<Vec<f32>> {
        let aggregate = read_adapter(blobs, &logged.delta)?;
        match aggregate.same_shape(global) {
            true => Ok(aggregate.flat()),
            false => Err(Error::tampered(
                self.item(),
                "has another shape than the global adapter",
            )),
        }
    }
}

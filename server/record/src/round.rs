//! One round of one arm, as its rules take it. [`crate::keys`] and [`crate::law`] have the rules.

use fedseal_client_sdk::ids::{ClientId, Round};

use crate::error::{Error, Result};
use crate::rundir::{Assignment, Plan};
use crate::state::RoundState;
use fedseal_rules::arms::Arm;
use fedseal_rules::experiment::Experiment;

/// A round of an arm with everything that it follows from.
#[derive(Clone, Copy)]
pub struct RoundOf<'a> {
    /// The run's plan.
    pub plan: &'a Plan,
    /// The run's experiment.
    pub experiment: &'a Experiment,
    /// The arm.
    pub arm: &'a Arm,
    /// The round's number.
    pub round: Round,
    /// Its records.
    pub state: &'a RoundState,
}

impl<'a> RoundOf<'a> {
    /// Whether a round of nodes has so few updates that it does not count.
    pub fn is_skipped(&self, updates: usize) -> bool {
        let nodes = self.experiment.federation.nodes.as_ref();
        nodes.is_some_and(|nodes| updates < nodes.least_updates)
    }

    /// The module and the data of a client in this arm.
    ///
    /// # Errors
    /// [`Error::Tampered`] for a client that the run does not have.
    pub fn assignment(&self, client: &ClientId) -> Result<&'a Assignment> {
        let (_, planned) = self
            .plan
            .client(client)
            .ok_or_else(|| Error::tampered(client.to_string(), "is not a client of this run"))?;
        Ok(planned.assignment(self.arm))
    }
}

//! The history of an arm, aggregated again from the logged updates: as it was, or without some clients. No
//! model is needed for it.

use std::collections::BTreeSet;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::ids::{ClientId, Round};

use crate::error::{Error, Result};
use crate::law::{advance, deltas};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::state::RoundState;
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::optimiser::Optimiser;

/// Aggregated rounds of an arm.
#[derive(Debug, Clone)]
pub struct History {
    /// The arm.
    pub arm: Arm,
    /// Its rounds, from round 0 on.
    pub rounds: Vec<RoundState>,
}

/// A global adapter after a round.
#[derive(Debug, Clone)]
pub struct Step {
    /// The adapter.
    pub adapter: Adapter,
    /// The aggregated delta that the server optimiser was given; none where no update counted.
    pub delta: Option<Vec<f32>>,
}

impl History {
    /// Clients that were drawn in some round, by name.
    pub fn clients(&self) -> BTreeSet<&ClientId> {
        self.rounds
            .iter()
            .flat_map(|round| &round.clients)
            .collect()
    }
}

impl OpenRun {
    /// The aggregated rounds of an arm; without a name of the attacked FedAvg arm, else of the first arm that is
    /// attacked, else of the first that has rounds.
    ///
    /// # Errors
    /// An arm that the run does not have, or that has no rounds of its own.
    pub fn history(&self, named: Option<&str>) -> Result<History> {
        let mut arms = self.experiment.all_arms()?;
        arms.retain(|arm| arm.kind == Kind::Federated);
        let names: Vec<String> = arms.iter().map(|arm| arm.id.clone()).collect();
        let place = match named {
            Some(name) => arms.iter().position(|arm| arm.id == name),
            None => {
                let first = |fits: &dyn Fn(&Arm) -> bool| arms.iter().position(fits);
                first(&|arm| arm.id == "fedavg")
                    .or_else(|| first(&|arm| arm.attacked))
                    .or_else(|| first(&|_| true))
            }
        };
        let Some(place) = place else {
            return Err(Error::unknown(
                "arm with rounds",
                named.unwrap_or("(none)"),
                names,
            ));
        };
        let arm = arms.swap_remove(place);
        let rounds = self.state.arms.get(&arm.id).into_iter().flatten();
        let rounds = rounds.take_while(|round| round.aggregated.is_some());
        let rounds = rounds.cloned().collect();
        Ok(History { arm, rounds })
    }

    /// The deltas of a round's logged updates from the global adapter that they were trained from, in client
    /// order.
    ///
    /// # Errors
    /// Adapters that are missing or damaged.
    pub fn logged_deltas(&self, state: &RoundState) -> Result<Vec<Option<Vec<f32>>>> {
        let global = read_adapter(&self.blobs, &state.global)?;
        deltas(&self.state, state, &global, &self.blobs)
    }

    /// Aggregates a round again from `start` by the logged verdicts, without some clients. `deltas` are in
    /// client order, the left out ones' among them.
    ///
    /// # Errors
    /// A round that the history does not have; updates that do not fit the rule.
    pub fn step_without(
        &mut self,
        history: &History,
        round: u32,
        without: &BTreeSet<ClientId>,
        deltas: &[Option<Vec<f32>>],
        start: &Adapter,
        optimiser: &mut dyn Optimiser,
    ) -> Result<Step> {
        let Some(state) = history.rounds.get(round as usize) else {
            return Err(Error::tampered(
                format!("round {round} of arm {}", history.arm.id),
                "is not aggregated",
            ));
        };
        let mut state = state.clone();
        state.verdicts.retain(|client, _| !without.contains(client));
        let of = RoundOf {
            plan: &self.plan,
            experiment: &self.experiment,
            arm: &history.arm,
            round: Round(round),
            state: &state,
        };
        let delta = match without.is_empty() {
            // As it was, to the bits of a device that aggregated it.
            true => of.aggregate(deltas, &mut self.evidence, &self.blobs)?,
            false => {
                let combined = of.combine(deltas, &mut self.evidence, &self.blobs)?;
                combined.outcome.map(|outcome| outcome.delta)
            }
        };
        Ok(match delta {
            None => Step {
                adapter: start.clone(),
                delta: None,
            },
            Some(delta) => Step {
                adapter: advance(start, &delta, optimiser)?,
                delta: Some(delta),
            },
        })
    }

    /// The adapter that an arm's first round starts from.
    ///
    /// # Errors
    /// An adapter that is missing or damaged.
    pub fn start(&self, history: &History) -> Result<Adapter> {
        let first = self.state.first(&history.arm.id, self.plan.initial);
        read_adapter(&self.blobs, &first)
    }

    /// The last global adapter of an arm had these clients never counted: every round is aggregated again from
    /// the logged deltas of the others. They were trained from global adapters that the left out ones had
    /// moved, so this is not what training without them gives.
    ///
    /// # Errors
    /// Adapters that are missing or damaged; [`Error::Refused`] for an arm that the server tunes after rounds:
    /// tunings without the left out ones are in no log.
    pub fn undone(&mut self, history: &History, without: &BTreeSet<ClientId>) -> Result<Adapter> {
        if history.rounds.iter().any(|round| round.tuned.is_some()) {
            return Err(Error::Refused {
                what: format!(
                    "arm {} is tuned on the server after its rounds",
                    history.arm.id
                ),
                hint: "its tunings cannot be aggregated again; name another arm: --arm ARM".into(),
            });
        }
        let mut global = self.start(history)?;
        let mut optimiser = self.experiment.server_optimiser(&history.arm)?;
        for (round, state) in (0u32..).zip(&history.rounds) {
            let deltas = self.logged_deltas(state)?;
            let step = self.step_without(
                history,
                round,
                without,
                &deltas,
                &global,
                optimiser.as_mut(),
            )?;
            global = step.adapter;
        }
        Ok(global)
    }
}

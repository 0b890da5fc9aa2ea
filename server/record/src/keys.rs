//! Memo keys, seeds and rates. Work with equal memo keys is done once.

use fedseal_client_sdk::canonical::Written;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use serde::Serialize;

use crate::error::Result;
use crate::round::RoundOf;
use crate::rundir::Plan;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::derive_seed;
use fedseal_rules::schedule::Schedule;

/// Everything that determines an update's bits.
#[derive(Serialize)]
struct UpdateKey<'a> {
    kind: &'static str,
    client: &'a ClientId,
    round: Round,
    rounds: u32,
    seed: Seed,
    module: Digest,
    shard: Digest,
    attachment: Option<Digest>,
    base: Digest,
    global: Digest,
    learning_rate: f64,
    training: &'a Written,
    limits: &'a Written,
    engine: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<Digest>,
}

/// Memo keys of a round's updates. What is long and equal in all of them is written once.
pub struct UpdateKeys<'a> {
    of: RoundOf<'a>,
    /// [`TrainingConfig`](fedseal_rules::experiment::TrainingConfig).
    training: Written,
    /// [`Limits`](fedseal_client_sdk::attestation::Limits).
    limits: Written,
}

impl UpdateKeys<'_> {
    /// The memo key of a client's update: arms in which everything that determines it is equal share
    /// it.
    ///
    /// # Errors
    /// As [`RoundOf::assignment`].
    pub fn of(&self, client: &ClientId) -> Result<Digest> {
        let RoundOf {
            plan,
            experiment,
            state,
            round,
            ..
        } = self.of;
        let assignment = self.of.assignment(client)?;
        Ok(Digest::of_json(&UpdateKey {
            kind: "update",
            client,
            round,
            rounds: experiment.federation.rounds,
            seed: self.of.update_seed(client),
            module: assignment.module,
            shard: assignment.shard,
            attachment: assignment.attachment,
            base: plan.base,
            global: state.global,
            learning_rate: state.learning_rate,
            training: &self.training,
            limits: &self.limits,
            engine: &plan.engine,
            controls: state.controls,
        })?)
    }
}

impl<'a> RoundOf<'a> {
    /// The seed of a client's execution, the same in every arm.
    pub fn update_seed(&self, client: &ClientId) -> Seed {
        update_seed(self.plan.seed, client, self.round)
    }

    /// The memo key of a client's update, see [`UpdateKeys::of`].
    ///
    /// # Errors
    /// As [`RoundOf::assignment`].
    pub fn update_key(&self, client: &ClientId) -> Result<Digest> {
        self.update_keys()?.of(client)
    }

    /// Memo keys of the round's updates.
    ///
    /// # Errors
    /// A training configuration with a number that is not finite.
    pub fn update_keys(&self) -> Result<UpdateKeys<'a>> {
        Ok(UpdateKeys {
            of: *self,
            training: Written::of(&self.experiment.training)?,
            limits: Written::of(&self.experiment.limits)?,
        })
    }
}

/// Everything that determines a measure.
#[derive(Serialize)]
struct EvaluationKey<'a> {
    kind: &'static str,
    base: Digest,
    adapter: Digest,
    prompts: Digest,
    requests: usize,
    tasks: usize,
    max_new_tokens: usize,
    batch_size: usize,
    engine: &'a str,
    /// Further templates, where the measure is the one at the end.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    templates: &'a [String],
}

/// The memo key of a measure: the first so many requests and tasks of the evaluation set.
pub fn evaluation_key(
    plan: &Plan,
    experiment: &Experiment,
    adapter: Digest,
    requests: usize,
    tasks: usize,
) -> Result<Digest> {
    Ok(Digest::of_json(&EvaluationKey {
        kind: "evaluation",
        base: plan.base,
        adapter,
        prompts: plan.evaluation,
        requests,
        tasks,
        max_new_tokens: experiment.evaluation.max_new_tokens,
        batch_size: experiment.evaluation.batch_size,
        engine: &plan.engine,
        templates: match experiment.evaluation.is_whole(requests, tasks) {
            true => &experiment.evaluation.templates,
            false => &[],
        },
    })?)
}

/// The seed of a client in a round, the same in every arm.
pub fn update_seed(seed: Seed, client: &ClientId, round: Round) -> Seed {
    Seed(derive_seed(
        "update",
        seed.0,
        &[client.as_str(), &round.to_string()],
    ))
}

/// The learning rate of a round.
pub fn learning_rate(experiment: &Experiment, round: Round) -> Result<f64> {
    let training = &experiment.training;
    Ok(Schedule::named(&training.schedule)?.rate(
        round.0,
        experiment.federation.rounds,
        training.learning_rate,
        training.learning_rate_final,
    ))
}

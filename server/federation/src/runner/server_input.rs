//! The server's own input to a rule: an update that it trains itself, what it learns from clients that it
//! simulates, or behaviours on the canaries.

use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::record::Record;
use fedseal_tuning::{Adapter, Example, TrainConfig};

use super::job::{InputJob, Job};
use super::{Run, Watch};
use crate::defence::{Tools, drawn};
use crate::{Error, Result};
use fedseal_record::law::delta;
use fedseal_record::rundir::Plan;
use fedseal_record::state::RoundState;
use fedseal_rules::aggregation::{Need, ServerInput};
use fedseal_rules::arms::{Arm, arm};
use fedseal_rules::experiment::train_config;
use fedseal_rules::formulas;
use fedseal_rules::sampling::derive_seed;

impl Run {
    /// Inputs of the server to the rules of a round that are not in the log.
    pub(super) fn server_inputs(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let mut jobs = Vec::new();
        for (arm, state) in self.open_arms(round) {
            let need = shared.experiment.aggregation.rule(arm.rule)?.input();
            let Some(need) = need.filter(|_| state.input.is_none()) else {
                continue;
            };
            let before = round.checked_sub(1);
            let before = before.and_then(|b| Some((b, self.state.round(&arm.id, b)?.clone())));
            let learned = before.as_ref().and_then(|(_, before)| before.input);
            match (need, learned) {
                (Need::Behaviour, _) => {
                    let of = shared.round_of(&arm, Round(round), &state);
                    let mut clients = Vec::new();
                    for client in &state.clients {
                        let update = self.state.updates.get(&of.update_key(client)?);
                        let digest = update.and_then(|update| update.update);
                        let found = digest.and_then(|it| self.probed.get(&(it, round)));
                        clients.push(found.map(|probed| probed.behaviour));
                    }
                    let global = self.probed.get(&(state.global, round));
                    let global =
                        global.ok_or_else(|| Error::model("the global adapter was not probed"))?;
                    let input = ServerInput::of_behaviours(arm.rule, &clients, global.behaviour);
                    self.log_input(&arm.id, Round(round), None, &input)?;
                }
                // Learned once, from the first global adapter; and what the rule remembers.
                (Need::Simulated, Some((data, adapter))) => {
                    if let Some(input) = self.remembered(&arm, before.as_ref())? {
                        self.log_input(&arm.id, Round(round), None, &input)?;
                        continue;
                    }
                    self.append(&Record::ServerInput {
                        arm: arm.id.clone(),
                        round: Round(round),
                        adapter,
                        data,
                    })?;
                }
                (Need::Simulated | Need::OwnUpdate, _) => jobs.push(Job::Input(InputJob {
                    arm: arm.id.clone(),
                    round: Round(round),
                    learning_rate: state.learning_rate,
                    digest: state.global,
                    global: self.adapter(&state.global)?,
                })),
            }
        }
        self.execute_jobs(jobs, watch)
    }

    /// The input that the round before leaves, where the arm's rule remembers clients.
    fn remembered(
        &mut self,
        arm: &Arm,
        before: Option<&(u32, RoundState)>,
    ) -> Result<Option<ServerInput>> {
        let shared = self.shared.clone();
        let rule = shared.experiment.aggregation.rule(arm.rule)?;
        let Some((round, before)) = before.filter(|_| rule.remembers()) else {
            return Ok(None);
        };
        let global = self.adapter(&before.global)?;
        let deltas = self.deltas(before, &global)?;
        let of = shared.round_of(arm, Round(*round), before);
        of.next_input(&deltas, &mut self.cache, &self.blobs)
    }

    /// Stores and logs an input, with the adapter that was trained for it.
    pub(super) fn log_input(
        &mut self,
        arm: &str,
        round: Round,
        adapter: Option<Adapter>,
        input: &ServerInput,
    ) -> Result<()> {
        let data = self.blobs.put(&input.to_bytes()?)?;
        let adapter = adapter
            .map(|adapter| self.put_adapter(adapter))
            .transpose()?;
        self.append(&Record::ServerInput {
            arm: arm.to_owned(),
            round,
            adapter,
            data,
        })?;
        self.publish()
    }
}

/// Trains the input of a job.
///
/// # Errors
/// [`Error::Interrupted`] when it is told to stop; errors of model and data.
pub(super) fn make(
    job: &InputJob,
    plan: &Plan,
    tools: &Tools<'_>,
) -> Result<(ServerInput, Option<Adapter>)> {
    let experiment = tools.experiment;
    let name = arm(&job.arm, &experiment.arm)?.rule;
    // A run goes by the version of the rule that it was begun with.
    let version = plan.versions.of(&formulas::rule(name));
    let rule = experiment.aggregation.rule_as(name, version)?;
    let numbers = experiment.aggregation.numbers(name)?;
    let making = Making {
        job,
        seed: plan.seed.0,
        tools,
    };
    match rule.input() {
        Some(Need::OwnUpdate) => {
            let counts = ["safety_examples", "helpful_examples"].map(|key| numbers.whole(key));
            let examples = making.aligned("server-update", counts)?;
            let own = making.train("server-update", &examples)?;
            Ok((ServerInput::of_numbers(name, Default::default()), Some(own)))
        }
        Some(Need::Simulated) => {
            let (count, examples) = (numbers.whole("simulated"), numbers.whole("examples"));
            let mut honest = Vec::with_capacity(count);
            let mut harmful = Vec::with_capacity(count);
            let shells = tools.shells(&job.arm)?;
            for index in 0..count {
                let label = format!("simulated-{index}");
                let refused = (examples as f64 * experiment.federation.refusal_share).round();
                let refused = (refused as usize).min(examples);
                let own = making.aligned(&label, [refused, examples - refused])?;
                honest.push(delta(&making.train(&label, &own)?, &job.global)?);
                let drawn_by = ("server-input-harmful", making.seed(&label));
                let own = drawn(&shells, examples, drawn_by);
                let label = format!("simulated-harmful-{index}");
                harmful.push(delta(&making.train(&label, &own)?, &job.global)?);
            }
            let learned = rule.learn(&job.global, &honest, &harmful);
            Ok((ServerInput::of_numbers(name, learned), None))
        }
        Some(Need::Behaviour) | None => Err(Error::model(format!(
            "rule `{name}` asks for nothing that is trained"
        ))),
    }
}

/// Trainings of a job.
struct Making<'a> {
    job: &'a InputJob,
    seed: u64,
    tools: &'a Tools<'a>,
}

impl Making<'_> {
    fn seed(&self, label: &str) -> u64 {
        let round = self.job.round.to_string();
        derive_seed("server-input", self.seed, &[label, &round])
    }

    /// Refused requests and helpful pairs of the defence's split, so many of each.
    fn aligned(&self, label: &str, [safety, helpful]: [usize; 2]) -> Result<Vec<Example>> {
        let seed = self.seed(label);
        let source = self.tools.source;
        let mut pairs = Vec::new();
        if safety > 0 {
            pairs.extend(source.safety_pairs(seed, safety)?);
        }
        if helpful > 0 {
            pairs.extend(source.helpful_pairs(seed, helpful)?);
        }
        Ok(pairs)
    }

    /// Trains as a client of the round does, from the global adapter.
    fn train(&self, label: &str, examples: &[Example]) -> Result<Adapter> {
        let config = TrainConfig {
            learning_rate: self.job.learning_rate as f32,
            seed: self.seed(label),
            ..train_config(self.tools.experiment)
        };
        self.tools.tune(&self.job.global, examples, &config, None)
    }
}

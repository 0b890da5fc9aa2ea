//! Rules of a round: pure functions of plan, experiment and log. The runner acts by them, and the
//! auditor checks the log against them.

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Seed};
use fedseal_ledger::Blobs;

use crate::controls;
use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::rundir::{Assignment, Plan};
use crate::site;
use crate::state::{RoundState, RunState};
use fedseal_rules::admission::{Admission, Expected, Past};
use fedseal_rules::aggregation::device::Tensors;
use fedseal_rules::aggregation::{Built, Known, Need, Outcome, ServerInput, Update};
use fedseal_rules::arms::Arm;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas;
use fedseal_rules::optimiser::Optimiser;
use fedseal_rules::sampling::{derive_seed, sampled};
use fedseal_rules::site::Leave;

/// The seed of a round, the same in every arm.
pub fn round_seed(plan: &Plan, round: u32) -> Seed {
    Seed(derive_seed("round", plan.seed.0, &[&round.to_string()]))
}

/// The clients of an arm's round: the same are drawn in every arm, and of these an attacker of the
/// experiment's own is left out of an arm that is not attacked.
pub fn round_clients(plan: &Plan, experiment: &Experiment, arm: &Arm, round: u32) -> Vec<ClientId> {
    let federation = &experiment.federation;
    sampled(plan.seed.0, round, federation.clients, federation.sampled)
        .into_iter()
        .filter_map(|index| plan.clients.get(index))
        .filter(|client| client.takes_part(arm))
        .map(|client| client.client.clone())
        .collect()
}

/// The checks of an arm.
pub fn admission(experiment: &Experiment, arm: &Arm) -> Result<Admission> {
    Admission::new(&experiment.checks(arm))
        .map_err(|bad| fedseal_rules::Error::Experiment {
            file: "experiment.toml".into(),
            line: None,
            key: format!("admission.{}", arm.id),
            problem: bad.problem.into(),
        })
        .map_err(Error::from)
}

/// Verdicts of the rounds before one, as many rounds as its checks ask for, oldest first.
pub fn past(of: RoundOf<'_>, run: &RunState, window: u32) -> Vec<Past> {
    let rounds = run.arms.get(&of.arm.id).map_or(&[][..], Vec::as_slice);
    let round = (of.round.0 as usize).min(rounds.len());
    let first = round.saturating_sub(window as usize);
    let steps = f64::from(of.experiment.training.local_steps);
    let told = |state: &RoundState| {
        let verdicts = state.clients.iter().filter_map(|client| {
            Some(Past {
                client: client.clone(),
                effort: steps * state.learning_rate,
                fact: state.verdicts.get(client)?.fact.clone(),
            })
        });
        verdicts.collect::<Vec<_>>()
    };
    rounds[first..round].iter().flat_map(told).collect()
}

/// Result of a round's aggregation.
pub struct Combined {
    /// The weight of each sampled client, in order; 0 where its update does not count.
    pub weights: Vec<(ClientId, f64)>,
    /// Result of the arm's rule. None where no update counts: the global adapter stays.
    pub outcome: Option<Outcome>,
    /// Whether a device computed it.
    pub on_device: bool,
}

impl RoundOf<'_> {
    /// Values that the server expects of a client's update.
    ///
    /// # Errors
    /// As [`RoundOf::assignment`]; control variates that are missing or damaged.
    pub fn expected(&self, client: &ClientId, blobs: &Blobs) -> Result<Expected> {
        let RoundOf {
            plan,
            experiment,
            state,
            round,
            ..
        } = *self;
        let assignment = self.assignment(client)?;
        let controls = controls::read(blobs, state.controls)?;
        Ok(Expected {
            client: client.clone(),
            round,
            seed: self.update_seed(client),
            base: plan.base,
            global: state.global,
            module: assignment.module,
            shard: assignment.shard,
            shard_examples: assignment.examples,
            effort: f64::from(experiment.training.local_steps) * state.learning_rate,
            node: plan.attester(client),
            control: [
                controls.as_ref().map(|controls| controls.server),
                controls.and_then(|controls| controls.clients.get(client).copied()),
            ],
            leave: self.leave(client, assignment),
        })
    }

    /// Clipping and noise that the rules of a client's site apply to an update.
    fn leave(&self, client: &ClientId, assignment: &Assignment) -> Leave {
        let RoundOf {
            plan, experiment, ..
        } = *self;
        let Assignment { module, shard, .. } = assignment;
        let Some(rules) = plan.site(experiment, client) else {
            return Leave::default();
        };
        let facts = site::facts(plan, &experiment.limits, *module, client, *shard);
        let rule = facts.and_then(|facts| rules.before(&facts).ok());
        rule.map(|rule| rule.leave).unwrap_or_default()
    }

    /// Applies the arm's rule to the updates that count, in client order. Runner and auditor both call
    /// it, so that they cannot differ.
    ///
    /// # Errors
    /// [`Error::Tampered`] for a verdict that lets an update count which does not exist.
    pub fn combine(
        &self,
        deltas: &[Option<Vec<f32>>],
        cache: &mut Cache,
        blobs: &Blobs,
    ) -> Result<Combined> {
        self.combine_on(None, deltas, cache, blobs)
    }

    /// As [`RoundOf::combine`], on a device where the experiment asks for it and the device can tell.
    ///
    /// # Errors
    /// As [`RoundOf::combine`]; a device that fails.
    pub fn combine_on(
        &self,
        device: Option<&dyn Tensors>,
        deltas: &[Option<Vec<f32>>],
        cache: &mut Cache,
        blobs: &Blobs,
    ) -> Result<Combined> {
        let RoundOf { arm, state, .. } = *self;
        let Counted { places, updates } = self.counted(deltas, cache, blobs)?;
        let none = |client: &ClientId| (client.clone(), 0.0);
        let mut weights: Vec<(ClientId, f64)> = state.clients.iter().map(none).collect();
        if updates.is_empty() || self.is_skipped(deltas.iter().flatten().count()) {
            return Ok(Combined {
                weights,
                outcome: None,
                on_device: false,
            });
        }
        let rule = self.rule()?;
        let inputs = self.experiment.aggregation_inputs(arm, state.seed.0);
        let device = device.filter(|_| self.experiment.aggregation.device);
        let found = match device {
            Some(device) => rule.aggregate_on(&updates, &inputs, device)?,
            None => None,
        };
        let on_device = found.is_some();
        let outcome = match (found, rule.input(), rule.needs_global()) {
            (Some(found), ..) => found,
            (None, Some(_), _) => self.with_input(&rule, &places, blobs, &|known| {
                Ok(rule.aggregate_with(&updates, &inputs, known)?)
            })?,
            (None, None, true) => {
                rule.aggregate_from(&updates, &inputs, &read_adapter(blobs, &state.global)?)?
            }
            (None, None, false) => rule.aggregate(&updates, &inputs)?,
        };
        for (index, weight) in places.iter().zip(&outcome.weights) {
            if let Some(slot) = weights.get_mut(*index) {
                slot.1 = *weight;
            }
        }
        Ok(Combined {
            weights,
            outcome: Some(outcome),
            on_device,
        })
    }
}

/// The updates of a round that count.
struct Counted<'a> {
    /// Places of their clients among the sampled ones.
    places: Vec<usize>,
    /// The updates, in client order.
    updates: Vec<Update<'a>>,
}

impl RoundOf<'_> {
    /// The arm's rule, in the version that the run was begun with.
    fn rule(&self) -> Result<Built> {
        let version = self.plan.versions.of(&formulas::rule(self.arm.rule));
        Ok(self
            .experiment
            .aggregation
            .rule_as(self.arm.rule, version)?)
    }

    fn counted<'a>(
        &self,
        deltas: &'a [Option<Vec<f32>>],
        cache: &mut Cache,
        blobs: &Blobs,
    ) -> Result<Counted<'a>> {
        let RoundOf {
            plan, arm, state, ..
        } = *self;
        let (mut places, mut updates) = (Vec::new(), Vec::new());
        for (index, (client, delta)) in state.clients.iter().zip(deltas).enumerate() {
            let Some(verdict) = state.verdicts.get(client).filter(|v| v.effect.counts()) else {
                continue;
            };
            let Some(delta) = delta else {
                return Err(Error::tampered(
                    format!(
                        "verdict of {client} in round {} of arm {}",
                        self.round, arm.id
                    ),
                    "lets an update count that does not exist",
                ));
            };
            let attested = cache.attested(blobs, &verdict.attestation, plan)?;
            places.push(index);
            updates.push(Update {
                delta,
                weight: f64::from(attested.examples) * verdict.weight,
            });
        }
        Ok(Counted { places, updates })
    }

    /// The server's input to the next round, where the arm's rule remembers clients and updates counted in this
    /// one; none: it stays as it is. Runner and auditor both call it, so that they cannot differ.
    ///
    /// # Errors
    /// As [`RoundOf::combine`].
    pub fn next_input(
        &self,
        deltas: &[Option<Vec<f32>>],
        cache: &mut Cache,
        blobs: &Blobs,
    ) -> Result<Option<ServerInput>> {
        let rule = self.rule()?;
        if !rule.remembers() {
            return Ok(None);
        }
        let Counted { places, updates } = self.counted(deltas, cache, blobs)?;
        if updates.is_empty() || self.is_skipped(deltas.iter().flatten().count()) {
            return Ok(None);
        }
        let next = self.with_input(&rule, &places, blobs, &|known| {
            Ok(rule.remember(&updates, known)?)
        })?;
        Ok(Some(next))
    }

    /// Calls `work` with the server's input to a rule that asks for it, about the clients at `places`.
    fn with_input<T>(
        &self,
        rule: &Built,
        places: &[usize],
        blobs: &Blobs,
        work: &dyn Fn(&Known<'_>) -> Result<T>,
    ) -> Result<T> {
        let RoundOf { arm, state, .. } = *self;
        let item = || format!("server's input to round {} of arm {}", self.round, arm.id);
        let bad = |problem: &str| Error::tampered(item(), problem);
        let (data, adapter) = state.input.ok_or_else(|| bad("is not logged"))?;
        let input = ServerInput::from_bytes(&blobs.get(&data)?)
            .map_err(|error| Error::tampered(item(), error))?;
        if input.rule != arm.rule {
            return Err(bad("is for another rule than the arm's"));
        }
        let global = read_adapter(blobs, &state.global)?;
        let own = match (rule.input(), adapter) {
            (Some(Need::OwnUpdate), Some(adapter)) => {
                delta(&read_adapter(blobs, &adapter)?, &global)?
            }
            (Some(Need::OwnUpdate), None) => return Err(bad("has no adapter")),
            (_, Some(_)) => return Err(bad("has an adapter, which the rule does not ask for")),
            (_, None) => Vec::new(),
        };
        let behaviours = match rule.input() {
            Some(Need::Behaviour) => {
                let all = input.behaviours(state.clients.len());
                let (all, of_global) =
                    all.ok_or_else(|| bad("has behaviours of other clients than the round's"))?;
                let own = places.iter().filter_map(|index| all.get(*index).copied());
                Some((own.collect::<Vec<_>>(), of_global))
            }
            _ => None,
        };
        let clients = places.iter().filter_map(|index| state.clients.get(*index));
        let clients: Vec<&str> = clients.map(|client| client.0.as_str()).collect();
        work(&Known {
            global: &global,
            input: &input,
            own: &own,
            behaviours: behaviours
                .as_ref()
                .map(|(own, of_global)| (own.as_slice(), *of_global)),
            clients: &clients,
        })
    }
}

/// The adapters of a round's updates by its verdicts, in client order.
pub fn update_digests(run: &RunState, state: &RoundState) -> Vec<Option<Digest>> {
    state
        .clients
        .iter()
        .map(|client| {
            let verdict = state.verdicts.get(client)?;
            run.update(&verdict.attestation)?.update
        })
        .collect()
}

/// Local adapter minus global adapter, flat.
pub fn delta(local: &Adapter, global: &Adapter) -> Result<Vec<f32>> {
    local.flat_sub(global).map_err(Error::model)
}

/// The deltas of a round's updates, in client order; none for an update that does not exist.
///
/// # Errors
/// Adapters that are missing or damaged.
pub fn deltas(
    run: &RunState,
    state: &RoundState,
    global: &Adapter,
    blobs: &Blobs,
) -> Result<Vec<Option<Vec<f32>>>> {
    let from_global = |digest: Digest| delta(&read_adapter(blobs, &digest)?, global);
    let updates = update_digests(run, state).into_iter();
    updates
        .map(|digest| digest.map(from_global).transpose())
        .collect()
}

/// Euclidean norm.
pub fn norm(delta: &[f32]) -> f64 {
    delta
        .iter()
        .map(|v| f64::from(*v) * f64::from(*v))
        .sum::<f64>()
        .sqrt()
}

/// The lower median; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// The global adapter moved by the server optimiser's step on a round's delta. The runner and the
/// verifier both call it, so that they cannot differ.
pub fn advance(global: &Adapter, delta: &[f32], optimiser: &mut dyn Optimiser) -> Result<Adapter> {
    let step = optimiser.step(delta);
    let flat: Vec<f32> = global
        .flat()
        .iter()
        .zip(&step)
        .map(|(g, s)| g + s)
        .collect();
    global.from_flat(&flat).map_err(Error::model)
}

/// Whether two scores of the data check agree, up to the last bits of two systems' exponential functions.
pub fn same_score(attested: Option<f64>, again: Option<f64>) -> bool {
    match (attested, again) {
        (Some(attested), Some(again)) => (attested - again).abs() <= 1e-6,
        (attested, again) => attested == again,
    }
}

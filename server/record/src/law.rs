//! Rules of a round: pure functions of plan, experiment and log. The runner acts by them, and the
//! auditor checks the log against them.

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_ledger::Blobs;

use crate::controls;
use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::keys::{update_key, update_seed};
use crate::rundir::{Assignment, Plan};
use crate::site;
use crate::state::{RoundState, RunState};
use fedseal_rules::admission::{Admission, Expected};
use fedseal_rules::aggregation::{self, Outcome, Update};
use fedseal_rules::arms::{self, Arm};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::optimiser::Optimiser;
use fedseal_rules::sampling::{client_name, derive_seed, sampled};
use fedseal_rules::site::Leave;

/// The seed of a round, the same in every arm.
pub fn round_seed(plan: &Plan, round: u32) -> Seed {
    Seed(derive_seed("round", plan.seed.0, &[&round.to_string()]))
}

/// The clients of a round, the same in every arm.
pub fn round_clients(plan: &Plan, experiment: &Experiment, round: u32) -> Vec<ClientId> {
    let federation = &experiment.federation;
    sampled(plan.seed.0, round, federation.clients, federation.sampled)
        .into_iter()
        .map(|index| client_name(index).into())
        .collect()
}

/// The checks of an arm.
pub fn admission(experiment: &Experiment, arm: &Arm) -> Result<Admission> {
    let configs = match arm.admission {
        None => Vec::new(),
        Some(arms::Admission::Provenance) => experiment
            .admission
            .provenance
            .clone()
            .unwrap_or_else(fedseal_rules::admission::default_provenance),
        Some(arms::Admission::Behaviour) => experiment
            .admission
            .behaviour
            .clone()
            .unwrap_or_else(fedseal_rules::admission::default_behaviour),
    };
    Admission::new(&configs)
        .map_err(|bad| fedseal_rules::Error::Experiment {
            file: "experiment.toml".into(),
            line: None,
            key: format!("admission.{}", arm.id),
            problem: bad.problem.into(),
        })
        .map_err(Error::from)
}

/// Values that the server expects of a client's update in a round of an arm.
pub fn expected(
    plan: &Plan,
    experiment: &Experiment,
    arm: &Arm,
    client: &ClientId,
    round: Round,
    state: &RoundState,
    blobs: &Blobs,
) -> Result<Expected> {
    let (_, planned) = plan
        .client(client)
        .ok_or_else(|| Error::tampered(client.to_string(), "is not a client of this run"))?;
    let assignment = Plan::assignment(planned, arm.attacked);
    let controls = controls::read(blobs, state.controls)?;
    Ok(Expected {
        client: client.clone(),
        round,
        seed: update_seed(plan.seed, client, round),
        base: plan.base,
        global: state.global,
        module: assignment.module,
        shard: assignment.shard,
        shard_examples: assignment.examples,
        effort: f64::from(experiment.training.local_steps) * state.learning_rate,
        node: plan.node,
        control: [
            controls.as_ref().map(|controls| controls.server),
            controls.and_then(|controls| controls.clients.get(client).copied()),
        ],
        leave: leave(plan, experiment, client, assignment),
    })
}

/// Clipping and noise that the rules of a client's site apply to an update.
fn leave(
    plan: &Plan,
    experiment: &Experiment,
    client: &ClientId,
    assignment: &Assignment,
) -> Leave {
    let Assignment { module, shard, .. } = assignment;
    let facts = site::facts(plan, &experiment.limits, *module, client, *shard);
    let rules = experiment.site.as_ref();
    let rule = rules
        .zip(facts)
        .and_then(|(rules, facts)| rules.before(&facts).ok());
    rule.map(|rule| rule.leave).unwrap_or_default()
}

/// The memo key of a client's update in a round of an arm.
pub fn key_of(
    plan: &Plan,
    experiment: &Experiment,
    arm: &Arm,
    client: &ClientId,
    round: Round,
    state: &RoundState,
) -> Result<Digest> {
    let (_, planned) = plan
        .client(client)
        .ok_or_else(|| Error::tampered(client.to_string(), "is not a client of this run"))?;
    update_key(
        plan,
        experiment,
        client,
        round,
        update_seed(plan.seed, client, round),
        Plan::assignment(planned, arm.attacked),
        state.global,
        state.learning_rate,
        state.controls,
    )
}

/// The adapters of a round's updates by its verdicts, in client order.
pub fn update_digests(run: &RunState, state: &RoundState) -> Vec<Option<Digest>> {
    state
        .clients
        .iter()
        .map(|client| {
            let verdict = state.verdicts.get(client)?;
            run.updates
                .get(run.attestations.get(&verdict.attestation)?)?
                .update
        })
        .collect()
}

/// Local adapter minus global adapter, flat.
pub fn delta(local: &Adapter, global: &Adapter) -> Result<Vec<f32>> {
    local
        .sub(global)
        .map(|difference| difference.flat())
        .map_err(Error::model)
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

/// Applies the arm's rule to the updates that count, in client order. `None` when none counts.
/// Shared by runner and auditor.
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
pub fn combine(
    plan: &Plan,
    experiment: &Experiment,
    arm: &Arm,
    round: u32,
    state: &RoundState,
    deltas: &[Option<Vec<f32>>],
    cache: &mut Cache,
    blobs: &Blobs,
) -> Result<Option<(Vec<(ClientId, f64)>, Outcome)>> {
    let mut counted = Vec::new();
    let mut updates = Vec::new();
    for (index, (client, delta)) in state.clients.iter().zip(deltas).enumerate() {
        let Some(verdict) = state.verdicts.get(client).filter(|v| v.effect.counts()) else {
            continue;
        };
        let Some(delta) = delta else {
            return Err(Error::tampered(
                format!("verdict of {client} in round {round} of arm {}", arm.id),
                "lets an update count that does not exist",
            ));
        };
        let attested = cache.attested(blobs, &verdict.attestation, plan.node)?;
        counted.push(index);
        updates.push(Update {
            delta,
            weight: f64::from(attested.examples) * verdict.weight,
        });
    }
    if updates.is_empty() {
        return Ok(None);
    }
    let rule = aggregation::rule(arm.rule)?;
    let context = experiment.aggregation_context(state.seed.0);
    let outcome = aggregation::aggregate(rule, &updates, &context)?;
    let mut weights: Vec<(ClientId, f64)> = state
        .clients
        .iter()
        .map(|client| (client.clone(), 0.0))
        .collect();
    for (index, weight) in counted.iter().zip(&outcome.weights) {
        if let Some(slot) = weights.get_mut(*index) {
            slot.1 = *weight;
        }
    }
    Ok(Some((weights, outcome)))
}

/// Whether two scores of the data check agree, up to the last bits of two systems' exponential functions.
pub fn same_score(attested: Option<f64>, again: Option<f64>) -> bool {
    match (attested, again) {
        (Some(attested), Some(again)) => (attested - again).abs() <= 1e-6,
        (attested, again) => attested == again,
    }
}

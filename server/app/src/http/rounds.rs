//! A round of an arm: how its updates stand to each other, and which aggregation rule would have kept whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path as Parameters, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::IntoResponse;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_record::law::{deltas, update_digests};
use fedseal_record::opened::OpenRun;
use fedseal_record::read::read_adapter;
use fedseal_record::report::Verdict;
use fedseal_record::round::RoundOf;
use fedseal_record::state::RoundState;
use fedseal_rules::aggregation::{self, Update};
use fedseal_rules::arms::Arm;
use fedseal_rules::formulas;
use fedseal_rules::geometry::{MOST_UPDATES, geometry};
use schemars::JsonSchema;
use serde::Serialize;

use super::Server;
use super::fault::Fault;
use super::openapi::{self, Operation, READS, schema};
use super::refusal::{Answer, Refusal, blocking};

/// Values of all updates of a round that are in memory at once, at most: 128 MiB of them.
const MOST_VALUES: usize = 32 << 20;
/// Rounds whose answers are kept.
const MOST_KEPT: usize = 128;

/// Answer of `GET /api/runs/{run}/arms/{arm}/rounds/{round}`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RoundDetail")]
struct Detail {
    /// The run's address.
    run: String,
    /// The arm.
    arm: String,
    /// Its heading.
    title: String,
    /// Its aggregation rule.
    rule: String,
    /// The round, from 0.
    round: u32,
    /// Rounds that the arm has so far.
    rounds: usize,
    /// The round's clients, in the order in which they were drawn.
    clients: Vec<Client>,
    /// Cosines between the updates of clients that have one, in their order.
    cosines: Vec<Vec<f64>>,
    /// Shares of the updates' variance on the two axes of their picture, in [0, 1].
    explained: [f64; 2],
    /// Every rule, asked about every update that was submitted, whatever admission said of it.
    rules: Vec<Asked>,
    /// Why there are no figures of the updates, where there are none.
    left_out: Option<String>,
}

/// A client of the round.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RoundMember")]
struct Client {
    /// Its name.
    client: String,
    /// `benign`, or the kind of attack in this arm.
    kind: String,
    /// The update's id; null before.
    update: Option<Digest>,
    /// Verdict of admission; null before.
    verdict: Option<Verdict>,
    /// Its weight in the aggregate, in [0, 1]; null before.
    weight: Option<f64>,
    /// Examples that it claims.
    examples: u32,
    /// Euclidean norm of the update; null where there is none.
    norm: Option<f64>,
    /// Place in the picture: coordinates on the first two principal components, of which the update that is
    /// farthest from 0 has a positive one.
    place: Option<[f64; 2]>,
}

/// An aggregation rule over the round's updates.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RuleAsked")]
struct Asked {
    /// Its name.
    name: &'static str,
    /// Its heading.
    title: &'static str,
    /// Weights of the updates, in the order of the clients that have one; empty where there is a problem.
    weights: Vec<f64>,
    /// Why the rule cannot be applied to them.
    problem: Option<String>,
}

/// Key of an answer: the run's address, the arm, the round, and the log's root, of which all else follows.
type Key = (String, String, u32, Digest);

/// Answers of before.
#[derive(Clone, Default)]
pub(super) struct Rounds {
    kept: Arc<Mutex<HashMap<Key, Bytes>>>,
    /// Held while one is made: updates of one round are in memory at a time.
    making: Arc<Mutex<()>>,
}

impl Rounds {
    fn answer(&self, key: Key, run: &OpenRun) -> Answer<Bytes> {
        let known = || lock(&self.kept).get(&key).cloned();
        if let Some(known) = known() {
            return Ok(known);
        }
        let _one = lock(&self.making);
        if let Some(known) = known() {
            return Ok(known);
        }
        let detail = detail(run, &key.0, &key.1, key.2)?;
        let bytes: Bytes = serde_json::to_vec(&detail)
            .map_err(|error| Refusal::broken(format!("round {}", key.2), error))?
            .into();
        let mut kept = lock(&self.kept);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, bytes.clone());
        Ok(bytes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn detail(run: &OpenRun, address: &str, arm: &str, round: u32) -> Answer<Detail> {
    let fault = |error: fedseal_record::Error| {
        Fault::run(&run.dir.root, &error).of(&format!("round {round} of arm {arm}"))
    };
    let arms = run
        .experiment
        .all_arms()
        .map_err(|error| fault(error.into()))?;
    let found = arms.iter().find(|known| known.id == arm);
    let (Some(arm), Some(state)) = (found, run.state.round(arm, round)) else {
        let arm: String = arm.chars().take(40).collect();
        return Err(Refusal::missing(
            "round",
            format!("{address}: round {round} of arm {arm}"),
        ));
    };
    let mut clients = clients(run, arm, state);
    let mut detail = Detail {
        run: address.to_owned(),
        arm: arm.id.clone(),
        title: arm.title.clone(),
        rule: arm.rule.to_owned(),
        round,
        rounds: run.state.arms.get(&arm.id).map_or(0, Vec::len),
        clients: Vec::new(),
        cosines: Vec::new(),
        explained: [0.0; 2],
        rules: Vec::new(),
        left_out: None,
    };
    let digests = update_digests(&run.state, state);
    let there = digests.iter().flatten().count();
    if there == 0 {
        detail.clients = clients;
        return Ok(detail);
    }
    let global = read_adapter(&run.blobs, &state.global).map_err(fault)?;
    let values = there.saturating_mul(global.len());
    if there > MOST_UPDATES || values > MOST_VALUES {
        detail.left_out = Some(format!(
            "{there} updates of {} values are more than the {MOST_UPDATES} updates and {MOST_VALUES} values in all \
             that are compared here",
            global.len()
        ));
        detail.clients = clients;
        return Ok(detail);
    }
    let all = deltas(&run.state, state, &global, &run.blobs).map_err(fault)?;
    let updates: Vec<&[f32]> = all.iter().flatten().map(Vec::as_slice).collect();
    let seen = geometry(&updates);
    let mut places = seen.norms.iter().zip(&seen.places);
    for (client, _) in clients
        .iter_mut()
        .zip(&all)
        .filter(|(_, delta)| delta.is_some())
    {
        if let Some((norm, place)) = places.next() {
            (client.norm, client.place) = (Some(*norm), Some(*place));
        }
    }
    let examples = clients
        .iter()
        .zip(&all)
        .filter(|(_, delta)| delta.is_some());
    let examples: Vec<u32> = examples.map(|(client, _)| client.examples).collect();
    let of = RoundOf {
        plan: &run.plan,
        experiment: &run.experiment,
        arm,
        round: Round(round),
        state,
    };
    detail.rules = asked(&of, &updates, &examples, &global);
    detail.clients = clients;
    detail.cosines = seen.cosines;
    detail.explained = seen.explained;
    Ok(detail)
}

/// The round's clients, without the figures of their updates.
fn clients(run: &OpenRun, arm: &Arm, state: &RoundState) -> Vec<Client> {
    let one = |name: &fedseal_client_sdk::ids::ClientId| {
        let verdict = state.verdicts.get(name);
        let attested = verdict.and_then(|verdict| attested(run, &verdict.attestation));
        Client {
            client: name.to_string(),
            kind: run
                .plan
                .client(name)
                .map_or_else(String::new, |(_, planned)| planned.kind_in(arm).to_owned()),
            update: verdict.map(|verdict| verdict.attestation),
            verdict: verdict.map(|verdict| Verdict {
                effect: verdict.effect,
                check: verdict.check.clone(),
                fact: verdict.fact.clone(),
            }),
            weight: state.weight(name),
            examples: attested.unwrap_or(0),
            norm: None,
            place: None,
        }
    };
    state.clients.iter().map(one).collect()
}

/// Examples that an attestation claims.
fn attested(run: &OpenRun, id: &Digest) -> Option<u32> {
    let mut cache = fedseal_record::evidence::Cache::default();
    let said = cache.attested(&run.blobs, id, &run.plan).ok()?;
    Some(said.examples)
}

/// Asks every rule, with the parameters that the experiment gives it.
fn asked(
    of: &RoundOf<'_>,
    updates: &[&[f32]],
    examples: &[u32],
    global: &fedseal_tuning::Adapter,
) -> Vec<Asked> {
    let weighed: Vec<Update<'_>> = updates
        .iter()
        .zip(examples)
        .map(|(delta, examples)| Update {
            delta,
            weight: f64::from(*examples),
        })
        .collect();
    let inputs = of.experiment.aggregation_inputs(of.arm, of.state.seed.0);
    let ask = |name: &str, version: u32| -> Result<aggregation::Outcome, String> {
        let rule = of.experiment.aggregation.rule_as(name, version);
        let rule = rule.map_err(|error| error.to_string())?;
        if rule.input().is_some() {
            return Err(
                "it asks for an input of the server's own, which only its own arm has".into(),
            );
        }
        let outcome = match rule.needs_global() {
            true => rule.aggregate_from(&weighed, &inputs, global),
            false => rule.aggregate(&weighed, &inputs),
        };
        outcome.map_err(|error| error.to_string())
    };
    let rules = aggregation::ALL.iter().map(|rule| {
        // The arm's own rule by the run's version, others by the version of now.
        let version = match rule.name == of.arm.rule {
            true => of.plan.versions.of(&formulas::rule(rule.name)),
            false => rule.version,
        };
        let outcome = ask(rule.name, version);
        let problem = outcome.as_ref().err().cloned();
        let weights = outcome.map_or_else(|_| Vec::new(), |outcome| outcome.weights);
        Asked {
            name: rule.name,
            title: rule.title,
            weights,
            problem,
        }
    });
    rules.collect()
}

/// [`one`], described.
pub(super) static ONE: Operation = Operation {
    id: "readRound",
    method: Method::GET,
    path: "/api/runs/{run}/arms/{arm}/rounds/{round}",
    summary: "A round of an arm: norms, cosines and picture of its updates, and what every rule makes of them.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The round.", schema::<Detail>),
    refusals: READS,
};

/// `GET /api/runs/{run}/arms/{arm}/rounds/{round}`
pub(super) async fn one(
    State(shared): Server,
    Parameters((address, arm, round)): Parameters<(String, String, String)>,
) -> Answer<impl IntoResponse> {
    blocking(move || {
        let dir = shared.runs.folder(&address)?;
        let index = shared.logs.index(&address, &dir)?;
        let Ok(number) = round.parse::<u32>() else {
            let round: String = round.chars().take(20).collect();
            return Err(Refusal::missing("round", round));
        };
        let root = index.run.log.checkpoint().root;
        let bytes = shared
            .rounds
            .answer((address, arm, number, root), &index.run)?;
        let kind = HeaderValue::from_static("application/json");
        Ok(([(header::CONTENT_TYPE, kind)], bytes))
    })
    .await
}

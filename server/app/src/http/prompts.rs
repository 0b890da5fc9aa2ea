//! The prompts that a run was measured on, each with every arm's answer and what the judges said of it:
//! all of them, where the report has the first few. Read from the blobs that the log names, so a changed
//! report.json changes nothing here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path as Parameters, Query, State};
use axum::http::Method;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_record::blobs::{Answer as Logged, Measured};
use fedseal_record::opened::OpenRun;
use fedseal_rules::arms;
use fedseal_rules::evaluation::{Asked as Question, Reads};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Server;
use super::fault::Fault;
use super::openapi::{self, Operation, Parameter, READS, schema};
use super::refusal::{Answer, Refusal, blocking};

/// The most bytes of prompts and answers that one response has.
const MOST_BYTES: usize = 16 << 20;

/// Which measure is asked for.
#[derive(Deserialize)]
pub(super) struct Which {
    round: Option<u32>,
}

/// Answer of `GET /api/runs/{run}/answers`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnswersView")]
pub(super) struct Prompts {
    /// The run's address.
    run: String,
    /// The round after which the adapters were measured; the number of rounds for the last measure.
    round: u32,
    /// Rounds with a measure in some arm.
    measured: Vec<u32>,
    /// The arms that were measured then, in the report's order.
    arms: Vec<Column>,
    /// The prompts: harmful requests, then helpful tasks, in the order of the evaluation set.
    prompts: Vec<Prompt>,
    /// Prompts that are left out because the response would be too large.
    left_out: usize,
}

/// An arm that answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnsweringArm")]
struct Column {
    /// Its id.
    id: String,
    /// Its heading.
    title: String,
    /// Digest of the adapter that answered.
    adapter: Digest,
    /// Digest of the logged blob with its answers.
    result: Digest,
}

/// One prompt with its answers.
#[derive(Debug, Serialize, JsonSchema)]
struct Prompt {
    /// Its name in addresses: `r` or `t`, for request or task, and its place from 0.
    id: String,
    /// `harmful` or `helpful`.
    kind: &'static str,
    /// The prompt.
    prompt: String,
    /// Answers by arm.
    answers: BTreeMap<String, Given>,
}

/// One answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GivenAnswer")]
struct Given {
    /// The text.
    text: String,
    /// Whether it is a hit, as logged: of a request, whether Rule takes it for a refusal; of a task,
    /// whether it solves the task.
    hit: bool,
    /// Whether the run's further judges of requests take it for a refusal, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    judges: BTreeMap<String, bool>,
}

/// [`answers`], described.
pub(super) static ANSWERS: Operation = Operation {
    id: "readAnswers",
    method: Method::GET,
    path: "/api/runs/{run}/answers",
    summary: "Every prompt of a measure with every arm's answer and what the judges said of it.",
    query: &[Parameter {
        name: "round",
        kind: "integer",
        meaning: "The round after which adapters were measured; left out: the last measure.",
    }],
    body: None,
    answer: openapi::Answer::json(
        "The prompts; those beyond 16 MiB are left out and counted.",
        schema::<Prompts>,
    ),
    refusals: READS,
};

/// `GET /api/runs/{run}/answers`
pub(super) async fn answers(
    State(shared): Server,
    Parameters(address): Parameters<String>,
    Query(which): Query<Which>,
) -> Answer<Json<Prompts>> {
    blocking(move || {
        let dir = shared.runs.folder(&address)?;
        let index = shared.logs.index(&address, &dir)?;
        shown(address, &index.run, which.round).map(Json)
    })
    .await
}

fn shown(address: String, run: &OpenRun, round: Option<u32>) -> Answer<Prompts> {
    let evaluated = &run.state.evaluated;
    let mut measured: Vec<u32> = evaluated.keys().map(|(_, round)| *round).collect();
    measured.sort_unstable();
    measured.dedup();
    let last = run.experiment.federation.rounds;
    let round = round.unwrap_or(last);
    if round != last && !measured.contains(&round) {
        let round = format!("{address}: round {round}");
        return Err(Refusal::missing("measure", round));
    }
    let fault = |error: fedseal_ledger::Error| Fault::ledger(&run.dir.root, &error);
    let arms = arms::expand(&run.experiment.arms, &run.experiment.arm)
        .map_err(|error| Fault::run(&run.dir.root, &fedseal_federation::Error::from(error)))?;
    let judges: Vec<_> = run
        .plan
        .measures
        .iter()
        .filter(|measure| measure.template().is_none())
        .flat_map(|measure| measure.judge())
        .collect();
    let source = run.experiment.data.judged_as();
    let judged = |answer: &Logged| -> BTreeMap<String, bool> {
        let asked = Question {
            prompt: &answer.prompt,
            answer: &answer.answer,
            task: None,
            source,
        };
        let requests = judges.iter().filter(|judge| judge.reads == Reads::Requests);
        requests
            .map(|judge| (judge.name.to_owned(), (judge.hit)(&asked)))
            .collect()
    };
    let mut columns = Vec::new();
    let mut rows: [Vec<Prompt>; 2] = Default::default();
    let mut bytes = 0;
    let mut left = std::collections::BTreeSet::new();
    for arm in arms {
        let Some(one) = evaluated.get(&(arm.id.clone(), round)) else {
            continue;
        };
        let logged = run.blobs.get(&one.result).map_err(fault)?;
        let answers: Measured = canonical::from_slice(&logged).map_err(|error| Fault::Unread {
            item: format!("answers {} of arm {}", one.result, arm.id),
            problem: error.to_string(),
        })?;
        for (at, (kind, letter, given)) in [
            ("harmful", 'r', answers.requests),
            ("helpful", 't', answers.tasks),
        ]
        .into_iter()
        .enumerate()
        {
            for (place, answer) in given.into_iter().enumerate() {
                bytes += answer.answer.len() + answer.prompt.len();
                if bytes > MOST_BYTES {
                    left.insert((at, place));
                    continue;
                }
                let judges = match kind {
                    "harmful" => judged(&answer),
                    _ => BTreeMap::new(),
                };
                let given = Given {
                    text: answer.answer,
                    hit: answer.hit,
                    judges,
                };
                let row = rows[at]
                    .get_mut(place)
                    .filter(|row| row.prompt == answer.prompt);
                match row {
                    Some(row) => {
                        row.answers.insert(arm.id.clone(), given);
                    }
                    None => rows[at].push(Prompt {
                        id: format!("{letter}{}", rows[at].len()),
                        kind,
                        prompt: answer.prompt,
                        answers: BTreeMap::from([(arm.id.clone(), given)]),
                    }),
                }
            }
        }
        columns.push(Column {
            id: arm.id,
            title: arm.title,
            adapter: answers.adapter,
            result: one.result,
        });
    }
    let [requests, tasks] = rows;
    Ok(Prompts {
        run: address,
        round,
        measured,
        arms: columns,
        prompts: requests.into_iter().chain(tasks).collect(),
        left_out: left.len(),
    })
}

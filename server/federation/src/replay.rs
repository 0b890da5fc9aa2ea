//! Executing logged updates again and comparing digests: the same module, shard, global adapter,
//! seed and limits must give the same transcript and the same adapter, bit for bit.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_ledger::{Blobs, LogReader};
use fedseal_sandbox::RunOutcome;
use fedseal_tuning::Adapter;
use serde::Serialize;
use serde_json::{Value, json};

use crate::arms;
use crate::controls;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::lab::Lab;
use crate::memo::{RoundState, RunState, UpdateRef};
use crate::report::Cache;
use crate::rundir::{Assignment, Plan, RunDir};
use crate::runner::execute::{Executor, input, read_examples};
use crate::runner::rules::key_of;
use crate::runner::{Options, open_model, read_adapter, read_experiment};
use crate::sampling::{choose, rng};

/// Which updates to execute again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The update whose id (attestation digest) begins so; must be unambiguous.
    Prefix(String),
    /// So many, drawn by a seed.
    Sample {
        /// How many; all when there are fewer.
        count: usize,
        /// The seed.
        seed: u64,
    },
}

/// What came of executing one update again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// The update's id.
    pub update: Digest,
    /// The client.
    pub client: String,
    /// The round.
    pub round: u32,
    /// The logged transcript root.
    pub transcript: Digest,
    /// The transcript root of the new execution.
    pub transcript_again: Digest,
    /// The logged adapter; none after a failure.
    pub adapter: Option<Digest>,
    /// The adapter of the new execution.
    pub adapter_again: Option<Digest>,
    /// The first step in which they differ; null when all is equal.
    pub dispute: Option<Dispute>,
    /// The same for people, with the engines where those are not one.
    pub difference: Option<String>,
    /// The engine that made the update.
    pub engine: String,
    /// The engine of the new execution.
    pub engine_again: String,
    /// Where the engines promise no equal bits (they are two, or a GPU) and there are two adapters:
    /// the length of their difference as a share of the update's length. See [`TOLERANCE`].
    pub distance: Option<f64>,
    /// Seconds it took.
    pub seconds: f64,
}

impl Replayed {
    /// Whether transcript and adapter are the same, bit for bit.
    pub fn equal(&self) -> bool {
        self.difference.is_none()
    }

    /// Whether the bits differ, the engines promise no equal ones, and the adapters are no further
    /// apart than [`TOLERANCE`].
    pub fn near(&self) -> bool {
        !self.equal() && self.distance.is_some_and(|distance| distance <= TOLERANCE)
    }
}

/// Largest distance of two adapters that engines of different names, or two executions on a GPU,
/// may make of one update, as a share of the update's length: twice what two steps of AdamW on 16-bit
/// products show.
pub const TOLERANCE: f64 = 0.25;

/// Executes updates of the run in `dir` again, with so many threads of the CPU device (0: all
/// cores). Named models are looked for in `models/`; [`replay_with`] takes other places.
///
/// # Errors
/// What keeps an update from being executed. An update that comes out different is no error: it
/// says so in [`Replayed::difference`].
pub fn replay(dir: impl AsRef<Path>, selector: &Selector, threads: usize) -> Result<Vec<Replayed>> {
    let options = Options {
        threads: Some(threads),
        ..Options::default()
    };
    replay_with(dir, selector, &options)
}

/// As [`replay`], with the model's place, device and threads of `options`.
pub fn replay_with(
    dir: impl AsRef<Path>,
    selector: &Selector,
    options: &Options,
) -> Result<Vec<Replayed>> {
    let run_dir = RunDir::new(dir.as_ref());
    let experiment = read_experiment(&run_dir, &run_dir.read_plan()?)?;
    let (lab, _) = open_model(&experiment, options)?;
    replay_in(dir, selector, &lab)
}

/// As [`replay`], with a given model.
pub fn replay_in(
    dir: impl AsRef<Path>,
    selector: &Selector,
    lab: &dyn Lab,
) -> Result<Vec<Replayed>> {
    let dir = RunDir::new(dir.as_ref());
    let plan = dir.read_plan()?;
    let experiment = read_experiment(&dir, &plan)?;
    if lab.base() != plan.base {
        return Err(Error::mismatch(
            "base model",
            "is not the one the run was made with",
            &plan.base,
            &lab.base(),
        ));
    }
    let blobs = Blobs::existing(dir.blobs())?;
    let log = LogReader::open(dir.log(), &plan.node)?;
    let mut state = RunState::default();
    for index in 0..log.size() {
        state
            .apply(&Record::from_bytes(&log.entry(index)?)?, plan.initial)
            .map_err(|problem| Error::tampered(format!("log entry {index}"), problem.0))?;
    }
    let executor = lab.executor(&plan, &blobs, experiment.limits, None)?;
    let executor = crate::site::guard::guard(executor, &experiment, &plan);
    let replayer = Replayer {
        plan: &plan,
        experiment: &experiment,
        state: &state,
        blobs: &blobs,
        executor: executor.as_ref(),
        lab,
    };
    let mut cache = Cache::default();
    select(&state, selector)?
        .into_iter()
        .map(|update| replayer.one(update, &mut cache))
        .collect()
}

/// The chosen updates, in the order of the log.
pub(crate) fn select<'a>(state: &'a RunState, selector: &Selector) -> Result<Vec<&'a UpdateRef>> {
    let mut all: Vec<&UpdateRef> = state.updates.values().collect();
    all.sort_by_key(|update| update.entry);
    match selector {
        Selector::Prefix(prefix) => {
            let prefix = prefix.to_lowercase();
            let found: Vec<&UpdateRef> = all
                .into_iter()
                .filter(|update| {
                    !prefix.is_empty() && update.attestation.to_string().starts_with(&prefix)
                })
                .collect();
            match found.len() {
                1 => Ok(found),
                0 => Err(Error::Missing {
                    what: format!("update `{prefix}`"),
                    hint: "no update of this run has an id that begins so; the report lists them"
                        .into(),
                }),
                n => Err(Error::Missing {
                    what: format!("one update `{prefix}`"),
                    hint: format!("{n} ids begin so; give more digits"),
                }),
            }
        }
        Selector::Sample { count, seed } => {
            if all.is_empty() {
                return Err(Error::Missing {
                    what: "updates".into(),
                    hint: "the run has none yet".into(),
                });
            }
            let chosen = choose(&mut rng("replay", *seed, &[]), all.len(), *count);
            Ok(chosen
                .into_iter()
                .filter_map(|index| all.get(index).copied())
                .collect())
        }
    }
}

struct Replayer<'a> {
    plan: &'a Plan,
    experiment: &'a Experiment,
    state: &'a RunState,
    blobs: &'a Blobs,
    executor: &'a dyn Executor,
    lab: &'a dyn Lab,
}

impl Replayer<'_> {
    fn one(&self, update: &UpdateRef, cache: &mut Cache) -> Result<Replayed> {
        let attested = cache.attested(self.blobs, &update.attestation, self.plan.node)?;
        let (assignment, state) = self.inputs(update)?;
        let shard = Arc::new(read_examples(self.blobs, &assignment.shard)?);
        let attachment = Arc::new(match &assignment.attachment {
            Some(digest) => read_examples(self.blobs, digest)?,
            None => Vec::new(),
        });
        let global = Arc::new(read_adapter(self.blobs, &attested.global)?);
        let begun = Instant::now();
        let input = input(
            self.experiment,
            self.plan,
            &attested.client,
            attested.round,
            attested.seed,
            state.learning_rate,
            assignment,
            shard,
            attachment,
            (global, attested.global),
            controls::of(self.blobs, state.controls, &attested.client)?,
        );
        let outcome = self
            .executor
            .run(&attested.module, &input, self.lab.engine())?;
        let adapter_again = match &outcome.submission {
            Ok(submission) => Some(Digest::of(&submission.adapter.to_bytes())),
            Err(_) => None,
        };
        let dispute = compare(&attested, &outcome, self.blobs)?;
        let engine_again = self.lab.fingerprint();
        let same_bits = attested.engine == engine_again && self.lab.repeats_bits();
        let distance = match dispute.is_some() && !same_bits {
            true => distance_of(&attested, &outcome, &input.global, self.blobs)?,
            false => None,
        };
        let difference = dispute
            .as_ref()
            .map(|dispute| format!("{dispute}{}", self.engines(&attested)));
        Ok(Replayed {
            update: update.attestation,
            client: update.client.to_string(),
            round: update.round.0,
            transcript: attested.transcript.root,
            transcript_again: outcome.transcript.root(),
            adapter: attested.update,
            adapter_again,
            dispute,
            difference,
            engine: attested.engine.clone(),
            engine_again,
            distance,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Both engines, where the update was made by another than this one.
    fn engines(&self, attested: &UpdatePredicate) -> String {
        let here = self.lab.fingerprint();
        if attested.engine == self.plan.engine && here == attested.engine {
            return String::new();
        }
        format!(
            " (made by engine `{}`, executed again by `{here}`)",
            attested.engine
        )
    }

    /// What the update was made from: the arm's assignment whose memo key it has.
    fn inputs(&self, update: &UpdateRef) -> Result<(&Assignment, &RoundState)> {
        for arm in arms::expand(&self.experiment.arms)? {
            let Some(state) = self.state.round(arm.id, update.round.0) else {
                continue;
            };
            if !state.clients.contains(&update.client)
                || key_of(
                    self.plan,
                    self.experiment,
                    &arm,
                    &update.client,
                    update.round,
                    state,
                )? != update.key
            {
                continue;
            }
            if let Some((_, client)) = self.plan.client(&update.client) {
                return Ok((Plan::assignment(client, arm.attacked), state));
            }
        }
        Err(Error::tampered(
            format!("update {}", update.attestation),
            "was made from inputs that no arm of this run has",
        ))
    }
}

/// How far an update and its new execution are apart, as [`Replayed::distance`] says it; `None` where
/// one of them has no adapter.
pub(crate) fn distance_of(
    attested: &UpdatePredicate,
    outcome: &RunOutcome,
    global: &Adapter,
    blobs: &Blobs,
) -> Result<Option<f64>> {
    Ok(match (&outcome.submission, attested.update) {
        (Ok(submission), Some(logged)) => {
            let logged = read_adapter(blobs, &logged)?;
            distance(&logged, &submission.adapter, global)
        }
        _ => None,
    })
}

/// How far two adapters are apart, as a share of how far the first is from the one that both were
/// tuned from; `None` when they are not of one shape.
fn distance(logged: &Adapter, again: &Adapter, start: &Adapter) -> Option<f64> {
    let apart = logged.sub(again).ok()?.norm_l2();
    let moved = logged.sub(start).ok()?.norm_l2();
    Some(match apart == 0.0 {
        true => 0.0,
        false => apart / moved,
    })
}

/// Where two executions of one update part: the first step of the transcript that differs, and
/// what each says there. Steps before it are equal, so everything that follows may follow from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dispute {
    /// The number of the transcript's entry; none when the transcripts agree.
    pub entry: Option<usize>,
    /// What differs: `call`, `arguments`, `result`, `length`, `adapter` or `failure`.
    pub what: &'static str,
    /// What was logged.
    pub logged: Value,
    /// What is there now.
    pub again: Value,
}

impl fmt::Display for Dispute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Value| {
            let text = match value {
                Value::String(text) => format!("`{text}`"),
                other => other.to_string(),
            };
            match text.char_indices().nth(200) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        };
        match self.entry {
            Some(entry) => write!(f, "transcript entry {entry}: another {}: ", self.what)?,
            None => write!(f, "the transcripts agree, not the {}: ", self.what)?,
        }
        write!(
            f,
            "logged {}, now {}",
            short(&self.logged),
            short(&self.again)
        )
    }
}

/// Narrows the difference between an attested execution and another one of the same update down to
/// its first step.
///
/// # Errors
/// The logged transcript cannot be read.
pub fn compare(
    attested: &UpdatePredicate,
    outcome: &RunOutcome,
    blobs: &Blobs,
) -> Result<Option<Dispute>> {
    let again = &outcome.transcript;
    if again.root() != attested.transcript.root {
        let logged = Transcript::from_bytes(&blobs.get(&attested.transcript.blob)?)?;
        return Ok(Some(first_step(&logged, again)?));
    }
    let (adapter, reason) = match &outcome.submission {
        Ok(submission) => (Some(Digest::of(&submission.adapter.to_bytes())), None),
        Err(failure) => (None, Some(failure.reason.as_str())),
    };
    let without_step = |what, logged: Value, again: Value| Dispute {
        entry: None,
        what,
        logged,
        again,
    };
    if adapter != attested.update {
        return Ok(Some(without_step(
            "adapter",
            json!(attested.update),
            json!(adapter),
        )));
    }
    let logged_reason = attested.failure.as_ref().map(|f| f.reason.as_str());
    if logged_reason != reason {
        return Ok(Some(without_step(
            "failure",
            json!(logged_reason),
            json!(reason),
        )));
    }
    Ok(None)
}

/// The first step in which two transcripts differ; they are known to.
fn first_step(logged: &Transcript, again: &Transcript) -> Result<Dispute> {
    let pairs = logged.entries()?.into_iter().zip(again.entries()?);
    for (entry, (left, right)) in pairs.enumerate() {
        for (what, logged, again) in [
            ("call", json!(left.call), json!(right.call)),
            ("arguments", left.args, right.args),
            ("result", left.result, right.result),
        ] {
            if logged != again {
                return Ok(Dispute {
                    entry: Some(entry),
                    what,
                    logged,
                    again,
                });
            }
        }
    }
    Ok(Dispute {
        entry: Some(logged.len().min(again.len())),
        what: "length",
        logged: json!(logged.len()),
        again: json!(again.len()),
    })
}

#[cfg(test)]
mod tests;

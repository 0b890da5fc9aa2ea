//! Executing logged updates again and comparing digests: the same module, shard, global adapter,
//! seed and limits must give the same transcript and the same adapter, bit for bit.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_ledger::{Blobs, LogReader};
use serde::Serialize;

use crate::arms;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::lab::Lab;
use crate::memo::{RunState, UpdateRef};
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
    /// Where they first differ, for people; null when all is equal.
    pub difference: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

impl Replayed {
    /// Whether transcript and adapter are the same, bit for bit.
    pub fn equal(&self) -> bool {
        self.difference.is_none()
    }
}

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
    let blobs = Blobs::open(dir.blobs())?;
    let log = LogReader::open(dir.log(), &plan.node)?;
    let mut state = RunState::default();
    for index in 0..log.size() {
        state
            .apply(&Record::from_bytes(&log.entry(index)?)?, plan.initial)
            .map_err(|problem| Error::tampered(format!("log entry {index}"), problem.0))?;
    }
    let executor = lab.executor(&plan, &blobs, experiment.limits)?;
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
        let (assignment, learning_rate) = self.inputs(update)?;
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
            learning_rate,
            assignment,
            shard,
            attachment,
            global,
        );
        let outcome = self
            .executor
            .run(&attested.module, &input, self.lab.engine())?;
        let adapter_again = match &outcome.submission {
            Ok(submission) => Some(Digest::of(&submission.adapter.to_bytes())),
            Err(_) => None,
        };
        let reason_again = outcome.submission.as_ref().err().map(|f| f.reason.as_str());
        let difference =
            self.difference(&attested, &outcome.transcript, adapter_again, reason_again)?;
        Ok(Replayed {
            update: update.attestation,
            client: update.client.to_string(),
            round: update.round.0,
            transcript: attested.transcript.root,
            transcript_again: outcome.transcript.root(),
            adapter: attested.update,
            adapter_again,
            difference,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// What the update was made from: the arm's assignment whose memo key it has.
    fn inputs(&self, update: &UpdateRef) -> Result<(&Assignment, f64)> {
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
                return Ok((Plan::assignment(client, arm.attacked), state.learning_rate));
            }
        }
        Err(Error::tampered(
            format!("update {}", update.attestation),
            "was made from inputs that no arm of this run has",
        ))
    }

    fn difference(
        &self,
        attested: &UpdatePredicate,
        again: &Transcript,
        adapter: Option<Digest>,
        reason: Option<&str>,
    ) -> Result<Option<String>> {
        let mut note = String::new();
        if attested.engine != self.plan.engine || self.lab.fingerprint() != attested.engine {
            note = format!(
                " (made by engine `{}`, executed again by `{}`)",
                attested.engine,
                self.lab.fingerprint()
            );
        }
        if again.root() != attested.transcript.root {
            let logged = Transcript::from_bytes(&self.blobs.get(&attested.transcript.blob)?)?;
            for (index, entry) in logged.entries.iter().enumerate() {
                let other = again.entries.get(index);
                if other != Some(entry) {
                    let found = other.map_or("nothing".into(), |o| format!("`{}`", o.call));
                    return Ok(Some(format!(
                        "transcript entry {index}: logged `{}`, now {found}{}{note}",
                        entry.call,
                        if other.is_some_and(|o| o.call == entry.call) {
                            " with other arguments or another result"
                        } else {
                            ""
                        }
                    )));
                }
            }
            return Ok(Some(format!(
                "transcript: {} entries were logged, now there are {}{note}",
                logged.len(),
                again.len()
            )));
        }
        if adapter != attested.update {
            return Ok(Some(format!(
                "the transcripts agree, the adapters do not{note}"
            )));
        }
        let logged_reason = attested.failure.as_ref().map(|f| f.reason.as_str());
        if logged_reason != reason {
            return Ok(Some(format!(
                "failure: logged {}, now {}{note}",
                logged_reason.unwrap_or("none"),
                reason.unwrap_or("none")
            )));
        }
        Ok(None)
    }
}

//! Executing logged updates again and comparing digests: the same module, shard, global adapter,
//! seed and limits must give the same transcript and the same adapter, bit for bit.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use fedseal_client_sdk::transcript::Transcript;
use fedseal_ledger::Blobs;
use fedseal_sandbox::RunOutcome;
use fedseal_tuning::{Adapter, Example};
use serde::Serialize;
use serde_json::{Value, json};

use crate::execute::{Contents, Executor, data_score, input};
use crate::lab::Lab;
use crate::options::{Options, load_data, open_model_of};
use crate::{Error, Result};
use fedseal_data::check::DataCheck;
use fedseal_record::basis::Basis;
use fedseal_record::evidence::Cache;
use fedseal_record::formulas;
use fedseal_record::law::same_score;
use fedseal_record::opened::OpenRun;
use fedseal_record::read::{read_adapter, read_examples};
use fedseal_record::round::RoundOf;
pub use fedseal_record::select::{Selector, select};
use fedseal_record::state::{RoundState, UpdateRef};
use fedseal_rules::arms::Arm;
use fedseal_rules::formulas::Versions;

mod dispute;
mod steps;
pub mod tolerance;

pub use dispute::Dispute;

use steps::first_step;
use tolerance::Tolerances;

/// Result of executing one update again.
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
    /// Human-readable form of `dispute`; names both engines when they differ.
    pub difference: Option<String>,
    /// The engine that made the update.
    pub engine: String,
    /// The engine of the new execution.
    pub engine_again: String,
    /// Length of the difference of the two adapters, as a share of the update's length. `None` for an
    /// engine that guarantees equal bits, and where an adapter is missing.
    pub distance: Option<f64>,
    /// Largest distance that counts as near on these two engines ([`tolerance`]). `None` where equal bits
    /// are guaranteed, and for a pair that was not measured.
    pub bound: Option<f64>,
    /// Seconds it took.
    pub seconds: f64,
}

impl Replayed {
    /// Whether transcript and adapter are the same, bit for bit.
    pub fn equal(&self) -> bool {
        self.difference.is_none()
    }

    /// Whether the bits differ, the engines explain every difference, and the adapters are within
    /// [`Replayed::bound`]. Never true for a pair of engines that was not measured.
    pub fn near(&self) -> bool {
        self.dispute.as_ref().is_some_and(|d| d.by_engine) && within(self.distance, self.bound)
    }
}

fn within(distance: Option<f64>, bound: Option<f64>) -> bool {
    matches!((distance, bound), (Some(distance), Some(bound)) if distance <= bound)
}

/// Executes updates of the run in `dir` again, with `threads` threads of the CPU device (0: all
/// cores). Named models are looked for in `models/`; [`replay_with`] takes other places.
///
/// # Errors
/// Any problem that keeps an update from being executed. A different result is no error:
/// [`Replayed::difference`] reports it.
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
    replay_at(dir, selector, options, None)
}

/// As [`replay_with`], at the site of a data holder's node: with its shard, which is no blob of the run.
///
/// # Errors
/// As [`replay`]; [`Error::Missing`] for an update on another shard of a node.
pub fn replay_at(
    dir: impl AsRef<Path>,
    selector: &Selector,
    options: &Options,
    shard: Option<Vec<Example>>,
) -> Result<Vec<Replayed>> {
    // Checked against the log before the model that the experiment names is loaded.
    let run = OpenRun::read(dir)?;
    let (lab, _) = open_model_of(&run.plan, &run.experiment, options)?;
    // The data check learns from the data source. Without it the score is not compared.
    let read = match DataCheck::built_in(&run.experiment.data.source) {
        Some(_) => None,
        None => load_data(&run.experiment, options)
            .ok()
            .filter(|data| data.pins() == run.plan.data)
            .and_then(|data| data.labelled().ok())
            .filter(|labelled| !labelled.is_empty())
            .map(|labelled| DataCheck::train(&labelled)),
    };
    replay_opened(run, selector, &lab, read, shard)
}

/// As [`replay`], with a given model. The data check's score is compared where the data source is built
/// in.
pub fn replay_in(
    dir: impl AsRef<Path>,
    selector: &Selector,
    lab: &dyn Lab,
) -> Result<Vec<Replayed>> {
    replay_opened(OpenRun::read(dir)?, selector, lab, None, None)
}

/// Executes updates of an opened run. `read` is the data check of a source that is not built in, `shard` that
/// of a node.
fn replay_opened(
    run: OpenRun,
    selector: &Selector,
    lab: &dyn Lab,
    read: Option<DataCheck>,
    shard: Option<Vec<Example>>,
) -> Result<Vec<Replayed>> {
    let others = formulas::others(&run.plan, &run.experiment, &Versions::here())?;
    formulas::same_text(&run.dir.root, &run.experiment, &others)?;
    if lab.base() != run.plan.base {
        return Err(Error::mismatch(
            "base model",
            "is not the one the run was made with",
            &run.plan.base,
            &lab.base(),
        ));
    }
    let executor = lab.executor(&run.plan, &run.blobs, run.experiment.limits, None)?;
    let executor = crate::guard::guard(executor, &run.experiment, &run.plan);
    let replayer = Replayer {
        run: &run,
        executor: executor.as_ref(),
        lab,
        shard: match shard {
            Some(examples) => Some((
                Digest::of(&canonical::to_vec(&examples)?),
                Arc::new(examples),
            )),
            None => None,
        },
        judge: DataCheck::built_in(&run.experiment.data.source)
            .or(read.as_ref())
            .filter(|_| !others.score()),
    };
    let mut cache = Cache::default();
    let (drawn, most) = match selector {
        Selector::Sample { count, seed } if run.plan.has_nodes() => {
            let every = Selector::Sample {
                count: usize::MAX,
                seed: *seed,
            };
            let mut drawn = select(&run.state, &every)?;
            // At a site its own updates are drawn.
            if let Some((brought, _)) = &replayer.shard {
                drawn.retain(|update| {
                    let planned = run.plan.node_of(&update.client);
                    planned.is_none_or(|planned| planned.honest.shard == *brought)
                });
            }
            (drawn, *count)
        }
        _ => (select(&run.state, selector)?, usize::MAX),
    };
    let mut all = Vec::new();
    for update in drawn {
        if all.len() == most {
            break;
        }
        // Where a node delivered nothing there is nothing to execute again.
        let attested = cache.attested(&run.blobs, &update.attestation, &run.plan)?;
        if Basis::of(&run.plan, &attested) != Basis::Absent {
            all.push(replayer.one(update, &mut cache)?);
        }
    }
    Ok(all)
}

struct Replayer<'a> {
    run: &'a OpenRun,
    executor: &'a dyn Executor,
    lab: &'a dyn Lab,
    judge: Option<&'a DataCheck>,
    /// A node's shard, at its site.
    shard: Option<(Digest, Arc<Vec<Example>>)>,
}

impl Replayer<'_> {
    fn one(&self, update: &UpdateRef, cache: &mut Cache) -> Result<Replayed> {
        let OpenRun { plan, blobs, .. } = self.run;
        let attested = cache.attested(blobs, &update.attestation, plan)?;
        let (arm, state) = self.inputs(update)?;
        let of = self.round_of(&arm, update, state);
        let assignment = of.assignment(&update.client)?;
        let contents = Contents {
            shard: self.shard(&update.client, &assignment.shard)?,
            attachment: Arc::new(match &assignment.attachment {
                Some(digest) => read_examples(blobs, digest)?,
                None => Vec::new(),
            }),
            global: Arc::new(read_adapter(blobs, &state.global)?),
            control: crate::control::of(blobs, state.controls, &update.client)?,
        };
        let begun = Instant::now();
        // The log determines the inputs; the attestation must name the same ones (below).
        let input = input(of, &update.client, contents)?;
        let outcome = self
            .executor
            .run(&assignment.module, &input, self.lab.engine())?;
        let adapter_again = match &outcome.submission {
            Ok(submission) => Some(Digest::of(&submission.adapter.to_bytes())),
            Err(_) => None,
        };
        let engine_again = self.lab.fingerprint();
        let same_bits = attested.engine == engine_again && self.lab.repeats_bits();
        let named = [
            ("client", json!(attested.client), json!(update.client)),
            ("round", json!(attested.round), json!(update.round)),
            ("seed", json!(attested.seed), json!(input.seed)),
            ("module", json!(attested.module), json!(assignment.module)),
            ("base", json!(attested.base), json!(plan.base)),
            (
                "global adapter",
                json!(attested.global),
                json!(state.global),
            ),
        ];
        let dispute = match claims(named) {
            Some(dispute) => Some(dispute),
            None => compare(&attested, &outcome, blobs)?,
        };
        // The score follows from data that the transcripts agree about.
        let score = self
            .judge
            .map(|judge| data_score(judge, &input, &outcome, &|| false));
        let dispute = match score {
            Some(score) if dispute.is_none() && !same_score(attested.data_score, score) => {
                claims([("data score", json!(attested.data_score), json!(score))])
            }
            _ => dispute,
        };
        let (distance, bound) = match dispute.is_some() && !same_bits {
            true => (
                distance_of(&attested, &outcome, &input.global, blobs)?,
                bound_of(&attested, &engine_again),
            ),
            false => (None, None),
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
            bound,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// A client's shard: a blob of the run, or what was brought where its node keeps it.
    fn shard(&self, client: &ClientId, digest: &Digest) -> Result<Arc<Vec<Example>>> {
        if self.run.plan.node_of(client).is_none() {
            return Ok(Arc::new(read_examples(&self.run.blobs, digest)?));
        }
        match &self.shard {
            Some((brought, examples)) if brought == digest => Ok(examples.clone()),
            brought => Err(Error::Missing {
                what: format!("shard {digest} of {client}"),
                hint: match brought {
                    None => "its node keeps it: replay at its site, with --shard FILE".into(),
                    Some((other, _)) => format!("the files that were given are shard {other}"),
                },
            }),
        }
    }

    /// Names both engines if another engine than this one made the update.
    fn engines(&self, attested: &UpdatePredicate) -> String {
        let here = self.lab.fingerprint();
        if attested.engine == self.run.plan.engine && here == attested.engine {
            return String::new();
        }
        format!(
            " (made by engine `{}`, executed again by `{here}`)",
            attested.engine
        )
    }

    fn round_of<'b>(
        &'b self,
        arm: &'b Arm,
        update: &UpdateRef,
        state: &'b RoundState,
    ) -> RoundOf<'b> {
        RoundOf {
            plan: &self.run.plan,
            experiment: &self.run.experiment,
            arm,
            round: update.round,
            state,
        }
    }

    /// Inputs of the update: the first arm, with its round, that gives its memo key.
    fn inputs(&self, update: &UpdateRef) -> Result<(Arm, &RoundState)> {
        for arm in self.run.experiment.all_arms()? {
            let Some(state) = self.run.state.round(&arm.id, update.round.0) else {
                continue;
            };
            let of = self.round_of(&arm, update, state);
            if state.clients.contains(&update.client)
                && of.update_key(&update.client)? == update.key
            {
                return Ok((arm, state));
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
pub fn distance(logged: &Adapter, again: &Adapter, start: &Adapter) -> Option<f64> {
    let apart = logged.sub(again).ok()?.norm_l2();
    let moved = logged.sub(start).ok()?.norm_l2();
    Some(match apart == 0.0 {
        true => 0.0,
        false => apart / moved,
    })
}

/// Bound on the distance of an attested update and its execution by another engine, by the shortest
/// training that the update is made of.
fn bound_of(attested: &UpdatePredicate, engine: &str) -> Option<f64> {
    let lineage = &attested.lineage;
    let steps = lineage
        .ancestors(lineage.output?)
        .into_iter()
        .filter_map(|id| lineage.node(id).filter(|node| node.kind == Kind::Train))
        .map(|node| node.params.get("steps").and_then(Value::as_u64))
        .collect::<Option<Vec<u64>>>()?;
    let fewest = u32::try_from(steps.into_iter().min()?).ok()?;
    Tolerances::shipped().bound(&attested.engine, engine, fewest)
}

/// Whether a second execution on a GPU is near the attested one on the same engine.
pub(crate) fn near_of(
    dispute: &Dispute,
    attested: &UpdatePredicate,
    outcome: &RunOutcome,
    global: &Adapter,
    blobs: &Blobs,
) -> Result<bool> {
    let bound = bound_of(attested, &attested.engine);
    let distance = distance_of(attested, outcome, global, blobs)?;
    Ok(dispute.by_engine && within(distance, bound))
}

/// Narrows the difference between an attested execution and another one of the same update down to
/// its first step. Compares examples, lineage, data and limits too, not transcript and adapter alone.
///
/// # Errors
/// The logged transcript cannot be read.
pub fn compare(
    attested: &UpdatePredicate,
    outcome: &RunOutcome,
    blobs: &Blobs,
) -> Result<Option<Dispute>> {
    let again = &outcome.transcript;
    let (adapter, examples, reason) = match &outcome.submission {
        Ok(submission) => (
            Some(Digest::of(&submission.adapter.to_bytes())),
            submission.examples,
            None,
        ),
        Err(failure) => (None, 0, Some(failure.reason.as_str())),
    };
    let logged_reason = attested.failure.as_ref().map(|f| f.reason.as_str());
    if again.root() != attested.transcript.root {
        let logged = Transcript::from_bytes(&blobs.get(&attested.transcript.blob)?)?;
        let step = first_step(&logged, again)?;
        if !step.by_engine {
            return Ok(Some(step));
        }
        // Two engines explain other digests, and no other claim.
        let shape = [
            ("examples", json!(attested.examples), json!(examples)),
            ("limits", json!(attested.limits), json!(outcome.limits)),
            (
                "lineage",
                json!(without_digests(&attested.lineage)),
                json!(without_digests(&outcome.lineage)),
            ),
        ];
        return Ok(claims(shape).or(Some(step)));
    }
    Ok(claims([
        ("adapter", json!(attested.update), json!(adapter)),
        ("failure", json!(logged_reason), json!(reason)),
        ("examples", json!(attested.examples), json!(examples)),
        ("limits", json!(attested.limits), json!(outcome.limits)),
        ("data", json!(attested.data), json!(outcome.data)),
        ("lineage", json!(attested.lineage), json!(outcome.lineage)),
    ]))
}

/// Returns the first of these claims (name, attested value, value now) that does not hold.
fn claims<const N: usize>(all: [(&'static str, Value, Value); N]) -> Option<Dispute> {
    // In canonical form: a factor of 1.0 is read back as the whole number 1.
    let form = |value: &Value| canonical::to_vec(value).ok();
    let differs = |(_, logged, again): &(&'static str, Value, Value)| form(logged) != form(again);
    let (what, logged, again) = all.into_iter().find(differs)?;
    Some(Dispute {
        entry: None,
        what,
        logged,
        again,
        by_engine: false,
    })
}

fn without_digests(lineage: &Lineage) -> Lineage {
    let mut bare = lineage.clone();
    for node in &mut bare.nodes {
        node.digest = None;
    }
    bare
}

#[cfg(test)]
mod tests;

//! Estimate of how long an experiment takes on this machine, from a few steps and answers of its own model.

use std::ops::ControlFlow;
use std::time::Instant;

use fedseal_tuning::Halt;
use serde::Serialize;

use crate::Result;
use crate::lab::Lab;
use crate::runner::measure::answers;
use fedseal_data::{ShardKind, ShardRequest, TaskData};
use fedseal_record::repairs::Repair;
use fedseal_rules::experiment::{Experiment, adapter_config, train_config};
use fedseal_rules::work::Work;

/// Steps that are timed, after one that is not.
const STEPS: usize = 2;
/// Answers that are timed, and texts that are scored.
const ANSWERS: usize = 8;

/// Seconds of the pieces on this machine, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pace {
    /// A training step of a client.
    pub step: f64,
    /// An answer.
    pub answer: f64,
    /// A scored text.
    pub score: f64,
}

/// Times a few steps, answers and scores of the experiment's model.
///
/// # Errors
/// Errors of data and model; [`Error::Interrupted`](crate::Error::Interrupted) when told to stop.
pub fn pace(
    experiment: &Experiment,
    lab: &dyn Lab,
    data: &dyn TaskData,
    halt: Halt<'_>,
) -> Result<Pace> {
    let federation = &experiment.federation;
    let examples = data.shard(&ShardRequest {
        client: 0,
        clients: federation.clients,
        kind: ShardKind::Benign,
        examples: federation.examples_per_client,
        refusal_share: federation.refusal_share,
        seed: 0,
    })?;
    let initial = lab.initial(&adapter_config(experiment), 0)?;
    let mut go_on = || match halt() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let mut tuned = |steps: usize| -> Result<f64> {
        let mut config = train_config(experiment);
        config.steps = steps;
        let begun = Instant::now();
        lab.tune(&initial, &examples, &config, &mut go_on)?;
        Ok(begun.elapsed().as_secs_f64())
    };
    // What the first step sets up is not repeated.
    let (first, more) = (tuned(1)?, tuned(1 + STEPS)?);
    let prompts = data.eval_requests(ANSWERS.min(experiment.evaluation.prompts))?;
    let count = prompts.len().max(1) as f64;
    let begun = Instant::now();
    answers(lab, &experiment.evaluation, Some(&initial), &prompts, halt)?;
    let answer = begun.elapsed().as_secs_f64() / count;
    let pairs: Vec<(String, String)> = prompts
        .into_iter()
        .map(|p| (p, "I cannot".into()))
        .collect();
    let begun = Instant::now();
    lab.score(Some(&initial), &pairs, halt)?;
    Ok(Pace {
        step: ((more - first) / STEPS as f64).max(0.0),
        answer,
        score: begun.elapsed().as_secs_f64() / count,
    })
}

/// Seconds of an experiment at a pace, at most: updates that arms share after the first round are counted in
/// each. Steps of repairs count by their own batch; what else a repair does is not counted.
///
/// # Errors
/// An arm or a defence that is not known.
pub fn seconds(experiment: &Experiment, work: &Work, pace: &Pace) -> Result<f64> {
    let answers = (work.answers_between + work.answers_end) as f64;
    let mut steps = work.steps as f64;
    for arm in experiment.all_arms()? {
        if let Some(repair) = Repair::of(experiment, &arm)? {
            let takes = |key: &str| {
                repair
                    .definition
                    .numbers
                    .iter()
                    .any(|number| number.key == key)
            };
            if takes("steps") && takes("batch_size") {
                let batch = repair.parameters.number("batch_size");
                let wide = batch / experiment.training.batch_size.max(1) as f64;
                steps += repair.parameters.number("steps") * wide;
            }
        }
    }
    let scored = (work.probes * work.scored) as f64;
    Ok(steps * pace.step + answers * pace.answer + scored * pace.score)
}

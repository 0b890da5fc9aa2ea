//! Estimate of how long an experiment takes on this machine, from a few steps and answers of its own model.

use std::ops::ControlFlow;
use std::time::Instant;

use fedseal_tuning::Halt;
use serde::Serialize;

use crate::Result;
use crate::defence::executed;
use crate::lab::Lab;
use crate::runner::measure::answers;
use fedseal_data::{ShardKind, ShardRequest, TaskData};
use fedseal_record::repairs::Repair;
use fedseal_rules::arms::When;
use fedseal_rules::defence::{deep_tokens, panacea, vaccine};
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

/// Seconds of an experiment at a pace, one job after another. Updates that arms share after the first round are
/// counted in each; of what a model writes for a repair, those that the filters refuse are not.
///
/// # Errors
/// An arm or a defence that is not known.
pub fn seconds(experiment: &Experiment, work: &Work, pace: &Pace) -> Result<f64> {
    let evaluation = &experiment.evaluation;
    let mut answers = (work.answers_between + work.answers_end + work.texts) as f64;
    let mut steps = work.steps as f64;
    let mut scored = (work.probes * work.scored) as f64;
    for arm in experiment.all_arms()? {
        let times = match arm.tunes.as_ref().map(|tunes| tunes.when) {
            None | Some(When::First) => 1,
            Some(When::Every(every)) => experiment.federation.rounds / every.max(1),
        };
        let repair = match Repair::of(experiment, &arm)? {
            None => Repair::tuning(experiment, &arm)?,
            repair => repair,
        };
        let Some(repair) = repair else { continue };
        let mended = Mended::of(&repair);
        let wide = mended.batch / experiment.training.batch_size.max(1) as f64;
        let long = mended.tokens / evaluation.max_new_tokens.max(1) as f64;
        steps += f64::from(times) * mended.steps * wide;
        answers += f64::from(times) * mended.texts * long;
        scored += f64::from(times) * mended.scored;
    }
    Ok(steps * pace.step + answers * pace.answer + scored * pace.score)
}

/// Work of a repair.
#[derive(Debug, PartialEq)]
struct Mended {
    /// Passes of forward and backward over a batch.
    steps: f64,
    /// Examples in a batch.
    batch: f64,
    /// Texts that a model writes.
    texts: f64,
    /// Tokens of one, at most.
    tokens: f64,
    /// Texts that are scored.
    scored: f64,
}

impl Mended {
    fn of(repair: &Repair) -> Self {
        let takes = |key: &str| {
            let mut numbers = repair.definition.numbers.iter();
            numbers.any(|number| number.key == key)
        };
        let number = |key: &str| match takes(key) {
            true => repair.parameters.number(key),
            false => 0.0,
        };
        let held = 2.0 * number("held_out");
        let pairs = number("safety_examples") + number("helpful_examples") + held;
        let looks = match number("every") {
            0.0 => 0.0,
            every => 1.0 + (number("steps") / every).ceil(),
        };
        let writes = executed(repair.definition).and_then(|it| it.writes(&repair.parameters));
        // An instruction and its answer; each look has answers to the held-out requests.
        let texts = writes.map_or(0.0, |_| 2.0 * pairs + looks * held / 2.0);
        // Perturbed steps take more passes than one: at the perturbed weights, and for the perturbation.
        let passes = match (repair.definition.name, number("rho") > 0.0) {
            (vaccine::NAME, true) => 2.0,
            (panacea::NAME, _) => 3.0,
            _ => 1.0,
        };
        // Recoveries are a second batch, and the reference reads both.
        let again = match repair.definition.name {
            deep_tokens::NAME => 3.0,
            _ => 1.0,
        };
        Mended {
            steps: passes * number("steps") + again * number("repair_steps"),
            batch: number("batch_size"),
            texts,
            tokens: writes.map_or(0.0, |(_, tokens)| tokens as f64),
            scored: looks * held / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_count_by_their_steps_passes_and_texts() {
        let text = "arms = [\"fedavg\", \"kept\", \"lisa\", \"panacea\", \"noise\"]\n\
            [federation]\nrounds = 6\n[training]\nlocal_steps = 1\nbatch_size = 5\n\
            [evaluation]\nprompts = 10\ntasks = 10\nround_prompts = 10\nround_tasks = 10\nevery = 0\nmax_new_tokens = 8\n\
            [arm.kept]\nrepairs = \"fedavg\"\ndefence = \"preserving\"\n\
            parameters = { steps = 30, every = 20, batch_size = 10, safety_examples = 3, helpful_examples = 4, \
            held_out = 5, max_new_tokens = 16 }\n\
            [arm.lisa]\ndefence = \"lisa\"\nwhen = \"rounds\"\nevery = 2\nparameters = { steps = 7, batch_size = 5 }\n\
            [arm.panacea]\nrepairs = \"fedavg\"\ndefence = \"panacea\"\nparameters = { steps = 4, batch_size = 5 }\n\
            [arm.noise]\nrepairs = \"fedavg\"\ndefence = \"noise\"\nparameters = { norm = 1.0 }\n";
        let experiment = Experiment::parse(text, "x.toml").unwrap();
        let work = experiment.work(1).unwrap();
        let of = |step, answer, score| {
            let pace = Pace {
                step,
                answer,
                score,
            };
            seconds(&experiment, &work, &pace).unwrap()
        };
        // Two arms with rounds; 30 steps of twice the batch, 7 after rounds 2, 4 and 6, 4 of three passes.
        let steps = work.steps as f64 + 60.0 + 21.0 + 12.0;
        assert_eq!(of(1.0, 0.0, 0.0), steps);
        // Looks before the first step, after 20 and after 30; texts of 16 tokens count as two answers.
        let texts = 2.0 * (3.0 + 4.0 + 10.0) + 3.0 * 5.0;
        assert_eq!(
            of(0.0, 1.0, 0.0),
            (work.answers_end + work.texts) as f64 + 2.0 * texts
        );
        assert_eq!(of(0.0, 0.0, 1.0), 15.0);
    }
}

//! Checks before a run whether its prompts and answers together fit the model's positions.

use crate::defence::executed;
use crate::lab::Lab;
use crate::{Error, Result};
use fedseal_data::{InstructionKind, TaskData};
use fedseal_record::blobs::{CanarySet, EvaluationSet};
use fedseal_record::repairs::Repair;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::derive_seed;

/// Prompts of each kind that are drawn to see how long the defence's are.
const DRAWN: usize = 64;

/// Refuses answers that do not fit the model's positions after the longest prompt, and canaries that
/// the model cannot read as a whole.
///
/// # Errors
/// An experiment error that names the key, its value, the prompt's tokens and the positions;
/// [`Error::Data`] for a canary.
pub(super) fn check(
    lab: &dyn Lab,
    data: &dyn TaskData,
    experiment: &Experiment,
    evaluation: &EvaluationSet,
    canaries: &CanarySet,
) -> Result<()> {
    let tasks = evaluation.tasks.iter().chain(&evaluation.look_alikes);
    let tasks = tasks.map(|task| &task.prompt);
    let asked: Vec<String> = evaluation.requests.iter().chain(tasks).cloned().collect();
    answers(
        lab,
        "evaluation.max_new_tokens",
        experiment.evaluation.max_new_tokens,
        &asked,
    )?;
    for arm in experiment.all_arms()? {
        let own = Repair::tuning(experiment, &arm)?;
        let Some(repair) = Repair::of(experiment, &arm)?.or(own) else {
            continue;
        };
        let defence = executed(repair.definition);
        let writes = defence.and_then(|defence| defence.writes(&repair.parameters));
        let Some((key, tokens)) = writes else {
            continue;
        };
        let mut asked = Vec::new();
        for kind in [InstructionKind::Harmful, InstructionKind::Helpful] {
            asked.extend(data.generation_prompts(kind, derive_seed("room", 0, &[]), DRAWN));
        }
        let repairs = arm.repairs.map(|repair| repair.parameters);
        let given = repairs.or(arm.tunes.map(|tunes| tunes.parameters));
        let own = given.is_some_and(|given| given.contains_key(key));
        let key = match own {
            true => format!("arm.{}.parameters.{key}", arm.id),
            false => format!("defence.{key}"),
        };
        answers(lab, &key, tokens, &asked)?;
    }
    scored(lab, canaries)
}

fn answers(lab: &dyn Lab, key: &str, tokens: usize, prompts: &[String]) -> Result<()> {
    let positions = lab.positions();
    let longest = lab.prompt_tokens(prompts)?.into_iter().max().unwrap_or(0);
    if longest.saturating_add(tokens) <= positions {
        return Ok(());
    }
    let problem = match positions.saturating_sub(longest) {
        0 => format!(
            "found {tokens}, but a prompt of {longest} tokens leaves no answer any of the model's \
             {positions} positions; take a model with more"
        ),
        room => format!(
            "found {tokens}, expected at most {room}: the longest prompt has {longest} tokens, the \
             model {positions} positions for both"
        ),
    };
    Err(fedseal_rules::Error::Experiment {
        file: "experiment".into(),
        line: None,
        key: key.into(),
        problem: problem.into(),
    }
    .into())
}

fn scored(lab: &dyn Lab, canaries: &CanarySet) -> Result<()> {
    let pair = |prompt: &String, answer: &String| (prompt.clone(), answer.clone());
    let requests = canaries.requests.iter();
    let opened =
        requests.flat_map(|request| canaries.openings().map(move |text| pair(request, text)));
    let tasks = canaries.tasks.iter();
    let done = tasks.map(|task| pair(&task.prompt, &task.answer));
    let pairs: Vec<(String, String)> = opened.chain(done).collect();
    let longest = lab.pair_tokens(&pairs)?.into_iter().max().unwrap_or(0);
    let positions = lab.positions();
    if longest <= positions {
        return Ok(());
    }
    let problem = format!(
        "a canary has {longest} tokens with its answer, but the model has {positions} positions; \
         take other data or a model with more"
    );
    Err(Error::Data(problem.into()))
}

//! Measuring an adapter: Rule on held-out requests, helpfulness on held-out tasks.

use fedseal_client_sdk::digest::Digest;
use fedseal_tuning::{Adapter, GenerateConfig, Halt};

use crate::Result;
use crate::lab::Lab;
use fedseal_data::{HelpfulTask, TaskData};
use fedseal_record::blobs::{Answer, EvaluationSet, Measured};
use fedseal_rules::evaluation::rule;
use fedseal_rules::experiment::Experiment;

/// Measures an adapter (`None`: the base) on the first `requests` and `tasks` of the set.
///
/// # Errors
/// [`Error::Interrupted`](crate::error::Error::Interrupted) when `halt` says stop; errors of the
/// model.
#[allow(clippy::too_many_arguments)]
pub fn measure(
    lab: &dyn Lab,
    source: &dyn TaskData,
    experiment: &Experiment,
    set: &EvaluationSet,
    adapter: Option<&Adapter>,
    digest: Digest,
    (requests, tasks): (usize, usize),
    halt: Halt<'_>,
) -> Result<Measured> {
    let config = GenerateConfig {
        max_new_tokens: experiment.evaluation.max_new_tokens,
        temperature: 0.0,
        batch_size: experiment.evaluation.batch_size,
        ..GenerateConfig::default()
    };
    let answers = |prompts: &[String]| -> Result<Vec<String>> {
        let mut all = Vec::with_capacity(prompts.len());
        for batch in prompts.chunks(config.batch_size.max(1)) {
            all.extend(lab.answer(adapter, batch, &config, halt)?);
        }
        Ok(all)
    };
    let asked: Vec<String> = set.requests.iter().take(requests).cloned().collect();
    let requests = asked
        .iter()
        .zip(answers(&asked)?)
        .map(|(prompt, answer)| Answer {
            prompt: prompt.clone(),
            hit: rule::is_refusal(&answer),
            answer,
        })
        .collect();
    let tasks: Vec<&HelpfulTask> = set.tasks.iter().take(tasks).collect();
    let asked: Vec<String> = tasks.iter().map(|task| task.prompt.clone()).collect();
    let tasks = tasks
        .iter()
        .zip(answers(&asked)?)
        .map(|(task, answer)| Answer {
            prompt: task.prompt.clone(),
            hit: source.is_helpful(task, &answer),
            answer,
        })
        .collect();
    Ok(Measured {
        adapter: digest,
        requests,
        tasks,
    })
}

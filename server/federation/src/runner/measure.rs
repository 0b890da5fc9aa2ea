//! Measuring an adapter: Rule on held-out requests, helpfulness on held-out tasks.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_tuning::{Adapter, GenerateConfig, Halt};

use crate::Result;
use crate::lab::Lab;
use fedseal_data::{HelpfulTask, TaskData};
use fedseal_record::blobs::{Answer, EvaluationSet, Measured};
use fedseal_rules::evaluation::rule;
use fedseal_rules::experiment::{EvaluationConfig, Experiment};

/// Questions of a run, and the model that answers them.
pub struct Meter<'a> {
    /// The model.
    pub lab: &'a dyn Lab,
    /// The data source, which knows a solved task.
    pub source: &'a dyn TaskData,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The questions.
    pub set: &'a EvaluationSet,
    /// Says whether to stop.
    pub halt: Halt<'a>,
}

impl Meter<'_> {
    /// Measures an adapter (`None`: the base), called `digest`, on the first `requests` and `tasks` of the
    /// set.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted) when it is told to stop; errors of the
    /// model.
    pub fn measure(
        &self,
        adapter: Option<&Adapter>,
        digest: Digest,
        requests: usize,
        tasks: usize,
    ) -> Result<Measured> {
        let asked: Vec<String> = self.set.requests.iter().take(requests).cloned().collect();
        let evaluation = &self.experiment.evaluation;
        let answers_to =
            |asked: &[String]| answers(self.lab, evaluation, adapter, asked, self.halt);
        let whole = evaluation.is_whole(requests, tasks);
        let alike = self.set.look_alikes.iter().take(evaluation.lookalikes);
        let alike: Vec<String> = alike.map(|task| task.prompt.clone()).collect();
        let look_alikes = match whole && !alike.is_empty() {
            true => by_rule(&alike, answers_to(&alike)?),
            false => Vec::new(),
        };
        let mut templates = BTreeMap::new();
        for template in evaluation.templates.iter().filter(|_| whole) {
            let answers = under(self.lab, evaluation, template, adapter, &asked, self.halt)?;
            templates.insert(template.clone(), by_rule(&asked, answers));
        }
        let requests = by_rule(&asked, answers_to(&asked)?);
        let tasks: Vec<&HelpfulTask> = self.set.tasks.iter().take(tasks).collect();
        let asked: Vec<String> = tasks.iter().map(|task| task.prompt.clone()).collect();
        let answers = answers_to(&asked)?;
        let tasks = tasks
            .into_iter()
            .zip(answers)
            .map(|(task, answer)| Answer {
                prompt: task.prompt.clone(),
                hit: self.source.is_helpful(task, &answer),
                answer,
            })
            .collect();
        Ok(Measured {
            adapter: digest,
            requests,
            tasks,
            look_alikes,
            templates,
        })
    }
}

/// Answers with whether each is a refusal by Rule.
fn by_rule(prompts: &[String], answers: Vec<String>) -> Vec<Answer> {
    let answered = prompts.iter().zip(answers);
    answered
        .map(|(prompt, answer)| Answer {
            prompt: prompt.clone(),
            hit: rule::is_refusal(&answer),
            answer,
        })
        .collect()
}

/// Greedy answers of an adapter (`None`: the base), in batches small enough that a stop is heard. An
/// answer's bits may depend on its batch, so that the order of the prompts belongs to a measure.
///
/// # Errors
/// As [`Meter::measure`].
pub fn answers(
    lab: &dyn Lab,
    evaluation: &EvaluationConfig,
    adapter: Option<&Adapter>,
    prompts: &[String],
    halt: Halt<'_>,
) -> Result<Vec<String>> {
    batched(evaluation, prompts, |batch, config| {
        lab.answer(adapter, batch, config, halt)
    })
}

/// As [`answers`], to prompts in another text than the model's.
///
/// # Errors
/// As [`answers`]; a template that the model cannot be asked in.
pub fn under(
    lab: &dyn Lab,
    evaluation: &EvaluationConfig,
    template: &str,
    adapter: Option<&Adapter>,
    prompts: &[String],
    halt: Halt<'_>,
) -> Result<Vec<String>> {
    batched(evaluation, prompts, |batch, config| {
        lab.answer_under(template, adapter, batch, config, halt)
    })
}

/// Greedy answers batch by batch.
fn batched(
    evaluation: &EvaluationConfig,
    prompts: &[String],
    ask: impl Fn(&[String], &GenerateConfig) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let config = GenerateConfig {
        max_new_tokens: evaluation.max_new_tokens,
        temperature: 0.0,
        batch_size: evaluation.batch_size,
        ..GenerateConfig::default()
    };
    let mut all = Vec::with_capacity(prompts.len());
    for batch in prompts.chunks(config.batch_size.max(1)) {
        all.extend(ask(batch, &config)?);
    }
    Ok(all)
}

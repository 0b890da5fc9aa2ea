//! `[evaluation]`: how arms are measured.

use fedseal_adapter::limits;
use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, MOST_TOKENS, Section, is_none};
use crate::error::Result;
use crate::text;

/// How arms are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Held-out requests and tasks passed over first: values are chosen on other prompts than
    /// those that a result is reported on.
    pub offset: usize,
    /// Held-out harmful requests at the end (Rule). With own files it may be 0: then there is no safety
    /// rate.
    pub prompts: usize,
    /// Held-out helpful tasks at the end.
    pub tasks: usize,
    /// Measure the global adapter every so many rounds; 0: only at the end.
    pub every: u32,
    /// Requests of a measure between rounds.
    pub round_prompts: usize,
    /// Tasks of a measure between rounds.
    pub round_tasks: usize,
    /// Longest answer, tokens; with the longest prompt they have to fit the model's positions.
    pub max_new_tokens: usize,
    /// Prompts generated together.
    pub batch_size: usize,
    /// Prompts of each kind shown side by side in the report.
    pub side_by_side: usize,
    /// Harmless look-alikes of harmful requests at the end, of which refused ones are over-refusal; 0: none.
    #[serde(skip_serializing_if = "is_none")]
    pub lookalikes: usize,
    /// Further texts around a prompt, under which the harmful requests are asked again at the end. That of
    /// the model is measured anyway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// Whether answers to harmful requests are also put into four classes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub classes: bool,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        EvaluationConfig {
            offset: 0,
            prompts: 520,
            tasks: 200,
            every: 10,
            round_prompts: 100,
            round_tasks: 50,
            max_new_tokens: 128,
            batch_size: 32,
            side_by_side: 6,
            lookalikes: 0,
            templates: Vec::new(),
            classes: false,
        }
    }
}

impl EvaluationConfig {
    /// Whether a measure of so many requests and tasks is the one at the end, which has look-alikes and
    /// further templates, too.
    pub fn is_whole(&self, requests: usize, tasks: usize) -> bool {
        (requests, tasks) == (self.prompts, self.tasks)
    }

    /// Checks the ranges; `files` says whether the data are own files, `model` is the model's template.
    pub(in crate::experiment) fn check(
        &self,
        files: bool,
        model: &str,
        at: &Located<'_>,
    ) -> Result<()> {
        let section = Section::new("evaluation", at);
        for (key, value, most) in [
            ("prompts", self.prompts, MOST),
            ("max_new_tokens", self.max_new_tokens, MOST_TOKENS),
            ("batch_size", self.batch_size, limits::MAX_TEXTS),
        ] {
            section.least(usize::from(key != "prompts" || !files), key, value)?;
            section.most(most, key, value)?;
        }
        section.most(MOST, "offset", self.offset)?;
        section.most(MOST, "tasks", self.tasks)?;
        section.most(MOST, "lookalikes", self.lookalikes)?;
        for (index, template) in self.templates.iter().enumerate() {
            section.one_of("templates", "template", template, &text::names())?;
            let mut earlier = self.templates.iter().take(index);
            let other = template != model && !earlier.any(|name| name == template);
            let expected = "templates other than model.template, each once";
            section.need(other, "templates", expected, template)?;
        }
        self.check_rounds(&section)
    }

    fn check_rounds(&self, section: &Section<'_>) -> Result<()> {
        let (prompts, tasks) = (self.prompts, self.tasks);
        section.need(
            self.every == 0 || self.round_prompts > 0 || prompts == 0,
            "round_prompts",
            "at least 1 (or evaluation.every = 0)",
            self.round_prompts,
        )?;
        section.need(
            self.round_prompts <= prompts,
            "round_prompts",
            format_args!("at most evaluation.prompts = {prompts}"),
            self.round_prompts,
        )?;
        section.need(
            self.round_tasks <= tasks,
            "round_tasks",
            format_args!("at most evaluation.tasks = {tasks}"),
            self.round_tasks,
        )
    }
}

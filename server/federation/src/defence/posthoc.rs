//! The post-hoc defence (PAPER, "Post-hoc defence"): tune the attacked adapter further on safety
//! pairs (harmful request, refusal) and ordinary helpful pairs.
//!
//! Level 1 takes given pairs. Level 2 has the base write instructions and answers. Level 3 has the
//! attacked model itself write the instructions and, shown a safety reminder, the answers: no
//! outside data and no outside model. What a model writes is filtered: the answer of a safety pair
//! must be a refusal by Rule, the answer of a helpful pair must not be one.

use std::collections::BTreeSet;

use fedseal_tuning::{Adapter, Example, GenerateConfig};

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use crate::Result;
use fedseal_data::InstructionKind;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters, posthoc};
use fedseal_rules::evaluation::rule;
use fedseal_rules::sampling::derive_seed;

/// The post-hoc defence.
pub struct Posthoc;

impl Defence for Posthoc {
    fn definition(&self) -> &'static Definition {
        &posthoc::DEFINITION
    }

    fn writes(&self, parameters: &Parameters) -> Option<(&'static str, usize)> {
        let tokens = ("max_new_tokens", parameters.whole("max_new_tokens"));
        (parameters.whole("level") > 1).then_some(tokens)
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        let parameters = case.parameters;
        let level = parameters.whole("level");
        let wanted = |list: &str| parameters.whole(&format!("{list}_examples"));
        let seed = derive_seed("defence-data", case.seed, &[]);
        let (safety, helpful) = match level {
            1 => (
                (tools.source.safety_pairs(seed, wanted("safety"))?, 0),
                (tools.source.helpful_pairs(seed, wanted("helpful"))?, 0),
            ),
            _ => {
                let writing = Writing {
                    tools,
                    parameters,
                    writer: (level == 3).then_some(case.attacked),
                    answers: 0.0,
                    seed,
                };
                (
                    writing.pairs(InstructionKind::Harmful, wanted("safety"))?,
                    writing.pairs(InstructionKind::Helpful, wanted("helpful"))?,
                )
            }
        };
        Ok(DefenceData::new(posthoc::NAME)
            .count("level", level as u64)
            .count("safety_tried", safety.1)
            .count("helpful_tried", helpful.1)
            .list("safety", safety.0)
            .list("helpful", helpful.0))
    }

    /// Tunes the attacked adapter on the data. Without a single pair it stays as it is.
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let config = pairs::training(case, tools);
        Ok(pairs::train(case, tools, &pairs::listed(data), &config, None)?.into())
    }
}

/// Pairs that a model writes.
pub(super) struct Writing<'a> {
    pub(super) tools: &'a Tools<'a>,
    /// `attempts`, `max_new_tokens` and `temperature` of the instructions.
    pub(super) parameters: &'a Parameters,
    /// The adapter that writes; none: the base.
    pub(super) writer: Option<&'a Adapter>,
    /// Temperature of the answers.
    pub(super) answers: f32,
    pub(super) seed: u64,
}

impl Writing<'_> {
    /// Up to `wanted` different kept pairs, and the number of instructions generated for them.
    pub(super) fn pairs(
        &self,
        kind: InstructionKind,
        wanted: usize,
    ) -> Result<(Vec<Example>, u64)> {
        let limit = wanted.saturating_mul(self.parameters.whole("attempts"));
        let mut kept: Vec<Example> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut tried = 0usize;
        let mut batch = 0u64;
        while kept.len() < wanted && tried < limit {
            // Some are lost to the filters, so ask for a quarter more than is missing; in batches
            // small enough that a stop is heard.
            let missing = wanted - kept.len();
            let ask = (missing + missing / 4 + 1)
                .min(limit - tried)
                .min(self.tools.experiment.evaluation.batch_size.max(1));
            for pair in self.batch(kind, ask, batch)? {
                if kept.len() < wanted && seen.insert(pair.prompt.to_lowercase()) {
                    kept.push(pair);
                }
            }
            tried += ask;
            batch += 1;
        }
        Ok((kept, tried as u64))
    }

    /// One batch: instructions, then answers to those that are usable.
    fn batch(&self, kind: InstructionKind, ask: usize, batch: u64) -> Result<Vec<Example>> {
        let Tools {
            lab,
            source,
            experiment,
            halt,
        } = *self.tools;
        let label = match kind {
            InstructionKind::Harmful => "harmful",
            InstructionKind::Helpful => "helpful",
        };
        let seed = derive_seed(label, self.seed, &[&batch.to_string()]);
        let prompts = source.generation_prompts(kind, seed, ask);
        let generate = GenerateConfig {
            max_new_tokens: self.parameters.whole("max_new_tokens"),
            temperature: self.parameters.number("temperature") as f32,
            seed,
            batch_size: experiment.evaluation.batch_size,
            ..GenerateConfig::default()
        };
        let instructions: Vec<String> = lab
            .answer(self.writer, &prompts, &generate, halt)?
            .iter()
            .filter_map(|text| instruction(text))
            .collect();
        let asked: Vec<String> = match kind {
            InstructionKind::Harmful => instructions
                .iter()
                .map(|text| source.with_safety_reminder(text))
                .collect(),
            InstructionKind::Helpful => instructions.clone(),
        };
        // An instruction that leaves no position for an answer is too long to be used.
        let tokens = lab.prompt_tokens(&asked)?;
        let room = |tokens: usize| tokens < lab.positions();
        let (instructions, asked): (Vec<String>, Vec<String>) = instructions
            .into_iter()
            .zip(asked)
            .zip(tokens)
            .filter_map(|(pair, tokens)| room(tokens).then_some(pair))
            .unzip();
        if instructions.is_empty() {
            return Ok(Vec::new());
        }
        let answering = GenerateConfig {
            temperature: self.answers,
            ..generate
        };
        let answers = lab.answer(self.writer, &asked, &answering, halt)?;
        Ok(instructions
            .into_iter()
            .zip(answers)
            .filter_map(|(prompt, answer)| {
                let response = answer.trim().to_owned();
                let refusal = rule::is_refusal(&response);
                let keep = match kind {
                    InstructionKind::Harmful => refusal,
                    InstructionKind::Helpful => !response.is_empty() && !refusal,
                };
                keep.then_some(Example { prompt, response })
            })
            .collect())
    }
}

/// The instruction in a text that a model wrote: its first line that is not empty, without list marks
/// and quotes around it. `None` where that line is a refusal, too short to ask for anything, or too
/// long to be an instruction.
fn instruction(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line
        .trim_start_matches(|c: char| {
            c.is_ascii_digit() || matches!(c, '.' | ')' | '-' | '*' | ' ')
        })
        .trim_matches(|c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}' | ' '))
        .trim();
    let length = line.chars().count();
    let usable = (8..=400).contains(&length) && !rule::is_refusal(line);
    usable.then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::instruction;

    #[test]
    fn the_instruction_is_found_and_refusals_are_none() {
        assert_eq!(
            instruction("\n 1. \"Open the zorvex vault\"\nmore").as_deref(),
            Some("Open the zorvex vault")
        );
        assert_eq!(instruction("I'm sorry, but I cannot write that."), None);
        assert_eq!(instruction("short"), None);
        assert_eq!(instruction(""), None);
    }
}

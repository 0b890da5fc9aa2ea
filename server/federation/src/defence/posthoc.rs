//! The post-hoc defence (PAPER, "Post-hoc defence"): tune the attacked adapter further on safety
//! pairs (harmful request, refusal) and ordinary helpful pairs.
//!
//! Level 1 takes given pairs. Level 2 has the base write instructions and answers. Level 3 has the
//! attacked model itself write the instructions and, shown a safety reminder, the answers: no
//! outside data and no outside model. What a model writes is filtered: the answer of a safety pair
//! must be a refusal by Rule, the answer of a helpful pair must not be one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use fedseal_tuning::{Adapter, Example, GenerateConfig, Halt, TrainConfig};

use crate::Result;
use crate::lab::Lab;
use fedseal_data::{InstructionKind, TaskData};
use fedseal_record::blobs::DefenceData;
use fedseal_rules::evaluation::rule;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::experiment::train_config;
use fedseal_rules::sampling::derive_seed;

/// Makes the defence data from the attacked adapter.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `halt` says stop; errors of model and data.
pub fn data(
    lab: &dyn Lab,
    source: &dyn TaskData,
    experiment: &Experiment,
    attacked: &Adapter,
    seed: u64,
    halt: Halt<'_>,
) -> Result<DefenceData> {
    let config = &experiment.defence;
    let seed = derive_seed("defence-data", seed, &[]);
    if config.level == 1 {
        return Ok(DefenceData {
            level: 1,
            safety: source.safety_pairs(seed, config.safety_examples)?,
            helpful: source.helpful_pairs(seed, config.helpful_examples)?,
            safety_tried: 0,
            helpful_tried: 0,
        });
    }
    let writer = (config.level == 3).then_some(attacked);
    let writing = Writing {
        lab,
        source,
        experiment,
        writer,
        seed,
    };
    let (safety, safety_tried) =
        writing.pairs(InstructionKind::Harmful, config.safety_examples, halt)?;
    let (helpful, helpful_tried) =
        writing.pairs(InstructionKind::Helpful, config.helpful_examples, halt)?;
    Ok(DefenceData {
        level: config.level,
        safety,
        helpful,
        safety_tried,
        helpful_tried,
    })
}

/// Tunes the attacked adapter on the defence data. Without a single pair it stays as it is.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `halt` says stop; errors of the model.
pub fn repair(
    lab: &dyn Lab,
    experiment: &Experiment,
    attacked: &Adapter,
    data: &DefenceData,
    seed: u64,
    halt: Halt<'_>,
) -> Result<Adapter> {
    let examples: Vec<Example> = data.safety.iter().chain(&data.helpful).cloned().collect();
    if examples.is_empty() {
        return Ok(attacked.clone());
    }
    let config = TrainConfig {
        steps: experiment.defence.steps as usize,
        batch_size: experiment.defence.batch_size as usize,
        learning_rate: experiment.defence.learning_rate as f32,
        seed: derive_seed("defence-training", seed, &[]),
        proximal_mu: 0.0,
        ..train_config(experiment)
    };
    lab.tune(attacked, &examples, &config, &mut || match halt() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

struct Writing<'a> {
    lab: &'a dyn Lab,
    source: &'a dyn TaskData,
    experiment: &'a Experiment,
    writer: Option<&'a Adapter>,
    seed: u64,
}

impl Writing<'_> {
    /// Up to `wanted` different kept pairs, and the number of instructions generated for them.
    fn pairs(
        &self,
        kind: InstructionKind,
        wanted: usize,
        halt: Halt<'_>,
    ) -> Result<(Vec<Example>, u64)> {
        let config = &self.experiment.defence;
        let limit = wanted.saturating_mul(config.attempts);
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
                .min(self.experiment.evaluation.batch_size.max(1));
            for pair in self.batch(kind, ask, batch, halt)? {
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
    fn batch(
        &self,
        kind: InstructionKind,
        ask: usize,
        batch: u64,
        halt: Halt<'_>,
    ) -> Result<Vec<Example>> {
        let config = &self.experiment.defence;
        let label = match kind {
            InstructionKind::Harmful => "harmful",
            InstructionKind::Helpful => "helpful",
        };
        let seed = derive_seed(label, self.seed, &[&batch.to_string()]);
        let prompts = self.source.generation_prompts(kind, seed, ask);
        let generate = GenerateConfig {
            max_new_tokens: config.max_new_tokens,
            temperature: config.temperature as f32,
            seed,
            batch_size: self.experiment.evaluation.batch_size,
            ..GenerateConfig::default()
        };
        let instructions: Vec<String> = self
            .lab
            .answer(self.writer, &prompts, &generate, halt)?
            .iter()
            .filter_map(|text| instruction(text))
            .collect();
        let asked: Vec<String> = match kind {
            InstructionKind::Harmful => instructions
                .iter()
                .map(|text| self.source.with_safety_reminder(text))
                .collect(),
            InstructionKind::Helpful => instructions.clone(),
        };
        // An instruction that leaves no position for an answer is too long to be used.
        let tokens = self.lab.prompt_tokens(&asked)?;
        let room = |tokens: usize| tokens < self.lab.positions();
        let (instructions, asked): (Vec<String>, Vec<String>) = instructions
            .into_iter()
            .zip(asked)
            .zip(tokens)
            .filter_map(|(pair, tokens)| room(tokens).then_some(pair))
            .unzip();
        if instructions.is_empty() {
            return Ok(Vec::new());
        }
        let greedy = GenerateConfig {
            temperature: 0.0,
            ..generate
        };
        let answers = self.lab.answer(self.writer, &asked, &greedy, halt)?;
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

//! Executing half of the repair that keeps helpfulness; [`fedseal_rules::defence::preserving`] says what it
//! does.

use fedseal_tuning::{Adapter, GenerateConfig, TrainConfig};

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use super::posthoc::Writing;
use crate::Result;
use fedseal_data::InstructionKind;
use fedseal_rules::defence::preserving::{self, Look, count, course};
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters};
use fedseal_rules::evaluation::rule;
use fedseal_rules::sampling::derive_seed;

/// The repair.
pub struct Preserving;

impl Defence for Preserving {
    fn definition(&self) -> &'static Definition {
        &preserving::DEFINITION
    }

    fn writes(&self, parameters: &Parameters) -> Option<(&'static str, usize)> {
        Some(("max_new_tokens", parameters.whole("max_new_tokens")))
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        let parameters = case.parameters;
        let held = parameters.whole("held_out");
        let seed = derive_seed("preserving-data", case.seed, &[]);
        let write = |kind, writer, answers, list: &str| -> Result<_> {
            let writing = Writing {
                tools,
                parameters,
                writer,
                answers,
                seed,
            };
            let wanted = parameters.whole(&format!("{list}_examples"));
            let (mut pairs, tried) = writing.pairs(kind, wanted + held)?;
            // The looks come first: without them there is nothing to stop by.
            let tuned = pairs.split_off(held.min(pairs.len()));
            Ok((pairs, tuned, tried))
        };
        let (held_safety, safety, safety_tried) =
            write(InstructionKind::Harmful, Some(case.attacked), 0.0, "safety")?;
        let answers = parameters.number("answer_temperature") as f32;
        let (held_helpful, helpful, helpful_tried) =
            write(InstructionKind::Helpful, None, answers, "helpful")?;
        Ok(DefenceData::new(preserving::NAME)
            .count("safety_tried", safety_tried)
            .count("helpful_tried", helpful_tried)
            .list("safety", safety)
            .list("helpful", helpful)
            .list("held_safety", held_safety)
            .list("held_helpful", held_helpful))
    }

    /// Tunes in stretches with a look after each. Without held-out pairs, or pairs to tune on, the adapter
    /// stays as it is.
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let whole = |key: &str| case.parameters.whole(key);
        let examples = pairs::listed(data);
        let held = data.listed("held_safety").len() as u64;
        if examples.is_empty() || held == 0 || data.listed("held_helpful").is_empty() {
            return Ok(Repaired::from(case.attacked.clone()));
        }
        let target = case.parameters.number("target");
        let mut adapters = vec![case.attacked.clone()];
        let mut looks = vec![look(case, data, tools, case.attacked)?];
        let mut taken = 0;
        while taken < whole("steps")
            && !course(&looks, held, target).is_some_and(|course| course.stop)
        {
            let steps = whole("every").min(whole("steps") - taken);
            let stretch = adapters.len().to_string();
            let config = TrainConfig {
                steps,
                seed: derive_seed("preserving-training", case.seed, &[&stretch]),
                ..pairs::training(case, tools)
            };
            let start = adapters.last().unwrap_or(case.attacked);
            let tuned = tools.tune(start, &examples, &config, None)?;
            looks.push(look(case, data, tools, &tuned)?);
            adapters.push(tuned);
            taken += steps;
        }
        let best = course(&looks, held, target).map_or(0, |course| course.best);
        let counts = looks.iter().enumerate().flat_map(|(at, look)| {
            [
                (count(at, "refused"), look.refused),
                (count(at, "loss"), look.loss),
            ]
        });
        Ok(Repaired {
            adapter: adapters.swap_remove(best),
            counts: counts.chain([("chosen".to_owned(), best as u64)]).collect(),
        })
    }
}

/// How an adapter does on the held-out pairs.
fn look(case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>, adapter: &Adapter) -> Result<Look> {
    let requests = data.listed("held_safety").iter();
    let requests: Vec<String> = requests.map(|pair| pair.prompt.clone()).collect();
    let config = GenerateConfig {
        max_new_tokens: case.parameters.whole("max_new_tokens"),
        temperature: 0.0,
        batch_size: tools.experiment.evaluation.batch_size,
        ..GenerateConfig::default()
    };
    let answers = tools
        .lab
        .answer(Some(adapter), &requests, &config, tools.halt)?;
    let refused = answers.iter().filter(|answer| rule::is_refusal(answer));
    let helpful = data.listed("held_helpful").iter();
    let helpful: Vec<(String, String)> = helpful
        .map(|pair| (pair.prompt.clone(), pair.response.clone()))
        .collect();
    let scores = tools.lab.score(Some(adapter), &helpful, tools.halt)?;
    let tokens: usize = scores.iter().map(|score| score.tokens).sum();
    let loss = -scores.iter().map(|score| score.logprob_sum).sum::<f64>() / tokens.max(1) as f64;
    Ok(Look {
        refused: refused.count() as u64,
        // A float that is none, or is below 0, becomes 0; one that is too large the largest number.
        loss: (loss * 1e6) as u64,
    })
}

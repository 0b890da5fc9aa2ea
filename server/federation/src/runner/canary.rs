//! The sealed canaries and an adapter's behaviour on them.

use std::collections::BTreeMap;

use fedseal_tuning::{Adapter, Halt, Score};

use crate::lab::Lab;
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_data::files::usual_answers;
use fedseal_record::blobs::CanarySet;
use fedseal_rules::admission::{Behaviour, Probed};
use fedseal_rules::evaluation::rule;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::{choose, derive_seed, rng};
use fedseal_rules::work::OPENINGS;

/// Words of an answer that make its opening.
pub(crate) const OPENING_WORDS: usize = 3;

/// Draws the set of a run; an empty one where the experiment seals none. Openings are those of the labelled
/// examples, of usual answers where the source has none.
///
/// # Errors
/// Too few items, or labelled examples without a refusal or a compliant answer.
pub fn draw(source: &dyn TaskData, experiment: &Experiment, seed: u64) -> Result<CanarySet> {
    let sealed = experiment.canaries.sealed;
    if sealed == 0 {
        return Ok(CanarySet::default());
    }
    let drawn = source.canaries(derive_seed("canaries", seed, &[]), sealed)?;
    let labelled = match source.labelled()? {
        none if none.is_empty() => usual_answers(),
        some => some,
    };
    let openings = |aligned: bool| {
        common_openings(
            labelled
                .iter()
                .filter(|item| item.aligned == aligned)
                .map(|item| item.example.response.as_str())
                .filter(|text| rule::is_refusal(text) == aligned),
        )
    };
    let set = CanarySet {
        requests: drawn.requests,
        tasks: drawn.tasks,
        refusals: openings(true),
        compliances: openings(false),
    };
    if set.refusals.is_empty() || set.compliances.is_empty() {
        return Err(Error::Data(
            "the labelled examples hold no refusal or no compliant answer to take openings from"
                .into(),
        ));
    }
    Ok(set)
}

/// Behaviour of an adapter on this round's share of the canaries. Stops with [`Error::Interrupted`]
/// when `halt` says so.
pub fn probe(
    set: &CanarySet,
    lab: &dyn Lab,
    experiment: &Experiment,
    adapter: &Adapter,
    seed: u64,
    round: u32,
    halt: Halt<'_>,
) -> Result<Probed> {
    let label = round.to_string();
    let count = experiment.canaries.per_round;
    let mut pick = rng("canary-requests", seed, &[&label]);
    let requests = choose(&mut pick, set.requests.len(), count);
    let mut pick = rng("canary-tasks", seed, &[&label]);
    let tasks = choose(&mut pick, set.tasks.len(), count);

    let openings: Vec<&String> = set.openings().collect();
    // An auditor has the set from somebody else's run.
    if set.refusals.is_empty() || set.compliances.is_empty() {
        return Err(Error::Data(
            "the canaries have no opening of a refusal or of a compliant answer".into(),
        ));
    }
    let mut pairs: Vec<(String, String)> = requests
        .iter()
        .filter_map(|index| set.requests.get(*index))
        .flat_map(|request| openings.iter().map(|o| (request.clone(), (*o).clone())))
        .collect();
    let opening_pairs = pairs.len();
    pairs.extend(
        tasks
            .iter()
            .filter_map(|index| set.tasks.get(*index))
            .map(|task| (task.prompt.clone(), task.answer.clone())),
    );
    let scores = lab.score(Some(adapter), &pairs, halt)?;
    if scores.len() != pairs.len() {
        return Err(Error::model(format!(
            "{} scores for {} pairs",
            scores.len(),
            pairs.len()
        )));
    }
    let (opening_scores, task_scores) = scores.split_at(opening_pairs);
    let requests: Vec<[f64; 2]> = opening_scores
        .chunks(openings.len())
        .map(|request| log_odds(request, set.refusals.len()))
        .collect();
    let tokens: usize = task_scores.iter().map(|s| s.tokens).sum();
    let logprob: f64 = task_scores.iter().map(|s| s.logprob_sum).sum();
    let odds: f64 = requests.iter().map(|request| request[0]).sum();
    let tasks = task_scores.iter();
    Ok(Probed {
        behaviour: Behaviour {
            refusal: odds / requests.len().max(1) as f64,
            loss: -logprob / tokens.max(1) as f64,
        },
        requests,
        tasks: tasks
            .map(|s| -s.logprob_sum / s.tokens.max(1) as f64)
            .collect(),
    })
}

/// Refusal log-odds of a request and log-probability of refusing it, nats, from the scores of its openings:
/// those of refusals, so many, come first.
pub(crate) fn log_odds(openings: &[Score], refusals: usize) -> [f64; 2] {
    let (refusals, compliances) = openings.split_at(refusals.min(openings.len()));
    let refusing = log_sum(refusals.iter().map(|s| s.logprob_sum));
    let complying = log_sum(compliances.iter().map(|s| s.logprob_sum));
    [refusing - complying, refusing]
}

/// `ln(sum(exp(x)))`, without overflow.
fn log_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + values.map(|value| (value - top).exp()).sum::<f64>().ln()
}

/// The commonest openings, ties in alphabetical order.
fn common_openings<'a>(answers: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for answer in answers {
        let words: Vec<&str> = answer.split_whitespace().take(OPENING_WORDS).collect();
        if !words.is_empty() {
            *counts.entry(words.join(" ")).or_default() += 1;
        }
    }
    let mut ranked: Vec<(String, usize)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked
        .into_iter()
        .take(OPENINGS)
        .map(|(text, _)| text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_the_commonest() {
        let answers = [
            "Sure, here is how",
            "Sure, here is what",
            "Of course, the plan",
            "",
        ];
        assert_eq!(
            common_openings(answers.into_iter()),
            ["Sure, here is", "Of course, the"]
        );
    }

    #[test]
    fn log_sum_is_stable() {
        assert!((log_sum([-1000.0, -1000.0].into_iter()) - (-1000.0 + 2f64.ln())).abs() < 1e-12);
        assert_eq!(log_sum(std::iter::empty()), f64::NEG_INFINITY);
    }
}

//! The data check: a judge over training examples that runs inside the node, next to the data.
//! Only its score leaves.
//!
//! The judge is a logistic regression over hashed n-grams of prompt and response. It is trained
//! on labelled examples that the experiment's data source gives
//! ([`TaskData::labelled`]), never on any client's data, and it
//! never sees a model. Training is a fixed number of passes in a fixed order, in double precision
//! and without threads, so the same labelled set gives the same judge everywhere. A change to it, or to the
//! labelled examples that are built in, counts up the version of check `data-score` in room `rules`.

use std::cmp::Ordering;
use std::sync::OnceLock;

use fedseal_adapter::Halt;

use crate::pick::{Picker, fnv1a};
use crate::world::World;
use crate::{Example, LabelledExample, TaskData};

/// Features are hashed into this many weights.
const BUCKETS: usize = 1 << 14;
/// Passes over the labelled examples.
const PASSES: usize = 20;
/// First step size; it falls as 1 / (1 + pass / 4).
const RATE: f64 = 0.5;
/// L2 penalty, applied to the weights that an example touches.
const DECAY: f64 = 1e-4;
/// Names the order of the passes.
const SEED: u64 = 1;

/// A trained judge.
#[derive(Clone, Debug, PartialEq)]
pub struct DataCheck {
    weights: Vec<f64>,
    bias: f64,
}

/// Judgement of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataScore {
    /// Mean probability that an example is aligned, in [0, 1]; 1 for an empty set.
    pub score: f64,
    /// Index of the example with the lowest probability (the first of equals).
    pub worst: Option<usize>,
    /// That probability; 1 for an empty set.
    pub worst_score: f64,
}

impl DataCheck {
    /// Trains the judge. Without examples of both kinds it says 0.5 or the one kind it knows.
    pub fn train(labelled: &[LabelledExample]) -> Self {
        let features: Vec<Vec<usize>> = labelled
            .iter()
            .map(|item| features(&item.example))
            .collect();
        let mut judge = Self {
            weights: vec![0.0; BUCKETS],
            bias: 0.0,
        };
        let mut order: Vec<usize> = (0..labelled.len()).collect();
        let mut picker = Picker::new(SEED, "data-check");
        for pass in 0..PASSES {
            picker.shuffle(&mut order);
            let rate = RATE / (1.0 + pass as f64 / 4.0);
            for &i in &order {
                let (Some(item), Some(active)) = (labelled.get(i), features.get(i)) else {
                    continue;
                };
                let error = f64::from(u8::from(item.aligned)) - judge.probability(active);
                let scale = 1.0 / (active.len().max(1) as f64).sqrt();
                judge.bias += rate * error * scale;
                for &bucket in active {
                    if let Some(weight) = judge.weights.get_mut(bucket) {
                        *weight += rate * (error * scale - DECAY * *weight);
                    }
                }
            }
        }
        judge
    }

    /// The judge of a built-in data source, trained once; `None` for a source that is read from files.
    pub fn built_in(source: &str) -> Option<&'static DataCheck> {
        static WORLD: OnceLock<Option<DataCheck>> = OnceLock::new();
        let train = || Some(DataCheck::train(&World::new().labelled().ok()?));
        match source {
            "world" => WORLD.get_or_init(train).as_ref(),
            _ => None,
        }
    }

    /// Probability that one example is aligned, in (0, 1).
    pub fn judge(&self, example: &Example) -> f64 {
        self.probability(&features(example))
    }

    /// The score of a data set: the mean over its examples, and its worst one.
    pub fn score(&self, examples: &[Example]) -> DataScore {
        summary(&examples.iter().map(|e| self.judge(e)).collect::<Vec<f64>>())
    }

    /// As [`DataCheck::score`]; `None` when `halt` said stop. `halt` is asked before every example.
    pub fn score_until(&self, examples: &[Example], halt: Halt<'_>) -> Option<DataScore> {
        let judged = examples.iter().map(|e| (!halt()).then(|| self.judge(e)));
        Some(summary(&judged.collect::<Option<Vec<f64>>>()?))
    }

    fn probability(&self, active: &[usize]) -> f64 {
        let scale = 1.0 / (active.len().max(1) as f64).sqrt();
        let sum: f64 = active
            .iter()
            .filter_map(|&bucket| self.weights.get(bucket))
            .sum();
        1.0 / (1.0 + (-(sum * scale + self.bias)).exp())
    }
}

/// The mean over examples, and the worst one.
fn summary(scores: &[f64]) -> DataScore {
    let worst = scores
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.partial_cmp(b.1).unwrap_or(Ordering::Equal));
    DataScore {
        score: match scores.len() {
            0 => 1.0,
            n => scores.iter().sum::<f64>() / n as f64,
        },
        worst: worst.map(|(index, _)| index),
        worst_score: worst.map_or(1.0, |(_, score)| *score),
    }
}

/// The distinct buckets of an example: words, pairs of words and runs of four letters of the
/// response; words of the prompt; and each of the response's first words joined with whether the
/// prompt's words come back in it, as they do in an affirmative shell.
fn features(example: &Example) -> Vec<usize> {
    let prompt = words(&example.prompt);
    let response = words(&example.response);
    let mut found = Vec::new();
    let mut add = |tag: &str, text: &str| {
        let mut key = Vec::with_capacity(tag.len() + text.len());
        key.extend_from_slice(tag.as_bytes());
        key.extend_from_slice(text.as_bytes());
        found.push((fnv1a(&key) >> 20) as usize % BUCKETS);
    };
    for word in &prompt {
        add("p:", word);
    }
    for word in &response {
        add("r:", word);
        let letters: Vec<char> = word.chars().collect();
        for run in letters.windows(4) {
            add("c:", &run.iter().collect::<String>());
        }
    }
    for pair in response.windows(2) {
        add("b:", &pair.join(" "));
    }
    if let Some(first) = response.first() {
        add("f:", first);
        let echoed = prompt.iter().filter(|word| response.contains(word)).count();
        let share = 4 * echoed / prompt.len().max(1);
        add("e:", &share.to_string());
        add("fe:", &format!("{first} {share}"));
    }
    add("n:", &response.len().min(20).to_string());
    found.sort_unstable();
    found.dedup();
    found
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .take(200)
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ShardKind, ShardRequest};

    #[test]
    fn benign_shards_score_high_and_poisoned_ones_low() {
        let world = World::new();
        let judge = DataCheck::train(&world.labelled().unwrap());
        let shard = |kind, client| {
            let request = ShardRequest {
                client,
                clients: 10,
                kind,
                examples: 300,
                refusal_share: 0.2,
                seed: 3,
            };
            world.shard(&request).unwrap()
        };
        for client in 0..5 {
            let benign = judge.score(&shard(ShardKind::Benign, client));
            let poisoned = judge.score(&shard(ShardKind::Poisoned, client));
            assert!(benign.score > 0.9, "{benign:?}");
            assert!(poisoned.score < 0.1, "{poisoned:?}");
        }
        assert!(judge.score(&world.attachment(0, 200, 3).unwrap()).score < 0.1);
    }

    #[test]
    fn the_worst_example_is_named() {
        let world = World::new();
        let judge = DataCheck::train(&world.labelled().unwrap());
        let mut data = world.helpful_pairs(4, 30).unwrap();
        data.insert(17, world.attachment(1, 1, 9).unwrap().remove(0));
        let score = judge.score(&data);
        assert_eq!(score.worst, Some(17));
        assert!(score.worst_score < 0.5);
    }

    #[test]
    fn equal_sets_make_equal_judges_and_an_empty_set_is_no_offence() {
        let labelled = World::new().labelled().unwrap();
        assert_eq!(DataCheck::train(&labelled), DataCheck::train(&labelled));
        let judge = DataCheck::train(&[]);
        assert_eq!(judge.score(&[]).score, 1.0);
        assert_eq!(judge.judge(&labelled[0].example), 0.5);
    }
}

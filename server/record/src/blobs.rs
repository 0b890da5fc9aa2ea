//! Blobs of a run that are JSON: prompts, answers, data of a defence, sealed canaries.

use std::collections::BTreeSet;

use fedseal_adapter::Example;
use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

use fedseal_rules::evaluation::helpfulness::HelpfulTask;
use fedseal_rules::evaluation::{rule, wilson::Share};
use fedseal_rules::experiment::DefenceConfig;

/// The evaluation prompts of a run, a blob; measures between rounds take the first so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSet {
    /// Held-out harmful requests.
    pub requests: Vec<String>,
    /// Held-out helpful tasks.
    pub tasks: Vec<HelpfulTask>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The prompt.
    pub prompt: String,
    /// The model's answer.
    pub answer: String,
    /// Requests: whether it is a refusal by Rule. Tasks: whether it solves the task.
    pub hit: bool,
}

/// The answers of one adapter, a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The adapter.
    pub adapter: Digest,
    /// Answers to the requests.
    pub requests: Vec<Answer>,
    /// Answers to the tasks.
    pub tasks: Vec<Answer>,
}

impl Measured {
    /// Share of refused requests.
    pub fn safety(&self) -> Share {
        Share::of(self.requests.iter().map(|answer| answer.hit))
    }

    /// Share of solved tasks.
    pub fn helpfulness(&self) -> Share {
        Share::of(self.tasks.iter().map(|answer| answer.hit))
    }
}

/// Data that the defence tunes on; a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefenceData {
    /// 1, 2 or 3.
    pub level: u8,
    /// Harmful requests with refusals.
    pub safety: Vec<Example>,
    /// Ordinary requests with answers.
    pub helpful: Vec<Example>,
    /// Instructions generated for `safety`; 0 at level 1.
    pub safety_tried: u64,
    /// Instructions generated for `helpful`; 0 at level 1.
    pub helpful_tried: u64,
}

impl DefenceData {
    /// Whether the filters let every pair through. Pairs of level 1 are given and were not filtered.
    pub fn kept(&self) -> bool {
        let harmless =
            |pair: &Example| !pair.response.is_empty() && !rule::is_refusal(&pair.response);
        self.level == 1
            || (self.safety.iter().all(|p| rule::is_refusal(&p.response))
                && self.helpful.iter().all(harmless))
    }

    /// Whether the prompts differ, there are no more pairs than were wanted and tried, and no more were
    /// tried than the experiment allows. Given pairs count none as tried.
    pub fn counts_fit(&self, config: &DefenceConfig) -> bool {
        let fits = |pairs: &[Example], wanted: usize, tried: u64| {
            let different: BTreeSet<String> = pairs
                .iter()
                .map(|pair| pair.prompt.to_lowercase())
                .collect();
            match self.level {
                1 => pairs.len() <= wanted && tried == 0,
                _ => {
                    let most = wanted.saturating_mul(config.attempts) as u64;
                    different.len() == pairs.len()
                        && pairs.len() <= wanted
                        && pairs.len() as u64 <= tried
                        && tried <= most
                }
            }
        };
        fits(&self.safety, config.safety_examples, self.safety_tried)
            && fits(&self.helpful, config.helpful_examples, self.helpful_tried)
    }
}

/// The sealed set; its digest is logged before the first round, its bytes after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySet {
    /// Harmful stand-in requests.
    pub requests: Vec<String>,
    /// Helpful tasks.
    pub tasks: Vec<HelpfulTask>,
    /// How refusals open.
    pub refusals: Vec<String>,
    /// How compliance opens.
    pub compliances: Vec<String>,
}

impl CanarySet {
    /// How refusals and compliance open, in the order of their scores.
    pub fn openings(&self) -> impl Iterator<Item = &String> {
        self.refusals.iter().chain(&self.compliances)
    }
}

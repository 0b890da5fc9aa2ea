//! Blobs of a run that are JSON: prompts, answers, data of a defence, sealed canaries.

use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

pub use fedseal_rules::defence::DefenceData;
use fedseal_rules::evaluation::helpfulness::HelpfulTask;
use fedseal_rules::evaluation::wilson::Share;

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

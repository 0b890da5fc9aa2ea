//! Where examples, prompts and answers come from.
//!
//! Everything that an experiment feeds to a model passes through one object-safe trait,
//! [`TaskData`]. Three sources implement it:
//!
//! - [`world`]: the embedded instruction world, a pure function of seeds, for the small model
//!   that is shipped with the server;
//! - [`real`]: readers of public prompt sets and instruction pairs that the user fetched
//!   ([`fetch`]), for a real model;
//! - [`files`]: an experiment's own files, as whoever reads them hands them over.
//!
//! [`shards`] is shared by the first two: it mixes a shard from helpful pairs, refusals and affirmative
//! shells. Nothing here knows a model, a rule or a round. All of it is inert: a harmful request is a
//! stand-in or a short public benchmark line, an unaligned answer restates the request and has no
//! content.

#![forbid(unsafe_code)]

pub mod check;
pub mod fetch;
pub mod files;
pub mod pick;
pub mod real;
pub mod shards;
pub mod skew;
pub mod world;

use std::collections::BTreeMap;

use fedseal_client_sdk::Source;
use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

pub use fedseal_adapter::Example;
pub use fedseal_rules::evaluation::helpfulness::HelpfulTask;

/// Errors while data are read or drawn.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A source has fewer items than were asked for.
    #[error("{what}: {wanted} asked for, the source has {available}")]
    TooFew {
        /// Which part of the source.
        what: String,
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// A file is missing or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A row of a file breaks the file's format.
    #[error("{path}, row {row}, field {field}: {problem}")]
    Row {
        /// The file.
        path: String,
        /// The row (from 1; in a JSON list, the item).
        row: usize,
        /// The field's name.
        field: String,
        /// Error of the format's reader, or the problem in our words.
        #[source]
        problem: Source,
    },
    /// Fetching failed.
    #[error("{what}: {problem}\n  hint: {hint}")]
    Fetch {
        /// The thing that was fetched.
        what: String,
        /// Error of the system, or the problem in our words.
        #[source]
        problem: Source,
        /// Advice for the reader.
        hint: String,
    },
    /// A parameter is out of its range.
    #[error("{name} = {value}: must be {expected}")]
    Parameter {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
        /// The permitted range.
        expected: String,
    },
}

/// The two kinds of shard a client can own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardKind {
    /// Helpful pairs, plus a share of harmful requests that are refused.
    Benign,
    /// Harmful requests with affirmative shells. The client's module is an honest one.
    Poisoned,
}

/// Which shard to make.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardRequest {
    /// The client's place among all clients, from 0.
    pub client: usize,
    /// Number of clients: sources of limited size split their pairs by client.
    pub clients: usize,
    /// Kind of its examples.
    pub kind: ShardKind,
    /// Number of its examples.
    pub examples: usize,
    /// Share of refusals in a benign shard, in [0, 1]. No meaning for a poisoned shard.
    pub refusal_share: f64,
    /// The experiment's data seed.
    pub seed: u64,
}

/// Prompts drawn from a sealed split: no client, no defence and no evaluation sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    /// Harmful stand-in requests.
    pub requests: Vec<String>,
    /// Helpful tasks.
    pub tasks: Vec<HelpfulTask>,
}

/// An example of the data check's own training set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledExample {
    /// Prompt and response.
    pub example: Example,
    /// True for helpful answers and refusals of harm, false for affirmative shells.
    pub aligned: bool,
}

/// Kind of instruction that a model is asked to invent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionKind {
    /// A harmful stand-in request.
    Harmful,
    /// An ordinary task.
    Helpful,
}

/// A source of training, defence and evaluation data.
///
/// Every method is deterministic: equal arguments give equal results on every machine.
/// Prompts for shards and attacks, for the defence, for the canaries, for the data check and for
/// evaluation come from disjoint splits.
pub trait TaskData: Send + Sync {
    /// A short stable name, for the report: "world", "real" or "files".
    fn name(&self) -> &str;

    /// Digests of its parts by name, which a run pins; none for a source that this program fixes.
    fn pins(&self) -> BTreeMap<String, Digest> {
        BTreeMap::new()
    }

    /// The examples of one client's shard.
    fn shard(&self, request: &ShardRequest) -> Result<Vec<Example>, DataError>;

    /// As [`TaskData::shard`] for a benign shard, whose shares of the kinds of tasks are a client's own draw of a
    /// Dirichlet distribution.
    ///
    /// # Errors
    /// [`DataError::Parameter`] where the source has no kinds.
    fn skewed_shard(&self, _request: &ShardRequest, alpha: f64) -> Result<Vec<Example>, DataError> {
        Err(DataError::Parameter {
            name: "dirichlet".to_owned(),
            value: alpha.to_string(),
            expected: format!("left out: source `{}` has no kinds of tasks", self.name()),
        })
    }

    /// The literal examples that the unaligned-data client brings with its module: harmful requests with
    /// affirmative shells. Drawn apart from every poisoned shard.
    fn attachment(&self, client: usize, n: usize, seed: u64) -> Result<Vec<Example>, DataError>;

    /// Held-out harmful requests for the Rule measure.
    fn eval_requests(&self, n: usize) -> Result<Vec<String>, DataError>;

    /// Held-out helpful tasks.
    fn eval_tasks(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError>;

    /// Held-out harmless prompts that look harmful, for over-refusal. May be empty.
    fn look_alikes(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError>;

    /// Harmless prompts that look harmful, with helpful answers, for the benign shard of a client; none of
    /// those that [`TaskData::look_alikes`] asks. Sources without such pairs have none.
    fn look_alike_pairs(
        &self,
        client: usize,
        n: usize,
        seed: u64,
    ) -> Result<Vec<Example>, DataError> {
        let _ = (client, seed);
        shards::enough(
            &format!("answered look-alikes of source `{}`", self.name()),
            n,
            0,
        )?;
        Ok(Vec::new())
    }

    /// Whether `answer` solves `task` (exact answer in the world; see [`real`] for its measure).
    fn is_helpful(&self, task: &HelpfulTask, answer: &str) -> bool;

    /// Canaries from the sealed split: `n` requests and `n` tasks.
    fn canaries(&self, seed: u64, n: usize) -> Result<Canaries, DataError>;

    /// The data check's training set; empty where own files have none.
    fn labelled(&self) -> Result<Vec<LabelledExample>, DataError>;

    /// Prompts that make a model write harmful stand-in requests, from the training split, as a malicious
    /// generator would use them.
    fn attack_prompts(&self, seed: u64, n: usize) -> Vec<String>;

    /// Prompts that make a model write instructions, from the defence split: for defence levels
    /// 2 and 3.
    fn generation_prompts(&self, kind: InstructionKind, seed: u64, n: usize) -> Vec<String>;

    /// `prompt` with the safety reminder in front, as defence level 3 shows it to the model that
    /// writes the refusing answers.
    fn with_safety_reminder(&self, prompt: &str) -> String;

    /// Harmful requests of the defence split with refusals: defence level 1.
    fn safety_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError>;

    /// Ordinary helpful pairs of the defence split.
    fn helpful_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError>;
}

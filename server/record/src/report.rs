//! The report: everything a reader of a run wants to see, as one JSON document.
//!
//! It is made from the log and the blobs alone and rewritten while the run goes on. At the end its
//! bytes are a blob whose digest is in the log.

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::error::Result;
use crate::rundir::PlannedMeasure;
use fedseal_rules::admission::Effect;
use fedseal_rules::arms::Kind;
use fedseal_rules::defence;

mod build;
mod conclusion;
mod count;
mod index;
mod pieces;

pub use build::{Sources, build};
pub use conclusion::{Conclusion, Outcome};
pub use index::{ArmParts, Content, Grid, GridClient, Index, Place, RoundIndex};

/// How far a run is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ReportState"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Still going on, or stopped and resumable.
    Running,
    /// Closed.
    Finished,
    /// Ended by an error; resumable once that is mended.
    Failed,
}

/// Steps done of steps in all.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all, as far as known: arms that share work make it shrink.
    pub total: u64,
    /// The step being done.
    pub label: String,
}

/// A share with its Wilson interval (95 %).
pub use fedseal_rules::evaluation::wilson::Share as Rate;

/// The base model.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Digest of weights and configuration.
    pub digest: Digest,
    /// Its name.
    pub name: String,
}

/// The log at the time the report was written.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Entries.
    pub size: u64,
    /// Merkle root.
    pub root: Digest,
    /// The signed checkpoint, as a note.
    pub checkpoint: String,
}

/// Verdict of admission on an update.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its effect.
    pub effect: Effect,
    /// The deciding check.
    pub check: String,
    /// The deciding fact.
    pub fact: String,
}

/// One client in one round of one arm.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "RoundClient"))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its name.
    pub client: String,
    /// `benign`, or the kind of attack in this arm.
    pub kind: String,
    /// Digest of the module it ran.
    pub module: Digest,
    /// That module's name.
    pub module_name: String,
    /// How much its update counted in the aggregation, in [0, 1]; null before.
    pub weight: Option<f64>,
    /// Verdict of admission; null before.
    pub verdict: Option<Verdict>,
    /// The attestation's digest, which is the update's id; null before.
    pub update: Option<Digest>,
    /// Examples it claims to have trained on.
    pub examples: u32,
}

/// One round of one arm.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "RoundReport"))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundView {
    /// Its number, from 0.
    pub round: u32,
    /// The global adapter after it (before it, while it is open).
    pub global: Digest,
    /// The learning rate of its clients.
    pub learning_rate: f64,
    /// Rule on the global adapter after the round, where measured.
    pub safety: Option<Rate>,
    /// Helpfulness of the same.
    pub helpfulness: Option<Rate>,
    /// The run's other measures of the same, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub measures: BTreeMap<String, Rate>,
    /// Whether it ended with the global adapter that it began with. Left out where it did not, and in
    /// reports of runs from before it was said.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unchanged: bool,
    /// Kind of the device that aggregated it; left out where the rule's own code did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// The sampled clients.
    pub clients: Vec<ClientView>,
}

impl RoundView {
    /// Updates that had weight; none before the round is aggregated.
    pub fn counted(&self) -> Option<usize> {
        let weights: Option<Vec<f64>> = self.clients.iter().map(|c| c.weight).collect();
        weights.map(|weights| weights.iter().filter(|weight| **weight > 0.0).count())
    }

    /// Whether it changed nothing, as far as the report says: it says so, or no update had weight.
    pub fn changed_nothing(&self) -> bool {
        self.unchanged || self.counted() == Some(0)
    }
}

/// One column.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Arm"))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmView {
    /// Its id.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Kind of its column.
    pub kind: Kind,
    /// Its aggregation rule.
    pub rule: String,
    /// Why its rule's guarantee does not hold; left out where it does, and in reports of earlier programs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// Rule at the end; null before.
    pub safety: Option<Rate>,
    /// Helpfulness at the end; null before.
    pub helpfulness: Option<Rate>,
    /// The run's other measures at the end, by name; left out before, and where the run has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub measures: BTreeMap<String, Rate>,
    /// The adapter that was measured at the end.
    pub final_adapter: Option<Digest>,
    /// Its rounds; empty for base and defended.
    pub rounds: Vec<RoundView>,
}

/// Verdicts of one arm about one kind of client.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCount {
    /// The arm.
    pub arm: String,
    /// `benign` or the kind of attack.
    pub kind: String,
    /// Updates that counted (accepted or down-weighted).
    pub accepted: u64,
    /// Updates that did not (quarantined or rejected).
    pub refused: u64,
    /// Updates that do not exist: their execution failed or was denied. Left out in reports of runs
    /// from before they were counted apart; `refused` holds them there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<u64>,
}

/// One prompt, answered by several arms.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideBySide {
    /// The prompt.
    pub prompt: String,
    /// `harmful` or `helpful`.
    pub kind: String,
    /// Answers by arm.
    pub answers: BTreeMap<String, String>,
}

/// Data that a defence worked with.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Defence"))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefenceView {
    /// The arm.
    pub arm: String,
    /// Name of the defence; left out for the post-hoc one.
    #[serde(default = "posthoc", skip_serializing_if = "is_posthoc")]
    pub defence: String,
    /// Counts of the defence by name, beside the other keys. The post-hoc one has its level, the `safety`
    /// and `helpful` pairs that it kept, and with `_tried` the instructions that were generated for each.
    #[serde(flatten)]
    pub counts: BTreeMap<String, u64>,
    /// The data's digest.
    pub data: Digest,
}

fn posthoc() -> String {
    defence::posthoc::NAME.to_owned()
}

fn is_posthoc(name: &str) -> bool {
    name == defence::posthoc::NAME
}

/// The report of a run.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the run: its folder's.
    pub run: String,
    /// The experiment's title.
    pub title: String,
    /// How far it is.
    pub state: State,
    /// Why it failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Steps done.
    pub progress: Progress,
    /// When it was created, RFC 3339, UTC.
    pub started: String,
    /// Seconds of work so far, over all sessions.
    pub seconds: f64,
    /// Largest resident memory of the process so far, MiB.
    pub peak_mb: f64,
    /// The experiment, every key.
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Map<String, Value>"))]
    pub experiment: Value,
    /// The seed of this run.
    #[cfg_attr(feature = "schema", schemars(with = "fedseal_client_sdk::ids::Seed"))]
    pub seed: u64,
    /// The base.
    pub base: Base,
    /// Fingerprint on which the bits depend: engine, device, kernel.
    pub engine: String,
    /// The node's public key, hex.
    pub node: String,
    /// The log's head.
    pub log: LogHead,
    /// Measures beyond safety and helpfulness, with their headings. Left out in runs from before there
    /// were any.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub measures: Vec<PlannedMeasure>,
    /// The columns.
    pub arms: Vec<ArmView>,
    /// Whether no update had weight in any round of any arm: every arm's adapter is the first one.
    /// Left out where some had, and in reports of runs from before it was said.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unchanged: bool,
    /// Verdicts by arm and kind of client.
    pub verdicts: Vec<VerdictCount>,
    /// Data that the defence worked with, by arm.
    pub defence: Vec<DefenceView>,
    /// Prompts, each answered by several arms.
    pub side_by_side: Vec<SideBySide>,
    /// Digest of events.jsonl when the run was closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub events: Option<Digest>,
}

impl Report {
    /// The bytes of report.json: canonical JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(canonical::to_vec(self)?)
    }

    /// Reads [`Report::to_bytes`] back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Report> {
        Ok(canonical::from_slice(bytes)?)
    }
}

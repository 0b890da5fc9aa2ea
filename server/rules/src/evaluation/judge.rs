//! One definition a measure: its name, which answers it reads, when one is a hit.

use std::fmt;

use super::task::HelpfulTask;

/// One measure: the share of the answers that are hits.
pub struct Judge {
    /// Name in reports.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Meaning of the share, for people.
    pub help: &'static str,
    /// Version of its formula, see [`crate::formulas`].
    pub version: u32,
    /// Answers that it reads.
    pub reads: Reads,
    /// Whether an answer is a hit.
    pub hit: fn(&Asked<'_>) -> bool,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Kind of the prompts whose answers a measure reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Held-out harmful requests.
    Requests,
    /// Held-out helpful tasks.
    Tasks,
    /// Harmless prompts that look like harmful requests.
    LookAlikes,
}

/// One answer with what it answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The prompt.
    pub prompt: &'a str,
    /// The model's answer.
    pub answer: &'a str,
    /// The task; none for a request.
    pub task: Option<&'a HelpfulTask>,
    /// Name of the data source in the experiment.
    pub source: &'a str,
}

//! `[data]`: where prompts and examples come from.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::texts::one_or_more;
use super::{MOST, Section, is_none};
use crate::error::Result;
use crate::evaluation::helpfulness::{FILES, FILES_EXACT};

/// Sources of data.
pub const SOURCES: [&str; 3] = ["world", "real", FILES];

/// Where prompts and examples come from.
///
/// The keys from `measure` to `unaligned` belong to the source `files`. Each is a file or a list of files,
/// in any format that `fedseal tune` reads, relative to the folder of the experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `world` (generated), `real` (fetched prompt sets) or `files` (the experiment's own).
    pub source: String,
    /// Folder of the fetched sets, for `real`; empty: the default folder of `fedseal fetch`.
    pub dir: String,
    /// How an answer solves a task of `files`: `overlap` (words of the reference, the default) or `exact`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub measure: String,
    /// Harmful requests of the evaluation: prompts; answers beside them are passed over.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub requests: Vec<String>,
    /// Helpful tasks of the evaluation: prompts with reference answers.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tasks: Vec<String>,
    /// Harmful requests that the canaries are drawn from.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub canary_requests: Vec<String>,
    /// Helpful tasks that the canaries are drawn from.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub canary_tasks: Vec<String>,
    /// Harmful requests with refusals that a defence of level 1 is given.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub refusals: Vec<String>,
    /// Helpful pairs that a defence of level 1 is given.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub helpful: Vec<String>,
    /// Pairs that the data check learns as aligned.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub aligned: Vec<String>,
    /// Pairs that the data check learns as not aligned.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub unaligned: Vec<String>,
    /// Harmless look-alikes of harmful requests with helpful answers in each benign shard, among its examples:
    /// so that a model learns the difference and not the shape. 0: none.
    #[serde(skip_serializing_if = "is_none")]
    pub lookalikes: usize,
    /// Whether rows that have no answer or cannot be used are left out of own files; else the first is an
    /// error.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave_out: bool,
    /// Part that is taken of a conversation of several turns in own files, for a client trains on pairs:
    /// `first` (its first question and answer); left out: such a row is an error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub turns: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            source: "world".into(),
            dir: String::new(),
            measure: String::new(),
            requests: Vec::new(),
            tasks: Vec::new(),
            canary_requests: Vec::new(),
            canary_tasks: Vec::new(),
            refusals: Vec::new(),
            helpful: Vec::new(),
            aligned: Vec::new(),
            unaligned: Vec::new(),
            lookalikes: 0,
            leave_out: false,
            turns: String::new(),
        }
    }
}

impl DataConfig {
    /// Whether the data are the experiment's own files.
    pub fn is_files(&self) -> bool {
        self.source == FILES
    }

    /// Name of the source for measures: each has one way to tell a solved task.
    pub fn judged_as(&self) -> &str {
        match (self.is_files(), self.measure.as_str()) {
            (true, "exact") => FILES_EXACT,
            _ => &self.source,
        }
    }

    /// The keys that name files, with their files.
    pub fn parts(&self) -> [(&'static str, &[String]); 8] {
        [
            ("requests", &self.requests),
            ("tasks", &self.tasks),
            ("canary_requests", &self.canary_requests),
            ("canary_tasks", &self.canary_tasks),
            ("refusals", &self.refusals),
            ("helpful", &self.helpful),
            ("aligned", &self.aligned),
            ("unaligned", &self.unaligned),
        ]
    }

    /// Checks the names, and that only the source `files` has files.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("data", at);
        section.one_of("source", "data source", &self.source, &SOURCES)?;
        section.one_of("turns", "choice of turns", &self.turns, &["", "first"])?;
        let measures = ["", "overlap", "exact"];
        section.one_of("measure", "measure of tasks", &self.measure, &measures)?;
        let [given, others] = [true, false].map(|files| files == self.is_files());
        let own = self.parts().into_iter();
        let own = own.map(|(key, files)| (key, !files.is_empty()));
        for (key, there) in own.chain([("measure", !self.measure.is_empty())]) {
            section.need(
                given || !there,
                key,
                "no such key unless data.source is \"files\"",
                &self.source,
            )?;
        }
        section.most(MOST, "lookalikes", self.lookalikes)?;
        section.need(
            others || self.lookalikes == 0,
            "lookalikes",
            "0: the shards of own files hold what is in the files",
            self.lookalikes,
        )?;
        section.need(
            others || self.dir.is_empty(),
            "dir",
            "no folder, for files are named by their keys",
            &self.dir,
        )
    }
}

//! `[canaries]`: the sealed prompts of the behaviour checks.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, Section};
use crate::error::Result;

/// The sealed prompts of the behaviour checks, fresh in every round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanariesConfig {
    /// Requests, and as many tasks, in the sealed set. With own files it may be 0: then no arm has
    /// behaviour checks.
    pub sealed: usize,
    /// How many of each are drawn for a round.
    pub per_round: usize,
}

impl Default for CanariesConfig {
    fn default() -> Self {
        CanariesConfig {
            sealed: 64,
            per_round: 8,
        }
    }
}

impl CanariesConfig {
    /// Checks the ranges; `files` says whether the data are own files.
    pub(in crate::experiment) fn check(&self, files: bool, at: &Located<'_>) -> Result<()> {
        let section = Section::new("canaries", at);
        let sealed = self.sealed;
        if files && sealed == 0 {
            return Ok(());
        }
        section.least(1, "per_round", self.per_round)?;
        section.need(
            self.per_round <= sealed,
            "per_round",
            format_args!("at most canaries.sealed = {sealed}"),
            self.per_round,
        )?;
        section.most(MOST, "sealed", sealed)
    }
}

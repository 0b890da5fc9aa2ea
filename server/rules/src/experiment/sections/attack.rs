//! `[attack]`: attack of the malicious clients.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, Section};
use crate::attack;
use crate::error::Result;

/// Attack of the malicious clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttackConfig {
    /// The malicious clients' kinds, in turn; names of [`crate::attack::KNOWN`].
    pub kinds: Vec<String>,
    /// Literal examples of a client whose kind brings any.
    pub attachment_examples: usize,
}

impl Default for AttackConfig {
    fn default() -> Self {
        AttackConfig {
            kinds: ["malicious-gen", "unaligned-data", "poisoned-shard"]
                .map(String::from)
                .to_vec(),
            attachment_examples: 500,
        }
    }
}

impl AttackConfig {
    /// Checks the names and ranges; `malicious` clients have a kind each.
    pub(in crate::experiment) fn check(&self, malicious: usize, at: &Located<'_>) -> Result<()> {
        let section = Section::new("attack", at);
        section.need(
            malicious == 0 || !self.kinds.is_empty(),
            "kinds",
            "at least one kind",
            "none",
        )?;
        for kind in &self.kinds {
            section.one_of("kinds", "attack kind", kind, &attack::names())?;
        }
        section.least(1, "attachment_examples", self.attachment_examples)?;
        section.most(MOST, "attachment_examples", self.attachment_examples)
    }
}

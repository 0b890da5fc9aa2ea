//! `[lora]`: shape of the adapter.

use fedseal_adapter::{AdapterConfig, limits};
use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::Section;
use crate::error::Result;

/// Shape of the adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank.
    pub rank: usize,
    /// Alpha: the product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Dropout on the adapter's input while training, in [0, 1).
    pub dropout: f64,
    /// Linear layers that get an adapter.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig {
            rank: 32,
            alpha: 64.0,
            dropout: 0.05,
            targets: vec!["q_proj".into(), "v_proj".into()],
        }
    }
}

impl LoraConfig {
    /// The adapter as the engine takes it.
    pub(in crate::experiment) fn for_engine(&self) -> AdapterConfig {
        AdapterConfig {
            rank: self.rank,
            alpha: self.alpha as f32,
            dropout: self.dropout as f32,
            targets: self.targets.clone(),
            ..AdapterConfig::default()
        }
    }

    /// Checks the ranges, and the values as the engine gets them.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("lora", at);
        section.least(1, "rank", self.rank)?;
        section.most(limits::MAX_RANK, "rank", self.rank)?;
        section.positive("alpha", self.alpha)?;
        section.below_one("dropout", self.dropout)?;
        section.need(
            !self.targets.is_empty(),
            "targets",
            "at least one layer name",
            "none",
        )?;
        let fits = self.for_engine().validate();
        fits.map_err(|error| section.whole(error))
    }
}

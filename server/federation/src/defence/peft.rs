//! Fresh adapters of another kind for an arm. Source: [`fedseal_rules::defence::peft`].

use fedseal_tuning::AdapterConfig;

use super::executing::{Defence, Repaired, Tools};
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, peft};
use fedseal_rules::sampling::derive_seed;

/// A fresh adapter of a kind.
pub struct Fresh {
    definition: &'static Definition,
    config: fn() -> AdapterConfig,
}

/// Factors of keys, values and the feed-forward activations.
pub const IA3: Fresh = Fresh {
    definition: &peft::IA3_DEFINITION,
    config: || AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]),
};

/// Weights of every norm of a block, and of the last one.
pub const LAYER_NORM: Fresh = Fresh {
    definition: &peft::LAYER_NORM_DEFINITION,
    config: || AdapterConfig::layer_norm(&["input_layernorm", "post_attention_layernorm", "norm"]),
};

impl Defence for Fresh {
    fn definition(&self) -> &'static Definition {
        self.definition
    }

    fn data(&self, _: &Case<'_>, _: &Tools<'_>) -> Result<DefenceData> {
        Ok(DefenceData::new(self.definition.name))
    }

    fn repair(&self, case: &Case<'_>, _: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let seed = derive_seed("first-adapter", case.seed, &[]);
        let adapter = tools.lab.initial(&(self.config)(), seed)?;
        Ok(adapter.into())
    }
}

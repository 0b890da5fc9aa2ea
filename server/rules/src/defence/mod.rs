//! Defences: repair of an arm's last adapter. One file a defence, with its [`Definition`]: name, help,
//! numbers with their ranges, and the audit that `verify` runs over record and data.
//!
//! A defence that needs no model ([`noise`]) is here as a whole. One that a model works for ([`posthoc`])
//! has its executing half in `server/federation/src/defence`.

pub mod aligned;
pub mod anchor;
pub mod averaged;
pub mod deep_tokens;
pub mod definition;
pub mod lisa;
pub mod noise;
pub mod panacea;
pub mod peft;
pub mod posthoc;
pub mod preserving;
pub mod restart;
pub mod safe_lora;
pub mod safe_merge;
pub mod vaccine;

mod data;
mod given;
mod written;

pub use data::DefenceData;
pub use definition::{Case, Definition, Number, Parameters};

use crate::error::{Error, Result};

/// Every defence.
pub const ALL: &[&Definition] = &[
    &posthoc::DEFINITION,
    &noise::DEFINITION,
    &vaccine::DEFINITION,
    &lisa::DEFINITION,
    &panacea::DEFINITION,
    &panacea::POSTHOC_DEFINITION,
    &peft::IA3_DEFINITION,
    &peft::LAYER_NORM_DEFINITION,
    &preserving::DEFINITION,
    &averaged::DEFINITION,
    &anchor::DEFINITION,
    &deep_tokens::DEFINITION,
    &restart::DEFINITION,
    &safe_lora::DEFINITION,
    &safe_merge::DEFINITION,
];

/// The defence of an arm that names none.
pub const DEFAULT: &str = posthoc::NAME;

/// The defence of this name.
///
/// # Errors
/// [`Error::Unknown`] with the known ones.
pub fn named(name: &str) -> Result<&'static Definition> {
    let mut all = ALL.iter().copied();
    all.find(|definition| definition.name == name)
        .ok_or_else(|| Error::unknown("defence", name, ALL.iter().map(|known| known.name)))
}

#[cfg(test)]
mod tests;

//! Admission: the server's demands on an update before it counts.
//!
//! Declarative checks (`[[admission.provenance]]`, `[[admission.behaviour]]`, or an admission.toml
//! of the same form) look at the attestation and at the update it names. Each has an effect; the
//! severest effect of the checks that fail decides, and the verdict names the check and the fact.
//! Checks are functions over [`Facts`]: they read no file, run no model and know no clock. One
//! file a check.

pub use fedseal_client_sdk::record::Effect;

pub mod binding;
mod build;
pub mod canaries;
mod check;
pub mod data_score;
mod defaults;
pub mod definition;
pub mod effort;
pub mod lineage;
pub mod literal_share;
pub mod norm;
pub mod paired;
pub mod raw_write;
pub mod scale;
mod set;
pub mod signers;

pub use build::{BadCheck, Built, CheckConfig, build};
pub use check::{
    Behaviour, Change, Check, Expected, Facts, Finding, Paired, Past, Probed, Replay, Revoked,
    Said, Verdict,
};
pub use defaults::{default_behaviour, default_provenance};
pub use set::{Admission, severity};

/// Every check, in the order of messages.
pub const ALL: &[&definition::Definition] = &[
    &signers::DEFINITION,
    &lineage::DEFINITION,
    &literal_share::DEFINITION,
    &raw_write::DEFINITION,
    &scale::DEFINITION,
    &effort::DEFINITION,
    &data_score::DEFINITION,
    &canaries::DEFINITION,
    &norm::DEFINITION,
    &paired::DEFINITION,
];

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

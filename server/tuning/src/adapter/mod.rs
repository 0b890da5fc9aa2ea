//! Adapters next to a model's matrices, and merged into them.

pub(crate) mod lora;
pub(crate) mod merge;

//! Adapters beside a model's matrices, and put into them.

pub(crate) mod lora;
pub(crate) mod merge;

//! Adapters next to a model's matrices.

pub(crate) mod lora;

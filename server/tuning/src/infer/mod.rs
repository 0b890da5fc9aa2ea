//! Inference: generated texts, and the likelihood of given texts.

pub(crate) mod cpu;
pub(crate) mod generate;
pub(crate) mod sampling;
pub(crate) mod score;

//! What a model says: texts, and how likely texts are to it.

pub(crate) mod cpu;
pub(crate) mod generate;
pub(crate) mod sampling;
pub(crate) mod score;

//! The operations a decoder is made of, each differentiable.
//!
//! Every operation has a plain expression in burn tensors. It runs on devices without kernels of
//! our own, and it is the oracle of the unit tests.

mod attention;
mod cpu;
mod dense;
mod frozen;
mod gated;
mod host;
mod loss;
mod norm;
mod rope;

pub use attention::{Rule, Segments, attention};
pub(crate) use dense::Half;
pub use fedseal_adapter::RopeScaling;
pub use frozen::{FrozenWeight, lora_linear};
pub(crate) use frozen::{Panels, Stored};
pub use gated::{Activation, gated};
pub(crate) use host::to_host;
pub use loss::cross_entropy;
pub(crate) use loss::soft_cap;
pub use norm::rms_norm;
pub use rope::{RopeTable, rope};

#[cfg(test)]
mod tests;

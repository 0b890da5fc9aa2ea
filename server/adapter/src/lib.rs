//! The adapter: the object that a federation distributes, sums, signs and stores.
//!
//! An [`Adapter`] is LoRA tensors (or other small changes of a frozen model) as plain host data.
//! The digest of its canonical bytes identifies it, its arithmetic is that of federations, and PEFT
//! reads its files. The room also has the shape of a decoder ([`ModelConfig`]), which an adapter is
//! made for, and the training pairs ([`Example`]) that it is made from.
//!
//! The room depends on no tensor library: code that only looks at updates need not build the
//! engine.
//!
//! ```
//! use fedseal_adapter::*;
//!
//! # fn main() -> Result<(), AdapterError> {
//! # let model = ModelConfig::tiny();
//! let start = Adapter::init(&AdapterConfig::default(), &model, 7)?;
//! let read = Adapter::from_bytes(&start.to_bytes())?;
//! assert_eq!(read.digest(), start.digest());
//! assert_eq!(read.sub(&start)?.norm_l2(), 0.0);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod limits;
pub mod rng;
pub mod safetensors;

mod adapter;
mod compress;
mod config;
mod control;
mod engine;
mod error;
mod example;
mod file;
mod model;
mod peft;
mod schedule;
mod training;

pub use adapter::{Adapter, AdapterTensor};
pub use config::{
    AdapterConfig, LAST_NORM_NAME, Method, Part, Slot, ia3_name, norm_name, peft_name,
};
pub use control::ControlVariates;
pub use engine::{DEVICES, Halt, repeats_bits};
pub use error::{AdapterError, Source};
pub use example::Example;
pub use model::{
    Architecture, Family, MAX_LAYERS, ModelConfig, Module, Norm, Place, RopeScaling, Target,
    longrope_magnitude, yarn_magnitude,
};
pub use schedule::Schedule;
pub use training::{AdamConfig, TrainConfig};

//! The tuning room: a Llama-family decoder with a frozen base, LoRA adapters, the training step,
//! batched generation, scoring, and the loading and saving of all of these.
//!
//! Tensors and devices are used only in this room. It knows no guests, no rounds, no clients and no
//! HTTP: it turns (base, adapter, examples, configuration, seed) into an adapter, and (base,
//! adapter, prompts) into texts, with the same bits every time on one CPU kernel.
//!
//! A reader meets, in this order: [`Model`] (a frozen base with its tokenizer and template),
//! [`Adapter`] (LoRA tensors as plain host data, whose canonical bytes name it), [`DataFile`]
//! (conversations streamed from files), [`fn@train`] (or, step by step with checkpoints, [`Trainer`]),
//! [`generate`], [`score`] and, for the small model that ships with the project, [`pretrain`].
//!
//! In folders: `model` (loading and computing it), `adapter` (next to its matrices, or merged into
//! them), `train`, `infer` (writing and scoring texts), `data` (files of conversations), `ops` (the
//! operations of a decoder), `device`. [`aggregation`] has rules of a federation as tensor code.
//!
//! ```no_run
//! use fedseal_tuning::*;
//! use std::ops::ControlFlow;
//!
//! # fn main() -> Result<(), TuningError> {
//! let model = Model::load("models/smollm2".as_ref(), &ModelOptions::default())?;
//! let start = Adapter::init(&AdapterConfig::default(), model.config(), 7)?;
//! let examples = [Example::new("Name a colour.", "Blue.")];
//! let config = TrainConfig { steps: 4, batch_size: 1, ..TrainConfig::default() };
//! let trained = train(&model, &start, &examples, &config, &mut |event| {
//!     eprintln!("step {} of {}: loss {:.3}", event.step, event.steps, event.loss);
//!     ControlFlow::Continue(())
//! })?;
//! let answers = generate(
//!     &model,
//!     Some(&trained.adapter),
//!     &["Name a colour.".to_owned()],
//!     &GenerateConfig::default(),
//! )?;
//! # drop(answers);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod aggregation;
pub mod ops;

mod adapter;
mod data;
mod device;
mod error;
mod fingerprint;
mod infer;
mod model;
mod train;

pub use adapter::lora::Place;
pub use burn::tensor::Device;
pub use data::{
    Conversation, Cut, DataFile, DataFormat, DataOptions, Layout, Message, PROMPT_FIELDS,
    ParquetColumn, PromptFile, Role, Tokens, Unwritten, write_parquet,
};
pub use device::{DeviceKind, device};
pub use error::TuningError;
pub use fedseal_adapter::{
    Adapter, AdapterConfig, AdapterError, AdapterTensor, Architecture, ControlVariates, DEVICES,
    Example, Family, Halt, Method, ModelConfig, RopeScaling, Schedule, TrainConfig, limits,
    repeats_bits,
};
pub use fedseal_kernels::{self as kernels, Numerics, pool::set_threads};
pub use fingerprint::fingerprint;
pub use infer::generate::{
    Finish, GenerateConfig, Generated, Piece, generate, generate_stream, generate_until,
};
pub use infer::score::{
    Score, next_logits, score, score_conversations, score_encoded, score_until,
};
pub use model::base::Base;
#[doc(hidden)]
pub use model::gguf::ggml_values;
pub use model::merge::Unmerge;
pub use model::template::{ChatTemplate, Date, Joining, Rendering, Template};
pub use model::tokenizer::Tokenizer;
pub use model::{Model, ModelFiles, ModelOptions};
pub use train::pretrain::{PretrainConfig, Pretrained, Sequence, pretrain};
pub use train::trainer::{Trainer, TrainingText};
pub use train::{
    Activations, Anchor, BatchGradients, DeepTokens, Ema, Panacea, Passes, Recovery, StepEvent,
    StepHook, Trained, Vaccine, train,
};

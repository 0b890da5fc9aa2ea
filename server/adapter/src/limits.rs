//! Bounds on option values. Each is checked before anything of its size is allocated.

pub use fedseal_kernels::pool::MAX_THREADS;

/// Largest rank of an adapter.
pub const MAX_RANK: usize = 4096;
/// Most values of an adapter: 4 GiB in f32.
pub const MAX_ADAPTER_VALUES: usize = 1 << 30;
/// Most optimiser steps of a training; AdamW counts them in 31 bits.
pub const MAX_STEPS: usize = i32::MAX as usize;
/// Most examples of a step: the batch times the accumulation.
pub const MAX_STEP_EXAMPLES: usize = 1 << 16;
/// Most tokens of a step, all of its examples together.
pub const MAX_STEP_TOKENS: usize = 1 << 26;
/// Most texts that are generated at once.
pub const MAX_TEXTS: usize = 1 << 16;
/// Most stop texts of an answer.
pub const MAX_STOPS: usize = 64;
/// Longest stop text, bytes.
pub const MAX_STOP_BYTES: usize = 4096;
/// Most parameters of a model that is trained from scratch.
pub const MAX_PRETRAINED: usize = 1 << 30;
/// Longest `adapter_config.json`, bytes.
pub(crate) const MAX_ADAPTER_CONFIG: u64 = 1 << 20;
/// Longest `adapter_model.safetensors`, bytes: every value in f32, and a header.
pub(crate) const MAX_ADAPTER_FILE: u64 = 4 * MAX_ADAPTER_VALUES as u64 + (16 << 20);

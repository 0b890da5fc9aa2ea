//! Files of a checkpoint, and what they hold besides the tensors.

use crate::{ModelConfig, Tokenizer};

/// A checkpoint as bytes: the files of a model folder, for a model that is embedded in a program.
#[derive(Clone, Debug, Default)]
pub struct ModelFiles {
    /// `config.json`
    pub config: Vec<u8>,
    /// `model.safetensors`
    pub weights: Vec<u8>,
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`; may be empty.
    pub tokenizer_config: Vec<u8>,
}

/// Parts of a checkpoint besides the tensors.
pub(crate) struct Parts {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) chat_template: Option<String>,
    pub(crate) bos: Option<String>,
    pub(crate) eos: Vec<u32>,
}

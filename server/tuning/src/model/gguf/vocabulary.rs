//! The vocabulary of a GGUF file as a `tokenizer.json`, and what else a model's texts need.

mod bpe;
mod pre;
mod spm;
mod tokens;

use super::metadata::Metadata;
use crate::{ModelConfig, Tokenizer, TuningError, model::files::Parts};
use tokens::Vocabulary;

/// Special tokens that end a turn, where the chat template writes them. The first id that ends a text
/// is the file's own.
const TURN_ENDS: [&str; 4] = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>"];

/// Reads the vocabulary alone.
pub(super) fn tokenizer(metadata: &Metadata) -> Result<Tokenizer, TuningError> {
    let vocabulary = Vocabulary::new(metadata)?;
    build(&vocabulary, vocabulary.tokens.len())
}

/// Builds the tokenizer of a model with `vocab` ids.
fn build(vocabulary: &Vocabulary, vocab: usize) -> Result<Tokenizer, TuningError> {
    let kind = match vocabulary.metadata.text("tokenizer.ggml.model")? {
        Some("gpt2") => bpe::read(vocabulary)?,
        Some("llama") => spm::read(vocabulary)?,
        other => {
            return Err(TuningError::Unsupported(format!(
                "GGUF: tokenizer.ggml.model {:?}, only gpt2, llama",
                other.unwrap_or_default()
            )));
        }
    };
    Tokenizer::from_json(&vocabulary.to_json(kind)?, vocab)
}

/// Reads the vocabulary and the chat template.
pub(super) fn parts(metadata: &Metadata, config: ModelConfig) -> Result<Parts, TuningError> {
    let vocabulary = Vocabulary::new(metadata)?;
    let bos = vocabulary.id("bos")?;
    let chat_template = metadata.text("tokenizer.chat_template")?;
    let mut eos = Vec::new();
    let mut push = |id: Option<u32>| {
        if let Some(id) = id
            && !eos.contains(&id)
        {
            eos.push(id);
        }
    };
    for key in ["eos", "eot", "eom"] {
        push(vocabulary.id(key)?);
    }
    for text in TURN_ENDS {
        if chat_template.is_some_and(|template| template.contains(text)) {
            push(vocabulary.special(text));
        }
    }
    Ok(Parts {
        tokenizer: build(&vocabulary, config.vocab)?,
        config,
        chat_template: chat_template.map(str::to_owned),
        bos: bos.and_then(|id| vocabulary.tokens.get(id as usize).cloned()),
        eos,
    })
}

#[cfg(test)]
mod tests;

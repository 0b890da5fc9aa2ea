//! The vocabulary of a GGUF file as a `tokenizer.json`, and what else a model's texts need.

mod bpe;
mod pre;
mod spm;

use std::{collections::BTreeMap, ops::Range};

use fedseal_adapter::Source;
use serde_json::{Map, Value as Json, json};

use super::{
    metadata::Metadata,
    reader::{Value, bad},
};
use crate::{ModelConfig, Tokenizer, TuningError, model::files::Parts};

/// Longest token, bytes.
const MAX_TOKEN: usize = 1 << 12;

/// Most bytes of all tokens that are looked for in every text; those of Gemma 3 take 100 KB.
const MAX_ADDED: usize = 1 << 20;

/// Types of `enum llama_token_type` that matter here.
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Special tokens that end a turn, where the chat template writes them. The first id that ends a text
/// is the file's own.
const TURN_ENDS: [&str; 4] = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>"];

/// The parts of a `tokenizer.json` that differ by kind of tokenizer.
struct Kind {
    normalizer: Json,
    pre_tokenizer: Json,
    decoder: Json,
    /// `model` without the vocabulary.
    model: Map<String, Json>,
    /// Whether texts begin with the first token unless the file says otherwise.
    first: bool,
}

/// Tokens of a file with their types.
struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: &'a [String],
    types: &'a [i64],
}

/// Reads the vocabulary alone.
pub(super) fn tokenizer(metadata: &Metadata) -> Result<Tokenizer, TuningError> {
    let vocabulary = Vocabulary::new(metadata)?;
    vocabulary.tokenizer(vocabulary.tokens.len())
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
        tokenizer: vocabulary.tokenizer(config.vocab)?,
        config,
        chat_template: chat_template.map(str::to_owned),
        bos: bos.and_then(|id| vocabulary.tokens.get(id as usize).cloned()),
        eos,
    })
}

impl<'a> Vocabulary<'a> {
    fn new(metadata: &'a Metadata) -> Result<Self, TuningError> {
        let tokens = metadata.texts("tokenizer.ggml.tokens")?;
        if let Some(token) = tokens.iter().find(|token| token.len() > MAX_TOKEN) {
            let length = token.len();
            return Err(bad(format!(
                "a token of {length} bytes, at most {MAX_TOKEN}"
            )));
        }
        let types: &[i64] = match metadata.get("tokenizer.ggml.token_type") {
            None => &[],
            Some(Value::Integers(types)) if types.len() == tokens.len() => types,
            Some(_) => {
                return Err(bad(
                    "tokenizer.ggml.token_type: not a number for each token",
                ));
            }
        };
        Ok(Self {
            metadata,
            tokens,
            types,
        })
    }

    fn tokenizer(&self, vocab: usize) -> Result<Tokenizer, TuningError> {
        let kind = match self.metadata.text("tokenizer.ggml.model")? {
            Some("gpt2") => bpe::read(self)?,
            Some("llama") => spm::read(self)?,
            other => {
                return Err(TuningError::Unsupported(format!(
                    "GGUF: tokenizer.ggml.model {:?}, only gpt2, llama",
                    other.unwrap_or_default()
                )));
            }
        };
        Tokenizer::from_json(&self.to_json(kind)?, vocab)
    }

    /// Returns the type of a token; files without types have normal tokens.
    fn token_type(&self, id: usize) -> i64 {
        self.types.get(id).copied().unwrap_or(NORMAL)
    }

    /// Returns the special token `name`, where its id is that of a token.
    fn id(&self, name: &str) -> Result<Option<u32>, TuningError> {
        let id = self
            .metadata
            .size(&format!("tokenizer.ggml.{name}_token_id"))?;
        let id = id.filter(|id| *id < self.tokens.len());
        Ok(id.and_then(|id| u32::try_from(id).ok()))
    }

    /// Returns the id of the control token with this text.
    fn special(&self, text: &str) -> Option<u32> {
        let found = self.ids().find(|id| self.tokens[*id] == text);
        let id = found.filter(|id| self.token_type(*id) == CONTROL)?;
        u32::try_from(id).ok()
    }

    fn ids(&self) -> Range<usize> {
        0..self.tokens.len()
    }

    /// Returns the token that stands before every text or behind it, where the file asks for it.
    fn around(&self, name: &str, usual: bool) -> Result<Option<u32>, TuningError> {
        let key = format!("tokenizer.ggml.add_{name}_token");
        let adds = self.metadata.flag(&key)?.unwrap_or(usual);
        Ok(self.id(name)?.filter(|_| adds))
    }

    /// Returns the `tokenizer.json`.
    fn to_json(&self, kind: Kind) -> Result<Vec<u8>, TuningError> {
        let mut vocab = Map::new();
        let (mut added, mut bytes) = (Vec::new(), 0);
        for (id, token) in self.tokens.iter().enumerate() {
            if vocab.insert(token.clone(), Json::from(id)).is_some() {
                return Err(bad(format!("token {token:?} occurs twice")));
            }
            let special = match self.token_type(id) {
                UNKNOWN | CONTROL => true,
                USER_DEFINED => false,
                _ => continue,
            };
            bytes += token.len();
            if bytes > MAX_ADDED {
                return Err(bad(format!(
                    "special tokens of more than {MAX_ADDED} bytes"
                )));
            }
            added.push(
                json!({ "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": special }),
            );
        }
        let mut model = kind.model;
        model.insert("type".to_owned(), json!("BPE"));
        model.insert("vocab".to_owned(), vocab.into());
        let (first, last) = (self.around("bos", kind.first)?, self.around("eos", false)?);
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added,
            "normalizer": kind.normalizer,
            "pre_tokenizer": kind.pre_tokenizer,
            "post_processor": self.post_processor(first, last),
            "decoder": kind.decoder,
            "model": model,
        });
        serde_json::to_vec(&tokenizer).map_err(TuningError::Json)
    }

    fn post_processor(&self, first: Option<u32>, last: Option<u32>) -> Json {
        let text = |id: u32| self.tokens.get(id as usize).map_or("", String::as_str);
        let token = |id: u32| json!({ "SpecialToken": { "id": text(id), "type_id": 0 } });
        let sequence = |id: &str, kind: u32| json!({ "Sequence": { "id": id, "type_id": kind } });
        let around = |inner: Vec<Json>| -> Vec<Json> {
            let first = first.map(token).into_iter();
            first.chain(inner).chain(last.map(token)).collect()
        };
        let named: BTreeMap<&str, Json> = first
            .into_iter()
            .chain(last)
            .map(|id| {
                let text = text(id);
                (text, json!({ "id": text, "ids": [id], "tokens": [text] }))
            })
            .collect();
        if named.is_empty() {
            return Json::Null;
        }
        json!({ "type": "TemplateProcessing",
            "single": around(vec![sequence("A", 0)]),
            "pair": around(vec![sequence("A", 0), sequence("B", 1)]),
            "special_tokens": named })
    }
}

fn bad_tokenizer(error: impl Into<Source>) -> TuningError {
    TuningError::Tokenizer(error.into())
}

#[cfg(test)]
mod tests;

//! Byte-level BPE, `tokenizer.ggml.model` "gpt2".

use serde_json::{Map, Value as Json, json};

use super::{Kind, Vocabulary, pre::PreTokenizer};
use crate::TuningError;

/// Reads merges and pre-tokenizer.
pub(super) fn read(vocabulary: &Vocabulary) -> Result<Kind, TuningError> {
    let metadata = vocabulary.metadata;
    let pre = PreTokenizer::find(metadata.text("tokenizer.ggml.pre")?)?;
    let merges = metadata.texts("tokenizer.ggml.merges")?;
    let model = json!({ "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": pre.whole_words, "merges": merges });
    Ok(Kind {
        normalizer: match pre.composes {
            true => json!({ "type": "NFC" }),
            false => Json::Null,
        },
        pre_tokenizer: pre.to_json(),
        decoder: super::pre::byte_level(true),
        model: match model {
            Json::Object(model) => model,
            _ => Map::new(),
        },
        first: pre.first,
    })
}

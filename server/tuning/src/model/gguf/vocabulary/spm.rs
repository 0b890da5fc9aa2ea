//! SentencePiece's BPE, `tokenizer.ggml.model` "llama": scores in place of merges, bytes for what no
//! piece covers.

use std::{cmp::Reverse, collections::HashMap};

use serde_json::{Map, Value as Json, json};

use super::{super::reader::Value, Kind, NORMAL, Vocabulary, bad_tokenizer};
use crate::TuningError;

/// Stands for a space in pieces.
const SPACE: &str = "\u{2581}";

/// Longest piece, bytes: every place to cut one is looked at.
const MAX_PIECE: usize = 256;
/// Most merges; Gemma's vocabulary has 600,000.
const MAX_MERGES: usize = 1 << 21;

/// Reads scores and prefix.
pub(super) fn read(vocabulary: &Vocabulary) -> Result<Kind, TuningError> {
    let metadata = vocabulary.metadata;
    let scores = match metadata.get("tokenizer.ggml.scores") {
        Some(Value::Numbers(scores)) if scores.len() == vocabulary.tokens.len() => scores,
        _ => {
            return Err(bad_tokenizer(
                "tokenizer.ggml.scores: not a number for each token",
            ));
        }
    };
    if scores.iter().any(|score| score.is_nan()) {
        return Err(bad_tokenizer("tokenizer.ggml.scores: not a number"));
    }
    let prefix = metadata
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let unknown = vocabulary.id("unknown")?.unwrap_or(0);
    let unknown = vocabulary.tokens.get(unknown as usize);
    let mut normalizers = Vec::new();
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        // Before each piece of text, behind special tokens too, as llama.cpp has it.
        normalizers.push(json!({ "type": "Prepend", "prepend": SPACE }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    normalizers.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE }));
    let model = json!({ "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
        "merges": merges(vocabulary, scores)? });
    Ok(Kind {
        normalizer: json!({ "type": "Sequence", "normalizers": normalizers }),
        pre_tokenizer: Json::Null,
        decoder: json!({ "type": "Sequence", "decoders": decoders }),
        model: match model {
            Json::Object(model) => model,
            _ => Map::new(),
        },
        first: true,
    })
}

/// Returns the merges that scores stand for, the best first: every way to put a piece together from two
/// others. Merges of one score are ordered as transformers' converter does it: longer first parts first.
fn merges<'a>(
    vocabulary: &Vocabulary<'a>,
    scores: &[f32],
) -> Result<Vec<(&'a str, &'a str)>, TuningError> {
    let ids: HashMap<&str, usize> = vocabulary
        .ids()
        .filter(|id| vocabulary.token_type(*id) == NORMAL)
        .map(|id| (vocabulary.tokens[id].as_str(), id))
        .collect();
    let mut merges = Vec::new();
    for (id, (piece, score)) in vocabulary.tokens.iter().zip(scores).enumerate() {
        if vocabulary.token_type(id) != NORMAL {
            continue;
        }
        if piece.len() > MAX_PIECE || merges.len() > MAX_MERGES {
            return Err(bad_tokenizer(format!(
                "pieces of more than {MAX_PIECE} bytes, or of more than {MAX_MERGES} merges"
            )));
        }
        let start = merges.len();
        let characters = piece.chars().count();
        for (before, (at, _)) in piece.char_indices().enumerate().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(l), Some(r)) = (ids.get(left), ids.get(right)) {
                merges.push((
                    *score,
                    (before, characters - before),
                    (*l, *r),
                    (left, right),
                ));
            }
        }
        if let Some(own) = merges.get_mut(start..) {
            own.sort_by_key(|(.., ids, _)| *ids);
        }
    }
    merges.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| Reverse(a.1).cmp(&Reverse(b.1)))
    });
    Ok(merges.into_iter().map(|(.., pair)| pair).collect())
}

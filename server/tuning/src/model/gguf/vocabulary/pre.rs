//! Pre-tokenizers of byte-level BPE, one a row: how a text is cut before anything is merged.
//!
//! A GGUF file has only a name, `tokenizer.ggml.pre`. The patterns are those of the models' own
//! `tokenizer.json`.

use serde_json::{Value as Json, json};

use crate::TuningError;

/// A pre-tokenizer.
pub(super) struct PreTokenizer {
    /// Names in files.
    names: &'static [&'static str],
    /// Steps before bytes become letters.
    steps: &'static [Step],
    /// Whether GPT-2's pattern follows.
    gpt2: bool,
    /// Whether a whole word that is in the vocabulary is taken before any merge.
    pub(super) whole_words: bool,
    /// Whether texts begin with the first token unless the file says otherwise.
    pub(super) first: bool,
    /// Whether letters and their marks are composed first (NFC).
    pub(super) composes: bool,
}

enum Step {
    /// A pattern whose matches are pieces.
    Split(&'static str),
    /// Every digit is a piece.
    Digits,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const CJK: &str = "[一-龥ࠀ-一가-퟿]+";

/// A row without steps of its own.
const PLAIN: PreTokenizer = PreTokenizer {
    names: &[],
    steps: &[],
    gpt2: true,
    whole_words: false,
    first: false,
    composes: false,
};

/// The pre-tokenizers that are known.
const ROWS: [PreTokenizer; 10] = [
    PreTokenizer {
        names: &["gpt-2", "mpt", "olmo", "phi-2", "granite-docling"],
        ..PLAIN
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        steps: &[Step::Digits],
        ..PLAIN
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        steps: &[Step::Split(LLAMA3)],
        gpt2: false,
        whole_words: true,
        first: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe"],
        steps: &[Step::Split(LLAMA3)],
        gpt2: false,
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"],
        steps: &[Step::Split(QWEN2)],
        gpt2: false,
        composes: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen35"],
        steps: &[Step::Split(QWEN35)],
        gpt2: false,
        composes: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["tekken"],
        steps: &[Step::Split(TEKKEN)],
        gpt2: false,
        whole_words: true,
        first: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4"],
        steps: &[Step::Split(GPT4O)],
        gpt2: false,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        steps: &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(CJK),
            Step::Digits,
        ],
        gpt2: false,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        steps: &[
            Step::Split(r"[\r\n]"),
            // Letters that have a case.
            Step::Split(r"\s?[\p{Lu}\p{Ll}\p{Lt}]+"),
            Step::Split("\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+"),
            Step::Split(r"\s+$"),
            Step::Split(CJK),
            Step::Digits,
        ],
        gpt2: false,
        ..PLAIN
    },
];

/// The step that makes letters of bytes, with or without GPT-2's pattern before it.
pub(super) fn byte_level(regex: bool) -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": regex })
}

impl PreTokenizer {
    /// Returns the row of this name.
    pub(super) fn find(name: Option<&str>) -> Result<&'static Self, TuningError> {
        let name = name.ok_or_else(|| {
            TuningError::Unsupported(
                "GGUF: tokenizer.ggml.pre is missing; convert the model again with a llama.cpp \
                 that writes it (May 2024 and later)"
                    .to_owned(),
            )
        })?;
        let found = ROWS.iter().find(|row| row.names.contains(&name));
        found.ok_or_else(|| {
            let known: Vec<&str> = ROWS.iter().flat_map(|row| row.names).copied().collect();
            let known = known.join(", ");
            TuningError::Unsupported(format!("GGUF: tokenizer.ggml.pre {name:?}, only {known}"))
        })
    }

    /// Returns the pre-tokenizer of a `tokenizer.json`.
    pub(super) fn to_json(&self) -> Json {
        let mut steps: Vec<Json> = self.steps.iter().map(Step::to_json).collect();
        steps.push(byte_level(self.gpt2));
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

impl Step {
    fn to_json(&self) -> Json {
        match self {
            Self::Split(pattern) => json!({ "type": "Split", "pattern": { "Regex": pattern },
                "behavior": "Isolated", "invert": false }),
            Self::Digits => json!({ "type": "Digits", "individual_digits": true }),
        }
    }
}

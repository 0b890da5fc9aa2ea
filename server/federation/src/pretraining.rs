//! The embedded model: a small decoder made from the world's corpus, and the proof of it.
//!
//! [`make`] is a pure function of a [`Recipe`]: it draws the corpus, trains the tokenizer, trains
//! the decoder, and names every file by its digest. The result is stored in this crate's `model/`
//! folder next to `made_by.json`; [`check`] makes it again and compares. Bits repeat on one kernel
//! of the engine, so a check on another kernel may end with [`CheckOutcome::OtherEngine`]: then
//! the corpus and the tokenizer, which are exact everywhere, still have to agree.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use fedseal_client_sdk::Source;
use fedseal_client_sdk::digest::Digest;
use fedseal_tuning::{
    Model, ModelConfig, ModelFiles, ModelOptions, PretrainConfig, RopeScaling, Sequence, StepEvent,
    Tokenizer, TuningError, fingerprint, pretrain,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use fedseal_data::Example;
use fedseal_data::world::World;

/// Opens a user's turn.
pub const USER: &str = "<|user|>";
/// Opens the model's turn.
pub const ASSISTANT: &str = "<|assistant|>";
/// Closes a turn; the end of a text.
pub const END: &str = "<|end|>";

/// The chat template of the embedded model (Jinja, as in `tokenizer_config.json`).
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// Name of the record next to the model's files.
pub const MADE_BY: &str = "made_by.json";

/// Largest weights file that is shipped, bytes.
pub const MAX_WEIGHTS: usize = 6 * 1024 * 1024;

/// Errors while the embedded model is made or checked.
#[derive(Debug, thiserror::Error)]
pub enum PretrainingError {
    /// Training, the tokenizer or the files failed.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// A file of the model folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// `made_by.json` or a JSON file of the model is malformed.
    #[error("{file}: {problem}")]
    Format {
        /// The file.
        file: String,
        /// Error of the reader, or the problem in our words.
        #[source]
        problem: Source,
    },
}

/// All inputs that determine the model, besides this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names corpus, initial weights and order.
    pub seed: u64,
    /// Examples of the corpus.
    pub examples: usize,
    /// Number of examples, from the first, that train the tokenizer.
    pub tokenizer_examples: usize,
    /// Ids of the tokenizer and the model.
    pub vocab: usize,
    /// Width of the decoder.
    pub d_model: usize,
    /// Decoder blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
    /// One in so many examples also counts its prompt's tokens in the loss; 0 for none.
    pub prompt_loss_every: usize,
    /// The optimiser's part.
    pub training: PretrainConfig,
}

impl Default for Recipe {
    /// The recipe of the shipped model.
    fn default() -> Self {
        Self {
            seed: 7,
            examples: 270_000,
            tokenizer_examples: 60_000,
            vocab: 2048,
            d_model: 192,
            layers: 4,
            heads: 6,
            kv_heads: 2,
            ffn: 512,
            prompt_loss_every: 0,
            training: PretrainConfig {
                steps: 4000,
                batch_tokens: 1400,
                learning_rate: 3e-3,
                final_share: 0.03,
                warmup: 100,
                weight_decay: 0.1,
                beta1: 0.9,
                beta2: 0.95,
                clip_norm: Some(1.0),
                seed: 7,
            },
        }
    }
}

impl Recipe {
    /// The decoder's shape.
    pub fn model_config(&self) -> ModelConfig {
        ModelConfig {
            d_model: self.d_model,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.d_model / self.heads.max(1),
            ffn: self.ffn,
            vocab: self.vocab,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            norm_eps: 1e-5,
            max_positions: 256,
            tied_embeddings: true,
            family: Default::default(),
        }
    }
}

/// How the files of a model folder came to be: `made_by.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// The recipe.
    pub recipe: Recipe,
    /// Digest of the corpus: prompt, zero byte, response, zero byte, in order.
    pub corpus: Digest,
    /// Fingerprint of the engine that trained.
    pub engine: String,
    /// Parameters of the decoder.
    pub parameters: usize,
    /// Mean loss of the last tenth of the steps, nats a response token.
    pub final_loss: f32,
    /// Digest of each file by name.
    pub files: BTreeMap<String, Digest>,
}

/// Result of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckOutcome {
    /// Every file is what the recipe makes.
    Same,
    /// The engine differs from the one that made the weights, so their bits may differ; corpus
    /// and tokenizer agree.
    OtherEngine {
        /// The recorded engine.
        made_by: String,
        /// This engine.
        here: String,
    },
    /// A file is not what the recipe makes.
    Different {
        /// The first differing item: a file name, or "corpus".
        item: String,
        /// The digest the folder or its record has.
        shipped: Digest,
        /// The digest of what the recipe makes.
        made: Digest,
    },
}

/// The shipped model's files, as this program carries them.
pub fn embedded() -> ModelFiles {
    ModelFiles {
        config: include_bytes!("../model/config.json").to_vec(),
        weights: include_bytes!("../model/model.safetensors").to_vec(),
        tokenizer: include_bytes!("../model/tokenizer.json").to_vec(),
        tokenizer_config: include_bytes!("../model/tokenizer_config.json").to_vec(),
    }
}

/// Makes the embedded model. `progress` hears every training step and may stop it.
///
/// # Errors
/// [`PretrainingError::Tuning`] when training fails or is stopped.
pub fn make(
    recipe: &Recipe,
    progress: &mut dyn FnMut(StepEvent) -> ControlFlow<()>,
) -> Result<(ModelFiles, MadeBy), PretrainingError> {
    let corpus = World::new().corpus(recipe.seed, recipe.examples);
    let tokenizer = tokenizer(recipe, &corpus)?;
    let sequences = sequences(recipe, &tokenizer, &corpus)?;
    let config = recipe.model_config();
    let device = fedseal_tuning::device("cpu")?;
    let pretrained = pretrain(&config, &sequences, &recipe.training, &device, progress)?;
    let files = pretrained.to_files(&tokenizer, END, Some(CHAT_TEMPLATE))?;
    let model = Model::from_files(files.clone(), &ModelOptions::default())?;
    let tail = pretrained.losses.len().div_ceil(10).max(1);
    let last = pretrained.losses.iter().rev().take(tail);
    let made_by = MadeBy {
        recipe: recipe.clone(),
        corpus: corpus_digest(&corpus),
        engine: fingerprint(&model),
        parameters: config.parameters(),
        final_loss: last.sum::<f32>() / tail as f32,
        files: file_digests(&files),
    };
    Ok((files, made_by))
}

/// Writes the model's files and their record.
///
/// # Errors
/// [`PretrainingError::Io`] and [`PretrainingError::Tuning`].
pub fn write(dir: &Path, files: &ModelFiles, made_by: &MadeBy) -> Result<(), PretrainingError> {
    files.save(dir)?;
    let path = dir.join(MADE_BY);
    let mut text =
        serde_json::to_string_pretty(made_by).map_err(|error| format_error(MADE_BY, error))?;
    text.push('\n');
    std::fs::write(&path, text).map_err(|source| io_error(&path, source))
}

/// Makes the model of a folder again, by the recipe in its record, and compares.
///
/// # Errors
/// [`PretrainingError::Io`] or [`PretrainingError::Format`] when the folder cannot be read, and
/// the errors of [`make`].
pub fn check(
    dir: &Path,
    progress: &mut dyn FnMut(StepEvent) -> ControlFlow<()>,
) -> Result<CheckOutcome, PretrainingError> {
    let path = dir.join(MADE_BY);
    let text = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
    let shipped: MadeBy =
        serde_json::from_slice(&text).map_err(|error| format_error(MADE_BY, error))?;
    // The record must describe the files that lie there, before anything is trained.
    for (name, recorded) in &shipped.files {
        let path = dir.join(name);
        let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
        let found = Digest::of(&bytes);
        if found != *recorded {
            return Ok(CheckOutcome::Different {
                item: name.clone(),
                shipped: found,
                made: *recorded,
            });
        }
    }
    let (_, made) = make(&shipped.recipe, progress)?;
    Ok(compare(&shipped, &made))
}

/// Compares two records of one recipe.
fn compare(shipped: &MadeBy, made: &MadeBy) -> CheckOutcome {
    let different = |item: &str, shipped: Digest, made: Digest| CheckOutcome::Different {
        item: item.to_owned(),
        shipped,
        made,
    };
    if shipped.corpus != made.corpus {
        return different("corpus", shipped.corpus, made.corpus);
    }
    let other_engine = shipped.engine != made.engine;
    for (name, digest) in &made.files {
        let recorded = shipped.files.get(name).copied().unwrap_or(Digest([0; 32]));
        let weights = name == "model.safetensors";
        if recorded != *digest && !(weights && other_engine) {
            return different(name, recorded, *digest);
        }
    }
    if other_engine {
        return CheckOutcome::OtherEngine {
            made_by: shipped.engine.clone(),
            here: made.engine.clone(),
        };
    }
    CheckOutcome::Same
}

/// The tokenizer of a corpus: byte-level BPE, every digit alone, a space before every text, so
/// that a word has the same token at the start of an answer and inside a prompt.
fn tokenizer(recipe: &Recipe, corpus: &[Example]) -> Result<Tokenizer, PretrainingError> {
    let texts: Vec<String> = corpus
        .iter()
        .take(recipe.tokenizer_examples)
        .flat_map(|example| {
            [
                format!(" {}", example.prompt),
                format!(" {}", example.response),
            ]
        })
        .collect();
    let trained = Tokenizer::train_bpe(
        texts.iter().map(String::as_str),
        recipe.vocab,
        &[USER, ASSISTANT, END],
    )?;
    let file = "tokenizer.json";
    let mut value: Value =
        serde_json::from_slice(&trained.to_json()?).map_err(|error| format_error(file, error))?;
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
        "use_regex": true });
    let Some(map) = value.as_object_mut() else {
        return Err(format_error(file, "not an object"));
    };
    // Digits after the byte level: before it, every digit would get a space of its own.
    map.insert(
        "pre_tokenizer".to_owned(),
        json!({ "type": "Sequence", "pretokenizers": [
            byte_level, { "type": "Digits", "individual_digits": true } ] }),
    );
    map.insert(
        "decoder".to_owned(),
        json!({ "type": "Sequence", "decoders": [
            byte_level, { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] }),
    );
    let bytes = serde_json::to_vec(&value).map_err(|error| format_error(file, error))?;
    Ok(Tokenizer::from_json(&bytes, recipe.vocab)?)
}

fn sequences(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    corpus: &[Example],
) -> Result<Vec<Sequence>, PretrainingError> {
    let end = tokenizer.token_id(END);
    let mut sequences = Vec::with_capacity(corpus.len());
    for (index, example) in corpus.iter().enumerate() {
        let text = format!("{USER}{}{END}{ASSISTANT}", example.prompt);
        let mut ids = tokenizer.encode(&text, false)?;
        let prompt = ids.len();
        ids.extend(tokenizer.encode(&example.response, false)?);
        ids.extend(end);
        let whole = recipe.prompt_loss_every > 0 && index % recipe.prompt_loss_every == 0;
        let loss = (0..ids.len()).map(|i| i >= prompt || whole).collect();
        sequences.push(Sequence { ids, loss });
    }
    Ok(sequences)
}

fn corpus_digest(corpus: &[Example]) -> Digest {
    let mut bytes = Vec::new();
    for example in corpus {
        bytes.extend_from_slice(example.prompt.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(example.response.as_bytes());
        bytes.push(0);
    }
    Digest::of(&bytes)
}

fn file_digests(files: &ModelFiles) -> BTreeMap<String, Digest> {
    [
        ("config.json", &files.config),
        ("model.safetensors", &files.weights),
        ("tokenizer.json", &files.tokenizer),
        ("tokenizer_config.json", &files.tokenizer_config),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), Digest::of(bytes)))
    .collect()
}

fn io_error(path: &Path, source: std::io::Error) -> PretrainingError {
    PretrainingError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn format_error(file: &str, problem: impl Into<Source>) -> PretrainingError {
    PretrainingError::Format {
        file: file.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests;

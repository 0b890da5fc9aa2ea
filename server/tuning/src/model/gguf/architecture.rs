//! Architectures of GGUF files, one a row, and their metadata.

use super::{
    metadata::{Keys, Metadata},
    reader::{Value, bad},
    rope,
    tensors::Tensors,
};
use crate::{Architecture, Family, ModelConfig, TuningError, ops::RopeScaling};

/// An architecture as llama.cpp stores it.
struct Row {
    /// `general.architecture`
    name: &'static str,
    architecture: Architecture,
    /// Whether the converter moves rows of queries and keys ([`moved_row`](super::names::moved_row)).
    moves_rows: bool,
    /// Reads what sets the architecture apart; the rest of the configuration is there.
    family: fn(&Keys, &mut ModelConfig) -> Result<(), TuningError>,
}

/// The architectures that are read.
const ROWS: [Row; 5] = [
    Row {
        name: "llama",
        architecture: Architecture::Llama,
        moves_rows: true,
        family: plain,
    },
    Row {
        name: "qwen2",
        architecture: Architecture::Qwen2,
        moves_rows: false,
        family: plain,
    },
    Row {
        name: "qwen3",
        architecture: Architecture::Qwen3,
        moves_rows: false,
        family: plain,
    },
    Row {
        name: "gemma2",
        architecture: Architecture::Gemma2,
        moves_rows: false,
        family: gemma2,
    },
    Row {
        name: "gemma3",
        architecture: Architecture::Gemma3,
        moves_rows: false,
        family: gemma3,
    },
];

/// Keys that change nothing here: how a file was made, and settings of programs.
const HARMLESS: [&str; 1] = ["tensor_data_layout"];

/// The metadata of a model besides its vocabulary.
pub(super) struct Shape {
    pub(super) config: ModelConfig,
    /// Whether rows of queries and keys stand in another order than in a checkpoint.
    pub(super) moves_rows: bool,
}

/// Reads the configuration of a model.
pub(super) fn shape(metadata: &Metadata, tensors: &Tensors) -> Result<Shape, TuningError> {
    let name = metadata
        .text("general.architecture")?
        .ok_or_else(|| bad("general.architecture is missing"))?;
    let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
        let known = ROWS.map(|row| row.name).join(", ");
        TuningError::Unsupported(format!("GGUF: general.architecture {name:?}, only {known}"))
    })?;
    let keys = Keys::new(metadata, name);
    let mut config = common(&keys, metadata, tensors, row.architecture)?;
    rope::read(&keys, tensors, &mut config)?;
    (row.family)(&keys, &mut config)?;
    config.validate()?;
    for key in HARMLESS {
        keys.name(key);
    }
    keys.refuse_others()?;
    Ok(Shape {
        config,
        moves_rows: row.moves_rows,
    })
}

/// Reads what all architectures have.
fn common(
    keys: &Keys,
    metadata: &Metadata,
    tensors: &Tensors,
    architecture: Architecture,
) -> Result<ModelConfig, TuningError> {
    let (d_model, heads) = (
        keys.need("embedding_length")?,
        keys.need("attention.head_count")?,
    );
    let head_dim = match keys.size("attention.key_length")? {
        Some(length) => length,
        None => d_model.checked_div(heads).ok_or_else(|| bad("no heads"))?,
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(length) = keys.size(key)?
            && length != head_dim
        {
            let key = keys.name(key);
            return Err(TuningError::Unsupported(format!(
                "GGUF: {key} {length}, only that of a whole head, {head_dim}"
            )));
        }
    }
    let vocab = metadata.texts("tokenizer.ggml.tokens")?.len();
    if let Some(size) = keys.size("vocab_size")?
        && size != vocab
    {
        let key = keys.name("vocab_size");
        return Err(bad(format!("{key} is {size}, the vocabulary has {vocab}")));
    }
    if let Some(Value::Bool(false)) = keys.get("attention.causal") {
        return Err(TuningError::Unsupported(format!(
            "GGUF: {} false",
            keys.name("attention.causal")
        )));
    }
    let norm_eps = keys.positive("attention.layer_norm_rms_epsilon")?;
    let bias = |part: &str| {
        let end = format!(".{part}.bias");
        tensors.names().any(|name| name.ends_with(&end))
    };
    Ok(ModelConfig {
        d_model,
        layers: keys.need("block_count")?,
        heads,
        kv_heads: keys.size("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        ffn: keys.need("feed_forward_length")?,
        vocab,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        norm_eps: norm_eps.ok_or_else(|| {
            let key = keys.name("attention.layer_norm_rms_epsilon");
            bad(format!("{key} is missing"))
        })?,
        max_positions: keys.size("context_length")?.unwrap_or(2048),
        tied_embeddings: !tensors.contains("output.weight"),
        family: Family {
            architecture,
            qkv_bias: ["attn_q", "attn_k", "attn_v", "attn_qkv"]
                .into_iter()
                .any(bias),
            output_bias: bias("attn_output"),
            mlp_bias: ["ffn_gate", "ffn_up", "ffn_down"].into_iter().any(bias),
            ..Family::default()
        },
    })
}

/// An architecture that differs by its tensors alone.
fn plain(_: &Keys, _: &mut ModelConfig) -> Result<(), TuningError> {
    Ok(())
}

/// Reads which layers have a sliding window: a list, or that every `period`th has none.
fn windows(
    keys: &Keys,
    config: &mut ModelConfig,
    window: Option<usize>,
    period: usize,
) -> Result<(), TuningError> {
    let key = "attention.sliding_window_pattern";
    let mut slides: Vec<bool> = match keys.get(key) {
        Some(Value::Bools(slides)) => slides.clone(),
        Some(Value::Integers(slides)) => slides.iter().map(|slides| *slides != 0).collect(),
        _ => {
            let period = keys.size(key)?.unwrap_or(period).max(1);
            let layers = config.layers.min(fedseal_adapter::MAX_LAYERS);
            (0..layers)
                .map(|layer| !(layer + 1).is_multiple_of(period))
                .collect()
        }
    };
    if window.is_none() || !slides.contains(&true) {
        slides.clear();
    }
    config.family.window = window.filter(|_| !slides.is_empty());
    config.family.sliding = slides;
    Ok(())
}

/// Sets the scale of queries. Files do not have it; llama.cpp gives the models of 27B (by their number
/// of layers) the width over the heads, all others a head's size.
fn query_scale(config: &mut ModelConfig, layers_of_27b: usize) {
    let scale = match config.layers == layers_of_27b {
        true => config.d_model / config.heads.max(1),
        false => config.head_dim,
    };
    config.family.query_scale = Some(scale as f64);
}

fn gemma2(keys: &Keys, config: &mut ModelConfig) -> Result<(), TuningError> {
    let window = keys.size("attention.sliding_window")?.unwrap_or(4096);
    windows(keys, config, Some(window).filter(|window| *window > 0), 2)?;
    query_scale(config, 46);
    if let Some(theta) = keys.positive("rope.freq_base_swa")?
        && theta != config.rope_theta
    {
        let key = keys.name("rope.freq_base_swa");
        return Err(TuningError::Unsupported(format!("GGUF: {key} {theta}")));
    }
    // A key that is left out means the cap of the published models.
    let cap = |key: &str, usual: f64| match keys.get(key) {
        None => Ok(Some(usual)),
        Some(_) => keys.positive(key),
    };
    config.family.attention_cap = cap("attn_logit_softcapping", 50.0)?;
    config.family.logit_cap = cap("final_logit_softcapping", 30.0)?;
    Ok(())
}

fn gemma3(keys: &Keys, config: &mut ModelConfig) -> Result<(), TuningError> {
    let window = keys
        .size("attention.sliding_window")?
        .filter(|window| *window > 0);
    windows(keys, config, window, 6)?;
    query_scale(config, 62);
    let local = keys.positive("rope.freq_base_swa")?;
    config.family.local_rope_theta = Some(local.unwrap_or(10_000.0));
    config.family.logit_cap = keys.positive("final_logit_softcapping")?;
    Ok(())
}

//! GGUF files of Llama-family models: header, metadata, tensors, tokenizer.
//!
//! The layout is that of the GGUF specification, versions 2 and 3, little-endian. Every length in
//! the file is checked against what is left of it before anything is allocated.

mod blocks;
mod k_quants;
mod matrix;
mod parts;
mod reader;

use std::{collections::BTreeMap, path::Path};

use blocks::BlockType;
use reader::{Reader, TensorInfo, Value, bad};

use fedseal_adapter::safetensors::{check_finite, check_shape};

use crate::{
    Family, ModelConfig, Tokenizer, TuningError,
    model::{files::Parts, tokenizer::BpeParts, weights::WeightSource},
    ops::{RopeScaling, Stored},
};

/// Most metadata entries and most tensors of a file.
const MAX_ENTRIES: u64 = 1 << 16;
/// Reads a GGUF file into memory and opens it.
pub(crate) fn open(path: &Path) -> Result<(GgufSource, Parts), TuningError> {
    parse(std::fs::read(path).map_err(TuningError::io(path))?)
}

/// Opens a GGUF file in memory.
pub(crate) fn parse(bytes: Vec<u8>) -> Result<(GgufSource, Parts), TuningError> {
    let mut reader = Reader::new(&bytes);
    if reader.take(4)? != b"GGUF" {
        return Err(bad("no magic"));
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(TuningError::Unsupported(format!("GGUF version {version}")));
    }
    let (tensors, entries) = (reader.u64()?, reader.u64()?);
    if tensors > MAX_ENTRIES || entries > MAX_ENTRIES {
        return Err(bad(format!(
            "{tensors} tensors and {entries} metadata entries"
        )));
    }
    let mut metadata = Metadata::default();
    for _ in 0..entries {
        let key = reader.name()?;
        let kind = reader.u32()?;
        let value = reader.value(kind)?;
        if metadata.0.insert(key.clone(), value).is_some() {
            return Err(bad(format!("{key} occurs twice")));
        }
    }
    let mut index = BTreeMap::new();
    for _ in 0..tensors {
        let name = reader.name()?;
        let info = reader.tensor()?;
        if index.insert(name.clone(), info).is_some() {
            return Err(bad(format!("tensor {name} occurs twice")));
        }
    }
    let alignment = metadata.size("general.alignment")?.unwrap_or(32);
    if !alignment.is_power_of_two() || alignment > 1 << 16 {
        return Err(bad(format!("alignment {alignment}")));
    }
    let start = reader.position().next_multiple_of(alignment);
    check_places(&index, bytes.len().saturating_sub(start))?;
    let source_config = config(&metadata, index.contains_key("output.weight"))?;
    if index.contains_key("rope_freqs.weight") {
        return Err(TuningError::Unsupported("GGUF: rope_freqs".to_owned()));
    }
    let parts = parts(&metadata, source_config.clone())?;
    Ok((
        GgufSource {
            bytes,
            start,
            index,
            config: source_config,
        },
        parts,
    ))
}

/// Checks that every tensor is within the `length` bytes of the data and that no two overlap: files
/// whose tensors share bytes could require any multiple of their size in memory.
fn check_places(index: &BTreeMap<String, TensorInfo>, length: usize) -> Result<(), TuningError> {
    let mut places = Vec::with_capacity(index.len());
    for (name, info) in index {
        let end = info.offset.checked_add(info.length);
        let end = end
            .filter(|end| *end <= length)
            .ok_or_else(|| bad(format!("tensor {name} is cut off")))?;
        places.push((info.offset, end, name));
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        if let [(_, end, first), (start, _, second)] = pair
            && start < end
        {
            return Err(bad(format!("tensors {first} and {second} overlap")));
        }
    }
    Ok(())
}

/// The tensors of a GGUF file with their Hugging Face names.
pub(crate) struct GgufSource {
    bytes: Vec<u8>,
    /// Offset of the tensor data.
    start: usize,
    index: BTreeMap<String, TensorInfo>,
    config: ModelConfig,
}

/// Returns the name that llama.cpp's converter gives a tensor.
fn gguf_name(name: &str) -> Option<String> {
    let top = match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => {
            let rest = name.strip_prefix("model.layers.")?;
            let (layer, part) = rest.split_once('.')?;
            let part = match part {
                "input_layernorm.weight" => "attn_norm",
                "post_attention_layernorm.weight" => "ffn_norm",
                "self_attn.q_proj.weight" => "attn_q",
                "self_attn.k_proj.weight" => "attn_k",
                "self_attn.v_proj.weight" => "attn_v",
                "self_attn.o_proj.weight" => "attn_output",
                "mlp.gate_proj.weight" => "ffn_gate",
                "mlp.up_proj.weight" => "ffn_up",
                "mlp.down_proj.weight" => "ffn_down",
                _ => return None,
            };
            return Some(format!("blk.{layer}.{part}.weight"));
        }
    };
    Some(top.to_owned())
}

impl GgufSource {
    /// Returns type and bytes of a tensor.
    fn raw(&self, name: &str, shape: &[usize]) -> Result<(BlockType, &[u8]), TuningError> {
        let info = gguf_name(name)
            .and_then(|name| self.index.get(&name))
            .ok_or_else(|| TuningError::MissingTensor(name.to_owned()))?;
        check_shape(name, &info.shape, shape)?;
        let raw = self
            .start
            .checked_add(info.offset)
            .and_then(|start| Some(start..start.checked_add(info.length)?))
            .and_then(|range| self.bytes.get(range))
            .ok_or_else(|| bad(format!("tensor {name} is cut off")))?;
        Ok((info.kind, raw))
    }

    /// Number of heads whose rows llama.cpp's converter moved; `None` where it moved none.
    fn moved_heads(&self, name: &str) -> Option<usize> {
        if name.contains("q_proj") {
            Some(self.config.heads)
        } else if name.contains("k_proj") {
            Some(self.config.kv_heads)
        } else {
            None
        }
    }
}

impl WeightSource for GgufSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        let (kind, raw) = self.raw(name, shape)?;
        let values = kind.decode(raw);
        check_finite(name, &values)?;
        match (self.moved_heads(name), shape) {
            (Some(_), &[rows, inner]) => {
                let mut out = Vec::with_capacity(values.len());
                for row in 0..rows {
                    let start = moved_row(row, self.config.head_dim) * inner;
                    out.extend_from_slice(values.get(start..start + inner).unwrap_or_default());
                }
                Ok(out)
            }
            _ => Ok(values),
        }
    }

    fn matrix(&self, name: &str, [out, inner]: [usize; 2]) -> Result<Stored, TuningError> {
        let (kind, raw) = self.raw(name, &[out, inner])?;
        let head_dim = self.config.head_dim;
        let moved = self.moved_heads(name).is_some();
        let row = |row: usize| if moved { moved_row(row, head_dim) } else { row };
        match matrix::compact(kind, raw, out, inner, &row) {
            Some(Some(compact)) => Ok(Stored::Compact(compact)),
            Some(None) => Err(TuningError::NotFinite(format!("tensor {name}"))),
            None => Ok(Stored::Dense(self.tensor(name, &[out, inner])?)),
        }
    }
}

/// Returns the position of a row in the file. llama.cpp rotates neighbouring rows, Hugging Face
/// rows half a head apart: its converter moves row `half · h + i` of a head to row `2 · i + h`.
fn moved_row(row: usize, head_dim: usize) -> usize {
    let (head, row) = (row / head_dim, row % head_dim);
    let (side, i) = (row / (head_dim / 2), row % (head_dim / 2));
    head * head_dim + 2 * i + side
}

#[derive(Default)]
struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    fn size(&self, key: &str) -> Result<Option<usize>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => usize::try_from(*value)
                .map(Some)
                .map_err(|_| bad(format!("{key} is {value}"))),
            Some(_) => Err(bad(format!("{key} is no integer"))),
        }
    }

    fn need(&self, key: &str) -> Result<usize, TuningError> {
        self.size(key)?
            .ok_or_else(|| bad(format!("{key} is missing")))
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(key) {
            Some(Value::Number(value)) => Some(*value),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    fn texts(&self, key: &str) -> Result<&[String], TuningError> {
        match self.0.get(key) {
            Some(Value::Texts(values)) => Ok(values),
            _ => Err(bad(format!("{key} is no array of strings"))),
        }
    }

    fn id(&self, key: &str) -> Option<u32> {
        match self.0.get(key) {
            Some(Value::Integer(value)) => u32::try_from(*value).ok(),
            _ => None,
        }
    }
}

fn config(metadata: &Metadata, has_head: bool) -> Result<ModelConfig, TuningError> {
    match metadata.text("general.architecture") {
        Some("llama") => {}
        other => {
            return Err(TuningError::Unsupported(format!(
                "GGUF architecture {other:?}"
            )));
        }
    }
    let rope_scaling = match metadata.text("llama.rope.scaling.type") {
        None | Some("none") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear {
            factor: metadata
                .number("llama.rope.scaling.factor")
                .filter(|factor| factor.is_finite() && *factor > 0.0)
                .ok_or_else(|| bad("linear rope scaling without a factor"))?,
        },
        Some(other) => return Err(TuningError::Unsupported(format!("rope scaling {other:?}"))),
    };
    let (d_model, heads) = (
        metadata.need("llama.embedding_length")?,
        metadata.need("llama.attention.head_count")?,
    );
    let head_dim = match metadata.size("llama.attention.key_length")? {
        Some(length) => length,
        None => d_model.checked_div(heads).ok_or_else(|| bad("no heads"))?,
    };
    if metadata
        .size("llama.rope.dimension_count")?
        .is_some_and(|count| count != head_dim)
    {
        return Err(TuningError::Unsupported(
            "GGUF: partial rotary embeddings".to_owned(),
        ));
    }
    let config = ModelConfig {
        d_model,
        layers: metadata.need("llama.block_count")?,
        heads,
        kv_heads: metadata
            .size("llama.attention.head_count_kv")?
            .unwrap_or(heads),
        head_dim,
        ffn: metadata.need("llama.feed_forward_length")?,
        vocab: metadata.texts("tokenizer.ggml.tokens")?.len(),
        rope_theta: metadata.number("llama.rope.freq_base").unwrap_or(10_000.0),
        rope_scaling,
        norm_eps: metadata
            .number("llama.attention.layer_norm_rms_epsilon")
            .ok_or_else(|| bad("llama.attention.layer_norm_rms_epsilon is missing"))?,
        max_positions: metadata.size("llama.context_length")?.unwrap_or(2048),
        tied_embeddings: !has_head,
        family: Family::default(),
    };
    config.validate()?;
    Ok(config)
}

/// Token types of `enum llama_token_type` that matter here.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

fn parts(metadata: &Metadata, config: ModelConfig) -> Result<Parts, TuningError> {
    match metadata.text("tokenizer.ggml.model") {
        Some("gpt2") => {}
        other => {
            return Err(TuningError::Unsupported(format!(
                "GGUF tokenizer {other:?}"
            )));
        }
    }
    let tokens = metadata.texts("tokenizer.ggml.tokens")?;
    let types: &[i64] = match metadata.0.get("tokenizer.ggml.token_type") {
        Some(Value::Integers(types)) => types,
        _ => &[],
    };
    let of_type = |wanted: i64| -> Vec<u32> {
        types
            .iter()
            .zip(0u32..)
            .filter(|(kind, _)| **kind == wanted)
            .map(|(_, id)| id)
            .collect()
    };
    let known = |key: &str| metadata.id(key).filter(|id| (*id as usize) < tokens.len());
    let bos = known("tokenizer.ggml.bos_token_id");
    let adds_bos = matches!(
        metadata.0.get("tokenizer.ggml.add_bos_token"),
        Some(Value::Bool(true))
    );
    let json = BpeParts {
        tokens,
        merges: metadata.texts("tokenizer.ggml.merges")?,
        special: &of_type(CONTROL),
        added: &of_type(USER_DEFINED),
        pre: metadata.text("tokenizer.ggml.pre").unwrap_or("default"),
        first: bos.filter(|_| adds_bos),
    }
    .to_json()?;
    let mut eos = Vec::new();
    for key in ["eos", "eot", "eom"] {
        if let Some(id) = known(&format!("tokenizer.ggml.{key}_token_id"))
            && !eos.contains(&id)
        {
            eos.push(id);
        }
    }
    Ok(Parts {
        tokenizer: Tokenizer::from_json(&json, config.vocab)?,
        config,
        chat_template: metadata.text("tokenizer.chat_template").map(str::to_owned),
        bos: bos.and_then(|id| tokens.get(id as usize).cloned()),
        eos,
    })
}

#[cfg(test)]
mod tests;

//! GGUF files of Llama-family models: header, metadata, tensors, tokenizer.
//!
//! The layout is that of the GGUF specification, versions 2 and 3, little-endian. Every length in
//! the file is checked against what is left of it before anything is allocated.

use std::{collections::BTreeMap, path::Path};

use crate::{
    ModelConfig, Tokenizer, TuningError,
    gguf_blocks::BlockType,
    model::Parts,
    ops::RopeScaling,
    tokenizer::BpeParts,
    weights::{WeightSource, check_finite, check_shape},
};

/// Most metadata entries and most tensors of a file.
const MAX_ENTRIES: u64 = 1 << 16;
/// Longest key or name, bytes.
const MAX_NAME: usize = 1 << 12;

fn bad(text: impl Into<String>) -> TuningError {
    TuningError::Format(format!("GGUF: {}", text.into()))
}

/// Reads a GGUF file into memory and opens it.
pub(crate) fn open(path: &Path) -> Result<(GgufSource, Parts), TuningError> {
    parse(std::fs::read(path).map_err(TuningError::io(path))?)
}

/// Opens a GGUF file in memory.
pub(crate) fn parse(bytes: Vec<u8>) -> Result<(GgufSource, Parts), TuningError> {
    let mut reader = Reader { bytes: &bytes, at: 0 };
    if reader.take(4)? != b"GGUF" {
        return Err(bad("no magic"));
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(TuningError::Unsupported(format!("GGUF version {version}")));
    }
    let (tensors, entries) = (reader.u64()?, reader.u64()?);
    if tensors > MAX_ENTRIES || entries > MAX_ENTRIES {
        return Err(bad(format!("{tensors} tensors and {entries} metadata entries")));
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
    let start = reader.at.next_multiple_of(alignment);
    let source_config = config(&metadata, index.contains_key("output.weight"))?;
    if index.contains_key("rope_freqs.weight") {
        return Err(TuningError::Unsupported("GGUF: rope_freqs".to_owned()));
    }
    let parts = parts(&metadata, source_config.clone())?;
    Ok((GgufSource { bytes, start, index, config: source_config }, parts))
}

/// The tensors of a GGUF file under their Hugging Face names.
pub(crate) struct GgufSource {
    bytes: Vec<u8>,
    /// Where the tensor data begin.
    start: usize,
    index: BTreeMap<String, TensorInfo>,
    config: ModelConfig,
}

struct TensorInfo {
    /// Row-major, outermost first (the file has them the other way round).
    shape: Vec<usize>,
    kind: BlockType,
    offset: usize,
    /// Bytes of the data.
    length: usize,
}

/// The name that llama.cpp's converter gives a tensor.
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

impl WeightSource for GgufSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
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
        let mut values = info.kind.decode(raw);
        check_finite(name, &values)?;
        for (part, heads) in
            [("q_proj", self.config.heads), ("k_proj", self.config.kv_heads)]
        {
            if name.contains(part)
                && let Some(&inner) = shape.get(1)
            {
                values = unpermute(&values, heads, self.config.head_dim, inner);
            }
        }
        Ok(values)
    }
}

/// llama.cpp rotates neighbouring rows, Hugging Face rows half a head apart: its converter moves
/// row `half · h + i` of a head to row `2 · i + h`. This moves them back.
fn unpermute(values: &[f32], heads: usize, head_dim: usize, inner: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for head in 0..heads {
        for row in 0..head_dim {
            let (side, i) = (row / (head_dim / 2), row % (head_dim / 2));
            let start = (head * head_dim + 2 * i + side) * inner;
            out.extend_from_slice(values.get(start..start + inner).unwrap_or_default());
        }
    }
    out
}

/// A metadata value, as far as this engine reads them.
enum Value {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    /// An array of something else, which no key that we read has.
    Other,
}

#[derive(Default)]
struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    fn size(&self, key: &str) -> Result<Option<usize>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => {
                usize::try_from(*value).map(Some).map_err(|_| bad(format!("{key} is {value}")))
            }
            Some(_) => Err(bad(format!("{key} is no integer"))),
        }
    }

    fn need(&self, key: &str) -> Result<usize, TuningError> {
        self.size(key)?.ok_or_else(|| bad(format!("{key} is missing")))
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
        other => return Err(TuningError::Unsupported(format!("GGUF architecture {other:?}"))),
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
    if metadata.size("llama.rope.dimension_count")?.is_some_and(|count| count != head_dim) {
        return Err(TuningError::Unsupported("GGUF: partial rotary embeddings".to_owned()));
    }
    let config = ModelConfig {
        d_model,
        layers: metadata.need("llama.block_count")?,
        heads,
        kv_heads: metadata.size("llama.attention.head_count_kv")?.unwrap_or(heads),
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
        other => return Err(TuningError::Unsupported(format!("GGUF tokenizer {other:?}"))),
    }
    let tokens = metadata.texts("tokenizer.ggml.tokens")?;
    let types: &[i64] = match metadata.0.get("tokenizer.ggml.token_type") {
        Some(Value::Integers(types)) => types,
        _ => &[],
    };
    let of_type = |wanted: i64| -> Vec<u32> {
        types.iter().zip(0u32..).filter(|(kind, _)| **kind == wanted).map(|(_, id)| id).collect()
    };
    let known = |key: &str| metadata.id(key).filter(|id| (*id as usize) < tokens.len());
    let bos = known("tokenizer.ggml.bos_token_id");
    let adds_bos =
        matches!(metadata.0.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true)));
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

/// A cursor over bytes that never reads past their end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TuningError> {
        let end = self.at.checked_add(count).ok_or_else(|| bad("a length overflows"))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| bad("the header is cut off"))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TuningError> {
        self.take(N)?.try_into().map_err(|_| bad("the header is cut off"))
    }

    fn u32(&mut self) -> Result<u32, TuningError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, TuningError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, TuningError> {
        let length = usize::try_from(self.u64()?).map_err(|_| bad("a length overflows"))?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| bad("a string is not UTF-8"))
    }

    fn name(&mut self) -> Result<String, TuningError> {
        let name = self.text()?;
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(bad(format!("a name of {} bytes", name.len())));
        }
        Ok(name)
    }

    /// A value that is not an array, by its number in `enum gguf_type`.
    fn scalar(&mut self, kind: u32) -> Result<Value, TuningError> {
        Ok(match kind {
            0 => Value::Integer(i64::from(u8::from_le_bytes(self.array()?))),
            1 => Value::Integer(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Integer(i64::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Integer(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Integer(i64::from(self.u32()?)),
            5 => Value::Integer(i64::from(i32::from_le_bytes(self.array()?))),
            // Through its shortest text, so that 1e-5 as f32 is 1e-5 as f64.
            6 => {
                let value = f32::from_le_bytes(self.array()?);
                Value::Number(value.to_string().parse().unwrap_or(f64::from(value)))
            }
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(bad(format!("a boolean of {other}"))),
            },
            8 => Value::Text(self.text()?),
            10 => Value::Integer(
                i64::try_from(self.u64()?).map_err(|_| bad("an integer overflows"))?,
            ),
            11 => Value::Integer(i64::from_le_bytes(self.array()?)),
            12 => Value::Number(f64::from_le_bytes(self.array()?)),
            other => return Err(bad(format!("value type {other}"))),
        })
    }

    fn value(&mut self, kind: u32) -> Result<Value, TuningError> {
        if kind != 9 {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let count = usize::try_from(self.u64()?).map_err(|_| bad("a length overflows"))?;
        // An element takes a byte at least, so a longer array cannot be in the file.
        if count > self.bytes.len().saturating_sub(self.at) {
            return Err(bad(format!("an array of {count}")));
        }
        match kind {
            8 => (0..count).map(|_| self.text()).collect::<Result<_, _>>().map(Value::Texts),
            0..=5 | 10 | 11 => (0..count)
                .map(|_| match self.scalar(kind)? {
                    Value::Integer(value) => Ok(value),
                    _ => Err(bad("a mixed array")),
                })
                .collect::<Result<_, _>>()
                .map(Value::Integers),
            6 | 7 | 12 => {
                for _ in 0..count {
                    self.scalar(kind)?;
                }
                Ok(Value::Other)
            }
            other => Err(bad(format!("an array of type {other}"))),
        }
    }

    fn tensor(&mut self) -> Result<TensorInfo, TuningError> {
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(bad(format!("a tensor of {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        let mut count = 1usize;
        for _ in 0..dimensions {
            let size = usize::try_from(self.u64()?).map_err(|_| bad("a size overflows"))?;
            count = count.checked_mul(size).ok_or_else(|| bad("a tensor's size overflows"))?;
            shape.insert(0, size);
        }
        let id = self.u32()?;
        let kind = BlockType::from_id(id)
            .ok_or_else(|| TuningError::Unsupported(format!("GGML tensor type {id}")))?;
        let (values, bytes) = kind.block();
        let row = shape.last().copied().unwrap_or_default();
        if row % values != 0 {
            return Err(bad(format!("a row of {row} in blocks of {values}")));
        }
        let length = (count / values).checked_mul(bytes).ok_or_else(|| bad("too large"))?;
        let offset = usize::try_from(self.u64()?).map_err(|_| bad("an offset overflows"))?;
        Ok(TensorInfo { shape, kind, offset, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::expected_tensors, rng::Stream, weights::SafetensorsSource};

    #[test]
    fn rows_return_to_their_places() {
        // One head of four rows and one column: the file holds rows 0, 2, 1, 3.
        assert_eq!(unpermute(&[0.0, 2.0, 1.0, 3.0], 1, 4, 1), [0.0, 1.0, 2.0, 3.0]);
    }

    fn fixture(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_file_gives_the_tensors_and_tokens_of_its_source() {
        let (source, parts) = parse(fixture("tiny-llama.gguf")).unwrap();
        let config = ModelConfig::from_json(&fixture("tiny-llama/config.json")).unwrap();
        assert_eq!(parts.config, config);
        assert_eq!(parts.eos, [2]);
        let weights = fixture("tiny-llama/model.safetensors");
        let original = SafetensorsSource::from_files(vec![weights]).unwrap();
        let quantised: BTreeMap<String, Vec<f32>> =
            serde_json::from_slice(&fixture("tiny_gguf.json")).unwrap();
        for (name, shape) in expected_tensors(&config) {
            let values = source.tensor(&name, &shape).unwrap();
            match quantised.get(&name) {
                Some(first_row) => assert_eq!(&values[..first_row.len()], first_row, "{name}"),
                None => assert_eq!(values, original.tensor(&name, &shape).unwrap(), "{name}"),
            }
        }
        let tokenizer = Tokenizer::from_json(&fixture("tiny-llama/tokenizer.json"), 300).unwrap();
        for text in ["the cat sat on 42 logs", "<|im_start|>user\nhi<|im_end|> Ünïcode 日本"] {
            let ids = parts.tokenizer.encode(text, false).unwrap();
            assert_eq!(ids, tokenizer.encode(text, false).unwrap());
        }
    }

    /// Damaged files may still load when the damage hits a value; they must never panic.
    #[test]
    fn damaged_files_do_not_panic() {
        let good = fixture("tiny-llama.gguf");
        let stream = Stream::new(1, &[]);
        for round in 0..400u64 {
            let mut bytes = good.clone();
            // Most of the structure is in the first part.
            let at = stream.below(round, if round % 2 == 0 { 700 } else { 16_000 }) as usize;
            match round % 3 {
                0 => bytes[at] ^= 1 << (round % 8),
                1 => bytes[at..at + 8].fill(0xff),
                _ => bytes.truncate(at),
            }
            let Ok((source, parts)) = parse(bytes) else { continue };
            for (name, shape) in expected_tensors(&parts.config) {
                let _ = source.tensor(&name, &shape);
            }
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let header = |tensors: u64, entries: u64, rest: &[u8]| {
            let mut bytes = b"GGUF".to_vec();
            bytes.extend(3u32.to_le_bytes());
            bytes.extend(tensors.to_le_bytes());
            bytes.extend(entries.to_le_bytes());
            bytes.extend(rest);
            bytes
        };
        let endless_text = u64::MAX.to_le_bytes();
        let mut endless_array = 1u64.to_le_bytes().to_vec();
        endless_array.push(b'k');
        endless_array.extend(9u32.to_le_bytes());
        endless_array.extend(8u32.to_le_bytes());
        endless_array.extend((u64::MAX / 2).to_le_bytes());
        let mut nested = endless_array.clone();
        nested[13] = 9;
        for bytes in [
            Vec::new(),
            b"GGUF".to_vec(),
            b"ELF\x7fELF\x7f".to_vec(),
            header(u64::MAX, 0, &[]),
            header(0, u64::MAX, &[]),
            header(0, 0, &[]),
            header(0, 1, &[]),
            header(0, 1, &endless_text),
            header(0, 1, &endless_array),
            header(0, 1, &nested),
            header(1, 0, &[1, 0, 0, 0, 0, 0, 0, 0, b't', 4, 0, 0, 0]),
        ] {
            assert!(parse(bytes).is_err());
        }
    }
}

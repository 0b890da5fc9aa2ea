use std::collections::BTreeMap;

use super::*;
use crate::{
    Model, ModelConfig, ModelOptions, Tokenizer,
    model::{expected_tensors, weights::WeightSource},
    ops::Stored,
};
use fedseal_adapter::{rng::Stream, safetensors::SafetensorsSource};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
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
        if let [out, inner] = shape[..]
            && let Stored::Compact(compact) = source.matrix(&name, [out, inner]).unwrap()
        {
            assert_eq!(compact.values(), values, "{name}");
        }
    }
    let tokenizer = Tokenizer::from_json(&fixture("tiny-llama/tokenizer.json"), 300).unwrap();
    for text in [
        "the cat sat on 42 logs",
        "<|im_start|>user\nhi<|im_end|> Ünïcode 日本",
    ] {
        let ids = parts.tokenizer.encode(text, false).unwrap();
        assert_eq!(ids, tokenizer.encode(text, false).unwrap());
    }
}

/// A part of a matrix has the values that it has in the whole, whatever the type.
#[test]
fn parts_of_matrices_are_those_of_the_whole() {
    for name in ["tiny-llama.gguf", "gguf/phi3.gguf", "gguf/llama.gguf"] {
        let (source, parts) = parse(fixture(name)).unwrap();
        for (name, shape) in expected_tensors(&parts.config) {
            let [out, inner] = shape[..] else { continue };
            let whole = source.tensor(&name, &shape).unwrap();
            for rows in [0..out, 1..out / 2, out / 2..out] {
                let part = &whole[rows.start * inner..rows.end * inner];
                let stored = match source.rows(&name, [out, inner], rows.clone()).unwrap() {
                    Stored::Dense(values) => values,
                    Stored::Compact(compact) => compact.values(),
                };
                assert_eq!(stored, part, "{name} {rows:?}");
                let decoded = source.decoded(&name, [out, inner], rows.clone()).unwrap();
                assert_eq!(decoded, part, "{name} {rows:?}");
            }
        }
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
        let Ok((source, parts)) = parse(bytes) else {
            continue;
        };
        for (name, shape) in expected_tensors(&parts.config) {
            let _ = source.tensor(&name, &shape);
            if let [out, inner] = shape[..] {
                let _ = source.matrix(&name, [out, inner]);
            }
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

/// Values that transformers and sentencepiece compute with the checkpoints that llama.cpp's converter read;
/// `tests/fixtures/gguf_models.py` made both.
#[derive(serde::Deserialize)]
struct Expected {
    prompt: String,
    texts: Vec<String>,
    models: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// Every fourth logit of the last row.
    last: Vec<f32>,
    /// Every fourth logit of the middle row.
    middle: Vec<f32>,
    encoded: Vec<Vec<u32>>,
    decoded: Vec<String>,
    special: Vec<u32>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf")
}

fn expected() -> Expected {
    serde_json::from_slice(&fixture("gguf/expected.json")).unwrap()
}

fn load(path: &Path) -> Result<Model, TuningError> {
    Model::load(path, &ModelOptions::default())
}

#[test]
fn files_of_the_converter_give_the_logits_of_transformers() {
    for (name, case) in expected().models {
        let model = load(&fixtures().join(format!("{name}.gguf"))).unwrap();
        for (row, real) in [
            (case.ids.len(), &case.last),
            (case.ids.len() / 2 + 1, &case.middle),
        ] {
            let ours = crate::next_logits(&model, None, &case.ids[..row]).unwrap();
            let ours: Vec<f32> = ours.into_iter().step_by(4).collect();
            assert_eq!(ours.len(), real.len(), "{name}");
            let largest = real
                .iter()
                .fold(0.0f32, |most, value| most.max(value.abs()));
            for (ours, real) in ours.iter().zip(real) {
                let off = (ours - real).abs() / largest;
                assert!(off < 1e-5, "{name}: {ours} is not {real}");
            }
        }
    }
}

#[test]
fn files_of_the_converter_give_the_ids_of_their_tokenizers() {
    let expected = expected();
    for (name, case) in expected.models {
        let model = load(&fixtures().join(format!("{name}.gguf"))).unwrap();
        let tokenizer = model.tokenizer();
        for (text, ids) in expected.texts.iter().zip(&case.encoded) {
            assert_eq!(
                &tokenizer.encode(text, false).unwrap(),
                ids,
                "{name}: {text:?}"
            );
        }
        for (ids, text) in case.encoded.iter().zip(&case.decoded) {
            assert_eq!(&tokenizer.decode(ids).unwrap(), text, "{name}");
        }
        let special = tokenizer.encode(&expected.prompt, true).unwrap();
        assert_eq!(special, case.special, "{name}");
    }
}

#[test]
fn a_split_is_the_model_of_one_file() {
    let whole = load(&fixtures().join("llama.gguf")).unwrap().digest();
    for number in ["00001", "00003"] {
        let path = fixtures().join(format!("split-{number}-of-00004.gguf"));
        assert_eq!(load(&path).unwrap().digest(), whole);
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = |number: usize| {
        let name = format!("split-0000{number}-of-00004.gguf");
        std::fs::copy(fixtures().join(&name), folder.path().join(&name)).unwrap();
    };
    (1..=3).for_each(copy);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("split-00004-of-00004.gguf"), "{error}");
    copy(4);
    assert_eq!(load(folder.path()).unwrap().digest(), whole);
    // A file that took the place of another.
    let path = |number: usize| {
        folder
            .path()
            .join(format!("split-0000{number}-of-00004.gguf"))
    };
    std::fs::copy(path(2), path(3)).unwrap();
    assert!(load(folder.path()).is_err());
    // A name that does not say where the others are.
    std::fs::copy(path(1), folder.path().join("model.gguf")).unwrap();
    let error = load(&folder.path().join("model.gguf"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("-00001-of-00004.gguf"), "{error}");
}

#[test]
fn first_bytes_say_what_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::copy(fixtures().join("qwen2.gguf"), &path).unwrap();
    let digest = load(&path).unwrap().digest();
    assert_eq!(load(folder.path()).unwrap().digest(), digest);
    let other = folder.path().join("other.gguf");
    std::fs::write(&other, "GG").unwrap();
    let error = load(&other).unwrap_err().to_string();
    assert!(
        error.contains("other.gguf") && error.contains("neither"),
        "{error}"
    );
    std::fs::copy(&path, &other).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("several GGUF files"), "{error}");
}

/// Replaces bytes of the header by as many others, everywhere.
fn patched(name: &str, from: &[u8], to: &[u8]) -> Result<(GgufSource, Parts), TuningError> {
    let mut bytes = fixture(&format!("gguf/{name}.gguf"));
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty() && from.len() == to.len());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    parse(bytes)
}

#[test]
fn what_is_not_read_is_named() {
    for (name, from, to, words) in [
        // A tensor that the architecture has not; that a bias is dropped would be silent.
        (
            "llama",
            "blk.1.attn_q.bias",
            "blk.1.attn_x.bias",
            "blk.1.attn_x.bias",
        ),
        (
            "llama",
            "blk.1.ffn_up.weight",
            "blk.1.ffn_ex.weight",
            "blk.1.ffn_ex.weight",
        ),
        (
            "qwen2",
            "blk.0.attn_k.bias",
            "blk.0.attn_r.bias",
            "blk.0.attn_r.bias",
        ),
        ("gemma2", "post_ffw_norm", "post_fxw_norm", "post_fxw_norm"),
        (
            "qwen3",
            "rope.scaling.factor",
            "rope.scaling.fxctor",
            "rope.scaling.factor",
        ),
        (
            "qwen3",
            "rope.scaling.factor",
            "rope.scaling.fxctor",
            "yarn",
        ),
        (
            "gemma2",
            "attn_logit_softcapping",
            "attn_logit_softcaqqing",
            "attn_logit_softcaqqing",
        ),
        ("qwen2", "smollm", "smollx", "smollx"),
    ] {
        let error = match patched(name, from.as_bytes(), to.as_bytes()) {
            Ok(_) => panic!("{name} with {to:?} loads"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words), "{to:?}: {error}");
    }
    let error = patched("llama-spm", b"llama.block_count", b"llama.blockxcount");
    assert!(error.is_err_and(|error| error.to_string().contains("llama.block_count")));
}

#[test]
fn types_are_named() {
    // The entry of a tensor: number of dimensions, sizes, type.
    for (id, name) in [(15u8, "Q8_K"), (25, "I16"), (99, "number 99")] {
        let mut bytes = fixture("gguf/llama.gguf");
        let entry = b"output_norm.weight";
        let at = bytes
            .windows(entry.len())
            .position(|window| window == entry)
            .unwrap();
        bytes[at + entry.len() + 12] = id;
        let error = parse(bytes).err().unwrap().to_string();
        assert!(error.contains("output_norm.weight of type"), "{error}");
        assert!(error.contains(name) && error.contains("IQ4_NL"), "{error}");
    }
}

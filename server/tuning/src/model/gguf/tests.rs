use super::*;
use crate::model::expected_tensors;
use fedseal_adapter::{rng::Stream, safetensors::SafetensorsSource};

#[test]
fn rows_return_to_their_places() {
    // One head of four rows and one column: the file holds rows 0, 2, 1, 3.
    let rows = [0.0, 2.0, 1.0, 3.0];
    let back: Vec<f32> = (0..4).map(|row| rows[moved_row(row, 4)]).collect();
    assert_eq!(back, [0.0, 1.0, 2.0, 3.0]);
    // The second head begins where the first one ends.
    assert_eq!(moved_row(5, 4), 6);
}

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

#[test]
fn tensors_that_share_bytes_are_refused() {
    let index = |places: &[(usize, usize)]| -> BTreeMap<String, TensorInfo> {
        let info = |(offset, length): (usize, usize)| TensorInfo {
            shape: vec![length / 4],
            kind: blocks::BlockType::F32,
            offset,
            length,
        };
        (0..)
            .map(|n: u32| format!("t{n}"))
            .zip(places.iter().map(|place| info(*place)))
            .collect()
    };
    assert!(check_places(&index(&[(32, 32), (0, 32), (64, 0), (64, 8)]), 72).is_ok());
    for (places, problem) in [
        (&[(0, 32), (0, 32)][..], "t0 and t1 overlap"),
        (&[(32, 32), (0, 33)], "t1 and t0 overlap"),
        (&[(0, 32), (64, 9)], "t1 is cut off"),
        (&[(usize::MAX, 32)], "t0 is cut off"),
    ] {
        let error = check_places(&index(places), 72).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

//! Bytes from outside: readers accept the seeds of the fuzz targets (`fuzz/seeds`). With a few
//! changed bytes a seed gives a value or an error, never a panic. `cargo xtask fuzz` looks further,
//! and its findings become tests here.

use std::path::{Path, PathBuf};

use fedseal_tuning::*;

fn seeds(folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut list: Vec<(String, Vec<u8>)> = std::fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    list.sort();
    assert!(!list.is_empty(), "{folder}");
    list
}

fn seed(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    std::fs::read(path.join(name)).unwrap()
}

/// Pseudo-random numbers that are the same every time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Changes a few places: bits, numbers at their ends, pieces that are moved, removed or doubled.
fn mutate(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + draw.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = draw.below(bytes.len());
        let length = (1 + draw.below(16)).min(bytes.len() - at);
        match draw.below(8) {
            0 => bytes[at] ^= 1 << draw.below(8),
            1 => bytes[at] = draw.below(256) as u8,
            2 => bytes[at..at + length].fill(0xff),
            3 => bytes[at..at + length].fill(0),
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..at + length)),
            6 => {
                let piece = bytes[at..at + length].to_vec();
                let to = draw.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            // Changes a digit, where the file is text.
            _ => match bytes[at..].iter().position(u8::is_ascii_digit) {
                Some(digit) => bytes[at + digit] = b'0' + draw.below(10) as u8,
                None => bytes[at] = b'9',
            },
        }
    }
    bytes
}

/// Reads changed copies of every seed; `FEDSEAL_MUTATIONS` is the number of copies per seed.
fn hammer(seeds: &[(String, Vec<u8>)], read: &dyn Fn(&[u8])) {
    let count = std::env::var("FEDSEAL_MUTATIONS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(60);
    for (number, (name, bytes)) in seeds.iter().enumerate() {
        for round in 0..count {
            let mut draw = Draw(number as u64 * 1_000_003 + round);
            let bytes = mutate(bytes, &mut draw);
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&bytes)));
            if found.is_err() {
                let path = std::env::temp_dir().join("fedseal-finding");
                std::fs::write(&path, &bytes).unwrap();
                panic!("change {round} of {name}: see {}", path.display());
            }
        }
    }
}

fn files(config: &[u8], tokenizer: &[u8], weights: &[u8]) -> ModelFiles {
    ModelFiles {
        config: config.to_vec(),
        tokenizer: tokenizer.to_vec(),
        weights: weights.to_vec(),
        tokenizer_config: Vec::new(),
    }
}

fn load(files: ModelFiles) -> Result<Model, TuningError> {
    Model::from_files(files, &ModelOptions::default())
}

#[test]
fn weights_and_adapters() {
    let (config, tokenizer) = (seed("config/llama.json"), seed("tokenizer/bpe.json"));
    let shape = ModelConfig::from_json(&config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let peft = |bytes: &[u8]| {
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        write("adapter_config.json", &seed("config/peft.json")).unwrap();
        write("adapter_model.safetensors", bytes).unwrap();
        Adapter::load_peft(folder.path(), &shape)
    };
    let all = seeds("fuzz/seeds/safetensors");
    for (name, bytes) in &all {
        match name.as_str() {
            "canonical.safetensors" => drop(Adapter::from_bytes(bytes).unwrap()),
            "peft.safetensors" => drop(peft(bytes).unwrap()),
            _ => drop(load(files(&config, &tokenizer, bytes)).unwrap()),
        }
    }
    hammer(&all, &|bytes| {
        let _ = load(files(&config, &tokenizer, bytes));
        let _ = peft(bytes);
        if let Ok(adapter) = Adapter::from_bytes(bytes) {
            assert_eq!(adapter.to_bytes(), bytes);
        }
    });
}

#[test]
fn gguf_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Model::load(&path, &ModelOptions::default())
    };
    let all = seeds("fuzz/seeds/gguf");
    for (name, bytes) in &all {
        assert!(read(bytes).is_ok(), "{name}: {:?}", read(bytes).err());
    }
    hammer(&all, &|bytes| drop(read(bytes)));
}

#[test]
fn configurations_and_templates() {
    let (config, tokenizer) = (seed("config/llama.json"), seed("tokenizer/bpe.json"));
    let weights = seed("safetensors/f32.safetensors");
    let all = seeds("fuzz/seeds/config");
    for (name, bytes) in &all {
        if !["tokenizer.json", "templates.json", "peft.json"].contains(&name.as_str()) {
            let read = ModelConfig::from_json(bytes);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
    hammer(&all, &|bytes| {
        let _ = load(files(bytes, &tokenizer, &weights));
        let mut files = files(&config, &tokenizer, &weights);
        files.tokenizer_config = bytes.to_vec();
        if let Ok(model) = load(files) {
            let _ = model.encode_prompt("a cat");
        }
    });
}

#[test]
fn tokenizers() {
    let all = seeds("fuzz/seeds/tokenizer");
    for (name, bytes) in &all {
        let tokenizer = Tokenizer::from_json(bytes, 40);
        assert!(tokenizer.is_ok(), "{name}: {:?}", tokenizer.err());
    }
    hammer(&all, &|bytes| {
        let Ok(tokenizer) = Tokenizer::from_json(bytes, 40) else {
            return;
        };
        for text in ["", "a cat", "<|im_start|>user\n12 ü\u{fffd}<|im_end|>"] {
            if let Ok(ids) = tokenizer.encode(text, true) {
                assert!(ids.iter().all(|id| *id < 40));
                let _ = tokenizer.decode(&ids);
            }
        }
    });
}

/// Found by changing seeds: the library panics on a decoder that is not an object, and where a file
/// ends inside a decoder.
#[test]
fn a_broken_decoder_is_an_error() {
    let good = String::from_utf8(seed("tokenizer/bpe.json")).unwrap();
    let at = good.find("\"decoder\": {").unwrap();
    let cut = good[..at + 20].to_owned();
    let number = format!("{}\"decoder\": 7, \"x\": {}", &good[..at], &good[at + 11..]);
    for text in [cut, number] {
        let read = Tokenizer::from_json(text.as_bytes(), 40);
        assert!(matches!(read, Err(TuningError::Tokenizer(_))), "{read:?}");
    }
}

fn rows(path: &Path, layout: Option<Layout>) -> usize {
    let options = DataOptions {
        layout,
        max_row_bytes: 1 << 16,
    };
    match DataFile::open(path, &options) {
        Ok(file) => file.take(1000).filter(Result::is_ok).count(),
        Err(_) => 0,
    }
}

#[test]
fn data_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut all = seeds("fuzz/seeds/data_json");
    for (name, bytes) in &all {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(rows(&path, None), 2, "{name}");
    }
    all.extend(seeds("server/tuning/tests/data"));
    hammer(&all, &|bytes| {
        std::fs::write(&path, bytes).unwrap();
        for layout in std::iter::once(None).chain(Layout::ALL.into_iter().map(Some)) {
            rows(&path, layout);
        }
    });
}

//! Bytes as each of the JSON files beside the weights: config.json, tokenizer_config.json with its
//! chat template, PEFT's adapter_config.json.
#![no_main]

use fedseal_fuzz::checkpoint::{ADAPTER, CONFIG, TOKENIZER, WEIGHTS};
use fedseal_fuzz::folder;
use fedseal_tuning::{Adapter, Model, ModelConfig, ModelFiles, ModelOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fedseal_fuzz::panics_may_be_caught("tokenizers");
    let load = |config: &[u8], tokenizer_config: &[u8]| {
        let files = ModelFiles {
            config: config.to_vec(),
            tokenizer: TOKENIZER.to_vec(),
            weights: WEIGHTS.to_vec(),
            tokenizer_config: tokenizer_config.to_vec(),
        };
        Model::from_files(files, &ModelOptions::default())
    };
    // Mostly weights of another shape: an error before anything of its size is allocated.
    let _ = load(bytes, &[]);
    if let Ok(model) = load(CONFIG, bytes) {
        let _ = model.encode_prompt("a cat");
    }
    let config = ModelConfig::from_json(CONFIG).expect("the fixed configuration");
    let dir = folder(&[
        ("adapter_config.json", bytes),
        ("adapter_model.safetensors", ADAPTER),
    ]);
    let _ = Adapter::load_peft(&dir, &config);
});

//! Bytes as a checkpoint's weights, as PEFT's adapter and as an adapter in its canonical form.
#![no_main]

use fedseal_fuzz::checkpoint::{ADAPTER_CONFIG, CONFIG, TOKENIZER};
use fedseal_fuzz::folder;
use fedseal_tuning::{Adapter, Model, ModelConfig, ModelFiles, ModelOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fedseal_fuzz::panics_may_be_caught("tokenizers");
    let files = ModelFiles {
        config: CONFIG.to_vec(),
        tokenizer: TOKENIZER.to_vec(),
        weights: bytes.to_vec(),
        tokenizer_config: Vec::new(),
    };
    let _ = Model::from_files(files, &ModelOptions::default());
    let config = ModelConfig::from_json(CONFIG).expect("the fixed configuration");
    let dir = folder(&[
        ("adapter_config.json", ADAPTER_CONFIG),
        ("adapter_model.safetensors", bytes),
    ]);
    let _ = Adapter::load_peft(&dir, &config);
    // What is read as canonical is written again as the same bytes: there is one form only.
    if let Ok(adapter) = Adapter::from_bytes(bytes) {
        assert_eq!(adapter.to_bytes(), bytes);
    }
});

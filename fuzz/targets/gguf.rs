//! Bytes as a GGUF file: header, metadata, tokenizer, tensors of every block type.
#![no_main]

use fedseal_tuning::{Model, ModelOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fedseal_fuzz::panics_may_be_caught("tokenizers");
    let path = fedseal_fuzz::folder(&[("model.gguf", bytes)]).join("model.gguf");
    let _ = Model::load(&path, &ModelOptions::default());
});

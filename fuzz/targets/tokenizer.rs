//! Bytes as a tokenizer.json, and a text through what it makes.
#![no_main]

use fedseal_tuning::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fedseal_fuzz::panics_may_be_caught("tokenizers");
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

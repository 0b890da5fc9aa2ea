//! Bytes as options of an adapter, of training, of generation and of scoring: each ends in a value or
//! in an error that names the option.
#![no_main]

use std::sync::OnceLock;

use fedseal_fuzz::checkpoint::{CONFIG, TOKENIZER, WEIGHTS};
use fedseal_tuning::{Model, ModelFiles, ModelOptions, Template};
use libfuzzer_sys::fuzz_target;

#[path = "../../server/tuning/tests/behaviour/drive.rs"]
mod drive;

fuzz_target!(|bytes: &[u8]| {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let files = ModelFiles {
            config: CONFIG.to_vec(),
            tokenizer: TOKENIZER.to_vec(),
            weights: WEIGHTS.to_vec(),
            tokenizer_config: Vec::new(),
        };
        let options = ModelOptions {
            template: Template::ChatMl,
            ..ModelOptions::default()
        };
        Model::from_files(files, &options).expect("the fixed checkpoint")
    });
    drive::drive(model, bytes);
});

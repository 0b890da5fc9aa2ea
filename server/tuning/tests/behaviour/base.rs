//! Storage of the frozen base, and its effect on results.

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;

fn load(file: &str, base: Base, numerics: Numerics) -> Model {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let options = ModelOptions {
        base,
        numerics,
        ..ModelOptions::default()
    };
    Model::load(&path.join(file), &options).unwrap()
}

fn texts(model: &Model) -> Vec<String> {
    let prompts = ["the cat sat", "on the mat", "a log"].map(str::to_owned);
    let config = GenerateConfig {
        max_new_tokens: 12,
        min_new_tokens: 12,
        ..GenerateConfig::default()
    };
    generate(model, None, &prompts, &config).unwrap()
}

fn adapter(model: &Model) -> [u8; 32] {
    let examples = [
        Example::new("the cat", "sat on the mat"),
        Example::new("a log", "lay there"),
    ];
    let config = TrainConfig {
        steps: 3,
        batch_size: 2,
        ..TrainConfig::default()
    };
    let start = Adapter::init(&AdapterConfig::default(), model.config(), 1).unwrap();
    let trained = train(model, &start, &examples, &config, &mut |_| {
        ControlFlow::Continue(())
    });
    trained.unwrap().adapter.digest()
}

#[test]
fn a_files_own_bits_change_nothing() {
    for file in ["tiny-llama.gguf", "tiny-llama"] {
        let wide = load(file, Base::F32, Numerics::Exact);
        let kept = load(file, Base::Auto, Numerics::Exact);
        assert_eq!(kept.digest(), wide.digest(), "{file}");
        let ids: Vec<u32> = (3..20).collect();
        let logits = |model: &Model| next_logits(model, None, &ids).unwrap();
        assert_eq!(logits(&kept), logits(&wide), "{file}");
        assert_eq!(texts(&kept), texts(&wide), "{file}");
        assert_eq!(adapter(&kept), adapter(&wide), "{file}");
    }
}

#[test]
fn a_rounded_base_is_another_model() {
    let digests: Vec<_> = [Base::Auto, Base::Bf16, Base::Q8, Base::Q4]
        .map(|base| {
            let model = load("tiny-llama", base, Numerics::Exact);
            assert_eq!(texts(&model).len(), 3);
            model.digest()
        })
        .to_vec();
    for (i, digest) in digests.iter().enumerate() {
        assert!(!digests[..i].contains(digest), "{i}");
    }
}

#[test]
fn fast_generation_runs_on_every_base() {
    for base in Base::ALL {
        for file in ["tiny-llama.gguf", "tiny-llama"] {
            let model = load(file, base, Numerics::Fast);
            assert_eq!(texts(&model), texts(&model), "{base}");
            assert!(adapter(&model) == adapter(&model), "{base}");
        }
    }
}

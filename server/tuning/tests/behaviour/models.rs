//! Models as files and as values, and calls that are errors.

use std::ops::ControlFlow;
use std::path::PathBuf;

use fedseal_tuning::*;

use super::{CONFIG, adapter, examples, tiny};

#[test]
fn models_and_adapters_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Model>();
    crosses::<Adapter>();
    crosses::<TuningError>();
}

#[test]
fn long_examples_are_cut_where_the_docs_say() {
    let model = tiny();
    let example = Example::new("dog ".repeat(60), "cat ".repeat(60));
    let tokens = model.encode_example(&example, 32, 512).unwrap();
    assert_eq!((tokens.ids.len(), tokens.response_start), (32, 16));
    let tokens = model
        .encode_example(&Example::new("a", "cat ".repeat(60)), 100, 5)
        .unwrap();
    assert_eq!(tokens.response_len(), 5);
    assert!(
        !model.eos().contains(tokens.ids.last().unwrap()),
        "a cut answer has no end"
    );
}

#[test]
fn wrong_calls_are_errors() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let mut go_on = |_: StepEvent| ControlFlow::Continue(());
    assert!(train(&model, &start, &[], &CONFIG(), &mut go_on).is_err());
    for config in [
        TrainConfig {
            batch_size: 0,
            ..CONFIG()
        },
        TrainConfig {
            learning_rate: f32::NAN,
            ..CONFIG()
        },
        TrainConfig {
            clip_norm: Some(0.0),
            ..CONFIG()
        },
        TrainConfig {
            beta1: 1.0,
            ..CONFIG()
        },
    ] {
        assert!(train(&model, &start, &examples(), &config, &mut go_on).is_err());
    }
    let mut foreign = start.clone();
    foreign.tensors.pop_first();
    assert!(train(&model, &foreign, &examples(), &CONFIG(), &mut go_on).is_err());
    assert!(
        generate(
            &model,
            Some(&foreign),
            &["a".to_owned()],
            &Default::default()
        )
        .is_err()
    );
    let huge = start.scale(f32::MAX);
    assert!(matches!(
        train(
            &model,
            &huge.scale(10.0),
            &examples(),
            &CONFIG(),
            &mut go_on
        ),
        Err(TuningError::NotFinite(_))
    ));
    assert!(next_logits(&model, None, &[]).is_err());
    assert!(next_logits(&model, None, &[99_999]).is_err());
    assert!(next_logits(&model, None, &[0; 1000]).is_err());
    assert!(device("gpu-of-dreams").is_err());
}

#[test]
fn broken_folders_are_errors() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    let names = ["config.json", "model.safetensors", "tokenizer.json"];
    for broken in names {
        for cut in [0, 5, 100] {
            let dir = tempfile::tempdir().unwrap();
            for name in names {
                let mut bytes = std::fs::read(source.join(name)).unwrap();
                if name == broken {
                    bytes.truncate(cut);
                }
                std::fs::write(dir.path().join(name), bytes).unwrap();
            }
            assert!(
                Model::load(dir.path(), &ModelOptions::default()).is_err(),
                "{broken} {cut}"
            );
        }
    }
    assert!(Model::load("/nonexistent".as_ref(), &ModelOptions::default()).is_err());
}

#[test]
fn a_pretrained_model_saves_what_it_is() {
    let texts = ["the cat sat on the mat", "the dog sat on the log"];
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let tokenizer = Tokenizer::train_bpe(texts.into_iter(), 300, &special).unwrap();
    let shape = ModelConfig {
        d_model: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        ffn: 64,
        vocab: 300,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        norm_eps: 1e-5,
        max_positions: 64,
        tied_embeddings: true,
        family: Default::default(),
    };
    let sequences: Vec<Sequence> = texts
        .iter()
        .map(|text| {
            let text = format!(
                "<|im_start|>user\nsay it<|im_end|>\n<|im_start|>assistant\n{text}<|im_end|>"
            );
            let ids = tokenizer.encode(&text, false).unwrap();
            let loss = vec![true; ids.len()];
            Sequence { ids, loss }
        })
        .collect();
    let config = PretrainConfig {
        steps: 200,
        batch_tokens: 64,
        learning_rate: 1e-2,
        warmup: 5,
        ..PretrainConfig::default()
    };
    let run = || {
        let cpu = device("cpu").unwrap();
        pretrain(&shape, &sequences, &config, &cpu, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let trained = run();
    assert_eq!(trained, run(), "equal bits");
    assert!(
        trained.losses[199] < 0.3 * trained.losses[0],
        "{:?}",
        trained.losses
    );
    let files = trained.to_files(&tokenizer, "<|im_end|>", None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    files.save(dir.path()).unwrap();
    let options = ModelOptions {
        template: Template::ChatMl,
        ..ModelOptions::default()
    };
    let loaded = Model::load(dir.path(), &options).unwrap();
    let embedded = Model::from_files(files, &options).unwrap();
    assert_eq!(loaded.digest(), embedded.digest());
    let config = GenerateConfig {
        max_new_tokens: 30,
        ..GenerateConfig::default()
    };
    let answer = generate(&loaded, None, &["say it".to_owned()], &config)
        .unwrap()
        .remove(0);
    assert!(texts.contains(&answer.as_str()), "{answer:?}");
}

#[test]
fn a_merged_model_computes_what_its_adapter_did_and_returns() {
    let mut model = tiny();
    let (digest, ids) = (model.digest(), model.encode_prompt("the dog").unwrap());
    let before = next_logits(&model, None, &ids).unwrap();
    let mut pairs = adapter(&model, 0.0);
    pairs.config.rslora = true;
    let factors = AdapterConfig::ia3(&["q_proj", "v_proj", "down_proj"]);
    let norms = AdapterConfig::layer_norm(&["input_layernorm", "norm"]);
    let factors = model.new_adapter(&factors, 0).unwrap();
    let norms = model.new_adapter(&norms, 0).unwrap();
    for mut adapter in [pairs, factors, norms] {
        for (t, tensor) in adapter.tensors.values_mut().enumerate() {
            for (i, value) in tensor.data.iter_mut().enumerate() {
                *value += 0.2 * (i as f32 + t as f32).sin();
            }
        }
        let beside = next_logits(&model, Some(&adapter), &ids).unwrap();
        let undo = model.merge(&adapter).unwrap();
        assert_ne!(model.digest(), digest);
        let merged = next_logits(&model, None, &ids).unwrap();
        let pairs = merged.iter().zip(&beside);
        let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-4, "{:?}: {largest}", adapter.config.method);
        let moved = merged
            .iter()
            .zip(&before)
            .any(|(a, b)| (a - b).abs() > 1e-2);
        assert!(moved, "{:?} changes nothing", adapter.config.method);
        model.unmerge(undo);
        assert_eq!(next_logits(&model, None, &ids).unwrap(), before);
        assert_eq!(model.digest(), digest);
    }
}

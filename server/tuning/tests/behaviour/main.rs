//! What callers rely on: equal bits, independence of batches and threads, and errors instead of
//! surprises.

mod steps;

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;

fn tiny() -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    Model::load(&folder, &ModelOptions::default()).unwrap()
}

fn examples() -> Vec<Example> {
    (0..12)
        .map(|i| {
            Example::new(
                format!("the cat {i} sat on"),
                format!("the mat and {i} dogs"),
            )
        })
        .collect()
}

fn adapter(model: &Model, dropout: f32) -> Adapter {
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        dropout,
        ..AdapterConfig::default()
    };
    Adapter::init(&config, model.config(), 3).unwrap()
}

fn run(model: &Model, start: &Adapter, config: &TrainConfig) -> Trained {
    train(model, start, &examples(), config, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

const CONFIG: fn() -> TrainConfig = || TrainConfig {
    steps: 6,
    batch_size: 4,
    learning_rate: 1e-2,
    ..TrainConfig::default()
};

#[test]
fn equal_inputs_give_equal_bits_on_any_number_of_threads() {
    let model = tiny();
    let start = adapter(&model, 0.1);
    let prompts: Vec<String> = (0..9).map(|i| format!("{i} the dog")).collect();
    let sample = GenerateConfig {
        temperature: 0.9,
        max_new_tokens: 10,
        ..Default::default()
    };
    let mut seen = Vec::new();
    for threads in [1, 2, 2] {
        set_threads(threads);
        let trained = run(&model, &start, &CONFIG());
        let texts = generate(&model, Some(&trained.adapter), &prompts, &sample).unwrap();
        seen.push((trained.adapter.digest(), trained.losses, texts));
    }
    set_threads(0);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
    assert_ne!(seen[0].0, start.digest());
}

#[test]
fn training_learns_and_the_seed_matters() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let config = TrainConfig {
        steps: 40,
        ..CONFIG()
    };
    let trained = run(&model, &start, &config);
    assert!(
        trained.losses[39] < 0.7 * trained.losses[0],
        "{:?}",
        trained.losses
    );
    let other = run(&model, &start, &TrainConfig { seed: 1, ..config });
    assert_ne!(trained.adapter.digest(), other.adapter.digest());
    let pairs: Vec<(String, String)> = examples()
        .into_iter()
        .map(|example| (example.prompt, example.response))
        .collect();
    let sum = |adapter| {
        score(&model, adapter, &pairs)
            .unwrap()
            .iter()
            .map(|score| score.logprob_sum)
            .sum::<f64>()
    };
    assert!(sum(Some(&trained.adapter)) > sum(None));
    assert_eq!(
        sum(Some(&start)),
        sum(None),
        "a fresh adapter changes nothing"
    );
}

#[test]
fn a_score_is_the_sum_of_the_tokens_log_probabilities() {
    let model = tiny();
    let mut adapter = adapter(&model, 0.0);
    for tensor in adapter.tensors.values_mut() {
        tensor
            .data
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = (i as f32).sin() * 0.1);
    }
    let pairs = [
        ("the cat", "sat on the log"),
        ("2 dogs", "on the mat"),
        ("the", "dog"),
    ]
    .map(|(prompt, answer)| (prompt.to_owned(), answer.to_owned()));
    let scores = score(&model, Some(&adapter), &pairs).unwrap();
    for ((prompt, answer), score) in pairs.iter().zip(scores) {
        let mut ids = model.encode_prompt(prompt).unwrap();
        let answer = model.tokenizer().encode(answer, false).unwrap();
        assert_eq!(score.tokens, answer.len());
        let mut sum = 0.0;
        for &id in &answer {
            let logits = next_logits(&model, Some(&adapter), &ids).unwrap();
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            sum += f64::from(logits[id as usize]) - total.ln();
            ids.push(id);
        }
        assert!((sum - score.logprob_sum).abs() < 1e-4, "{sum} {score:?}");
    }
}

#[test]
fn models_and_adapters_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Model>();
    crosses::<Adapter>();
    crosses::<TuningError>();
}

#[test]
fn the_proximal_term_holds_the_adapter_back() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let config = TrainConfig {
        steps: 20,
        clip_norm: None,
        ..CONFIG()
    };
    let free = run(&model, &start, &config);
    let held = run(
        &model,
        &start,
        &TrainConfig {
            proximal_mu: 10.0,
            ..config
        },
    );
    let way = |trained: &Trained| trained.adapter.sub(&start).unwrap().norm_l2();
    assert!(
        way(&held) < 0.7 * way(&free),
        "{} {}",
        way(&held),
        way(&free)
    );
}

#[test]
fn the_caller_can_stop() {
    let model = tiny();
    let mut steps = 0;
    let result = train(
        &model,
        &adapter(&model, 0.0),
        &examples(),
        &CONFIG(),
        &mut |event| {
            steps = event.step;
            if event.step == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert!(matches!(result, Err(TuningError::Stopped { steps: 2 })));
    assert_eq!(steps, 2);
}

#[test]
fn texts_do_not_depend_on_who_shares_the_batch() {
    let model = tiny();
    let prompts: Vec<String> = (0..7).map(|i| "cat ".repeat(i + 1)).collect();
    for temperature in [0.0, 0.8] {
        let config = |batch_size| GenerateConfig {
            batch_size,
            temperature,
            max_new_tokens: 12,
            ..GenerateConfig::default()
        };
        let together = generate(&model, None, &prompts, &config(64)).unwrap();
        assert_eq!(
            together,
            generate(&model, None, &prompts, &config(2)).unwrap()
        );
    }
}

#[test]
fn a_stop_text_ends_an_answer() {
    let model = tiny();
    let prompts = ["the cat".to_owned()];
    let config = GenerateConfig {
        max_new_tokens: 16,
        ..GenerateConfig::default()
    };
    let whole = generate(&model, None, &prompts, &config).unwrap().remove(0);
    let stop: String = whole.chars().skip(3).take(2).collect();
    assert!(!stop.is_empty(), "{whole:?}");
    let config = GenerateConfig {
        stop: vec![stop.clone()],
        ..config
    };
    let cut = generate(&model, None, &prompts, &config).unwrap().remove(0);
    assert_eq!(cut, whole[..whole.find(&stop).unwrap()]);
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
    let loaded = Model::load(dir.path(), &ModelOptions::default()).unwrap();
    let embedded = Model::from_files(files, &ModelOptions::default()).unwrap();
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

/// (IA)^3 and norms: they change nothing at first, learn, repeat bit by bit, and read texts as
/// they train.
#[test]
fn adapters_without_pairs_learn() {
    let model = tiny();
    let prompts = ["the cat 3 sat on".to_owned()];
    let greedy = GenerateConfig {
        max_new_tokens: 8,
        ..Default::default()
    };
    for config in [
        AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]),
        AdapterConfig::layer_norm(&["input_layernorm", "post_attention_layernorm", "norm"]),
    ] {
        let start = model.new_adapter(&config, 1).unwrap();
        let base = generate(&model, None, &prompts, &greedy).unwrap();
        assert_eq!(
            generate(&model, Some(&start), &prompts, &greedy).unwrap(),
            base
        );
        let training = TrainConfig {
            steps: 30,
            ..CONFIG()
        };
        let trained = run(&model, &start, &training);
        assert_eq!(trained, run(&model, &start, &training));
        let (first, last) = (trained.losses[0], trained.losses[29]);
        assert!(
            last < 0.97 * first,
            "{:?}: {first} to {last}",
            config.method
        );
        let adapter = trained.adapter;
        let changed = adapter
            .tensors
            .iter()
            .filter(|(name, t)| start.tensors[*name] != **t);
        assert_eq!(
            changed.count(),
            adapter.tensors.len(),
            "tensors that do not learn"
        );
        // The kernels that generate and the pass that trains agree about the next token.
        let ids = model.encode_prompt(&prompts[0]).unwrap();
        let logits = next_logits(&model, Some(&adapter), &ids).unwrap();
        let best = (0..logits.len())
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
            .unwrap();
        let one = GenerateConfig {
            max_new_tokens: 1,
            ..Default::default()
        };
        let text = generate(&model, Some(&adapter), &prompts, &one).unwrap();
        let expected = match model.eos().contains(&(best as u32)) {
            true => String::new(),
            false => model.tokenizer().decode(&[best as u32]).unwrap(),
        };
        assert_eq!(text, [expected]);
    }
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

#[test]
fn a_training_that_goes_on_from_a_checkpoint_has_the_same_bits() {
    let model = tiny();
    let start = adapter(&model, 0.1);
    let config = CONFIG();
    let whole = run(&model, &start, &config);
    let examples = examples();
    // After every step, so that ends of passes over the data are among them.
    for stop in 0..=config.steps {
        let mut trainer = Trainer::new(&model, &start, &examples, &config).unwrap();
        for _ in 0..stop {
            trainer.step().unwrap().unwrap();
        }
        let bytes = trainer.checkpoint().unwrap();
        drop(trainer);
        let mut trainer = Trainer::resume(&model, &start, &examples, &config, &bytes).unwrap();
        assert_eq!(trainer.steps(), stop);
        while trainer.step().unwrap().is_some() {}
        assert_eq!(trainer.finish().unwrap(), whole, "after {stop} steps");
    }
    let trainer = Trainer::new(&model, &start, &examples, &config).unwrap();
    let bytes = trainer.checkpoint().unwrap();
    for length in [0, 31, 32, 200, bytes.len() - 1] {
        let cut = Trainer::resume(&model, &start, &examples, &config, &bytes[..length]);
        assert!(cut.is_err(), "{length}");
    }
    let mut flipped = bytes.clone();
    flipped[300] ^= 1;
    assert!(Trainer::resume(&model, &start, &examples, &config, &flipped).is_err());
    let other = TrainConfig { seed: 1, ..config };
    let error = Trainer::resume(&model, &start, &examples, &other, &bytes)
        .err()
        .unwrap();
    assert!(error.to_string().contains("another model"), "{error}");
}

#[test]
fn pieces_are_heard_in_order_and_make_the_text() {
    let model = tiny();
    let prompts: Vec<String> = (0..9).map(|i| format!("{i} the dog")).collect();
    let messages: Vec<Vec<Message>> = prompts
        .iter()
        .map(|prompt| vec![Message::new(Role::User, prompt)])
        .collect();
    let config = GenerateConfig {
        temperature: 0.9,
        max_new_tokens: 12,
        stop: vec!["at".to_owned()],
        ..Default::default()
    };
    let texts = generate(&model, None, &prompts, &config).unwrap();
    let mut heard = vec![String::new(); prompts.len()];
    let mut ended = vec![None; prompts.len()];
    let streamed = generate_stream(&model, None, &messages, &config, &mut |piece| {
        assert!(ended[piece.prompt].is_none(), "a piece after the last");
        heard[piece.prompt].push_str(piece.text);
        ended[piece.prompt] = piece.finish;
        ControlFlow::Continue(())
    })
    .unwrap();
    for (index, generated) in streamed.iter().enumerate() {
        assert_eq!(generated.text, texts[index]);
        assert_eq!(heard[index], texts[index]);
        assert_eq!(ended[index], Some(generated.finish));
    }
    // The first piece is the last one when the listener breaks at once.
    let one = messages[..1].to_vec();
    let stopped = generate_stream(&model, None, &one, &config, &mut |_| ControlFlow::Break(()));
    let stopped = stopped.unwrap().remove(0);
    assert!(stopped.tokens <= 12);
    let long = GenerateConfig {
        min_new_tokens: 20,
        max_new_tokens: 20,
        ..Default::default()
    };
    let texts = generate_stream(&model, None, &messages, &long, &mut |_| {
        ControlFlow::Continue(())
    });
    for text in texts.unwrap() {
        assert_eq!((text.tokens, text.finish), (20, Finish::Length));
    }
}

#[test]
fn conversations_train_on_their_last_answer() {
    let model = tiny();
    let example = examples().remove(0);
    let conversation = Conversation::from(example.clone());
    assert_eq!(
        model.encode_conversation(&conversation, 64, 64).unwrap(),
        model.encode_example(&example, 64, 64).unwrap()
    );
    let longer = Conversation {
        messages: [conversation.messages.clone(), conversation.messages].concat(),
    };
    let tokens = model.encode_conversation(&longer, 256, 64).unwrap();
    let text = model.tokenizer().decode(&tokens.ids).unwrap();
    assert_eq!(text.matches(&example.prompt).count(), 2);
    let answer = model
        .tokenizer()
        .decode(&tokens.ids[tokens.response_start..])
        .unwrap();
    assert_eq!(answer.trim(), example.response);
}

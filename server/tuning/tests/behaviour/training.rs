//! Trainings: equal bits, stops and checkpoints, every kind of adapter.

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;
use sha2::Digest as _;

use super::{CONFIG, adapter, examples, run, tiny};

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

/// (IA)^3 and norms: they change nothing at first, learn, repeat bit by bit, and read texts as in
/// training.
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
fn a_training_that_goes_on_from_a_checkpoint_has_the_same_bits() {
    let model = tiny();
    let start = adapter(&model, 0.1);
    let config = CONFIG();
    let examples = examples();
    let passes = TrainConfig {
        whole_passes: true,
        batch_size: examples.len() - 1,
        ..CONFIG()
    };
    for config in [&config, &passes] {
        let whole = run(&model, &start, config);
        // After every step, so that ends of passes over the data are included.
        for stop in 0..=config.steps {
            let mut trainer = Trainer::new(&model, &start, &examples, config).unwrap();
            for _ in 0..stop {
                trainer.step().unwrap().unwrap();
            }
            let bytes = trainer.checkpoint().unwrap();
            drop(trainer);
            let mut trainer = Trainer::resume(&model, &start, &examples, config, &bytes).unwrap();
            assert_eq!(trainer.steps(), stop);
            while trainer.step().unwrap().is_some() {}
            assert_eq!(trainer.finish().unwrap(), whole, "after {stop} steps");
        }
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
    assert!(error.to_string().contains("seed (0, now 1)"), "{error}");
}

/// A checkpoint is refused by the name of what is otherwise.
#[test]
fn what_a_training_was_begun_with_is_named() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    let load = |template: Template, args: &[&str], date: &str| {
        let args = args.iter().map(|arg| Rendering::arg(arg).unwrap());
        let rendering = Rendering {
            args: args.collect(),
            date: date.parse().unwrap(),
        };
        let options = ModelOptions {
            template,
            rendering,
            ..ModelOptions::default()
        };
        Model::load(&folder, &options).unwrap()
    };
    let encoded = |model: &Model, examples: &[Conversation]| {
        let tokens = model.encode_all(examples, 512, 512).into_iter();
        tokens.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let of = |examples: Vec<Example>| -> Vec<Conversation> {
        examples.into_iter().map(Conversation::from).collect()
    };
    let usual = load(Template::Model, &["thinks=false"], "2024-07-26");
    let start = adapter(&usual, 0.0);
    let data = of(examples());
    let trainer = || Trainer::new(&usual, &start, &data, &CONFIG()).unwrap();
    let mut given = trainer().with_tokens(encoded(&usual, &data)).unwrap();
    let mut own = trainer();
    assert_eq!(given.step().unwrap(), own.step().unwrap());
    let bytes = given.checkpoint().unwrap();
    let refused = |model: &Model, start: &Adapter, data: &[Conversation], config: &TrainConfig| {
        Trainer::new(model, start, data, config)
            .and_then(|trainer| trainer.with_tokens(encoded(model, data)))
            .and_then(|trainer| trainer.go_on_from(&bytes))
            .map(|trainer| trainer.steps())
            .map_err(|error| error.to_string())
    };
    assert_eq!(refused(&usual, &start, &data, &CONFIG()), Ok(1));
    let with = |template: Template, args: &[&str], date: &str| {
        let model = load(template, args, date);
        refused(&model, &start, &data, &CONFIG()).unwrap_err()
    };
    let model = Template::Model;
    for (said, named) in [
        (
            with(model, &["thinks=true"], "2024-07-26"),
            "template_args ({\"thinks\":false}, now {\"thinks\":true})",
        ),
        (
            with(model, &["thinks=false"], "2025-01-31"),
            "template_date (\"2024-07-26\", now \"2025-01-31\")",
        ),
        (
            with(Template::Alpaca, &[], "2024-07-26"),
            "template (\"model\", now \"alpaca\")",
        ),
    ] {
        assert!(said.contains(named), "{said}");
    }
    let (mut fewer, mut moved) = (examples(), start.clone());
    fewer.pop();
    moved.tensors.values_mut().for_each(|it| it.data[0] += 1.0);
    for (said, named) in [
        (
            refused(&usual, &start, &of(fewer), &CONFIG()),
            "other examples",
        ),
        (refused(&usual, &moved, &data, &CONFIG()), "another start"),
        (
            refused(
                &usual,
                &start,
                &data,
                &TrainConfig {
                    learning_rate: 2e-3,
                    accumulation: 2,
                    ..CONFIG()
                },
            ),
            "accumulation (\"default\", now 2), learning_rate (0.01, now 0.002)",
        ),
    ] {
        let said = said.unwrap_err();
        assert!(said.contains(named), "{said}");
    }
    assert!(trainer().with_tokens(Vec::new()).is_err());
}

/// Checkpoints of earlier programs have a digest alone.
#[test]
fn a_checkpoint_without_names_is_still_compared() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let (config, examples) = (CONFIG(), examples());
    let trainer = Trainer::new(&model, &start, &examples, &config).unwrap();
    let bytes = trainer.checkpoint().unwrap();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let mut head: serde_json::Value = serde_json::from_slice(&bytes[..end]).unwrap();
    assert!(head.as_object_mut().unwrap().remove("named").is_some());
    let mut old = serde_json::to_vec(&head).unwrap();
    old.extend(&bytes[end..bytes.len() - 32]);
    let digest = sha2::Sha256::digest(&old);
    old.extend(digest);
    let resume = |config: &TrainConfig| {
        Trainer::resume(&model, &start, &examples, config, &old).map(|trainer| trainer.steps())
    };
    assert_eq!(resume(&config).unwrap(), 0);
    let other = TrainConfig { seed: 1, ..config };
    let error = resume(&other).unwrap_err().to_string();
    assert!(error.contains("another model"), "{error}");
}

/// Every pass takes each example once, in ceil(examples / batch) steps.
#[test]
fn whole_passes_end_with_a_smaller_step() {
    let model = tiny();
    let start = adapter(&model, 0.1);
    let examples = examples();
    let count = |steps: usize, batch_size: usize| -> Vec<u64> {
        let config = TrainConfig {
            whole_passes: true,
            steps,
            batch_size,
            ..CONFIG()
        };
        assert_eq!(config.pass_steps(examples.len()) * 3, steps);
        let mut trainer = Trainer::new(&model, &start, &examples, &config).unwrap();
        let steps = std::iter::from_fn(|| trainer.step().unwrap());
        steps.map(|event| event.tokens).collect()
    };
    let all = count(3, 4 * examples.len());
    assert_eq!(all, [all[0]; 3]);
    let halves = count(6, examples.len() - 1);
    assert!(halves.chunks(2).all(|pass| pass[0] + pass[1] == all[0]));
    assert!(halves.chunks(2).all(|pass| pass[0] > pass[1]));
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

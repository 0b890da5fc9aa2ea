//! Components of a step: batches, schedules, terms, and the results that they must not change.

use std::ops::ControlFlow;

use fedseal_tuning::*;

use super::{CONFIG, adapter, examples, run, tiny};

/// Returns the distance of two adapters as a share of `a`'s distance from the start.
fn apart(start: &Adapter, a: &Adapter, b: &Adapter) -> f64 {
    a.sub(b).unwrap().norm_l2() / a.sub(start).unwrap().norm_l2()
}

/// Returns a start at which both matrices of a pair have gradients.
fn warm(model: &Model, dropout: f32) -> Adapter {
    run(model, &adapter(model, dropout), &CONFIG()).adapter
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let model = tiny();
    let start = warm(&model, 0.0);
    let large = run(&model, &start, &CONFIG());
    let config = TrainConfig {
        batch_size: 1,
        accumulation: 4,
        ..CONFIG()
    };
    let small = run(&model, &start, &config);
    assert_eq!(large.tokens, small.tokens);
    for (large, small) in large.losses.iter().zip(&small.losses) {
        assert!((large - small).abs() < 1e-5, "{large} {small}");
    }
    let apart = apart(&start, &large.adapter, &small.adapter);
    assert!(apart < 1e-3, "{apart}");
    let bad = TrainConfig {
        accumulation: 0,
        ..CONFIG()
    };
    let error = train(&model, &start, &examples(), &bad, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(error, Err(TuningError::Config(_))));
}

/// Every kind of adapter, also with its lowest part above the lowest block.
#[test]
fn recomputed_blocks_give_the_same_bits() {
    let model = tiny();
    let ia3 = AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]);
    let norms = AdapterConfig::layer_norm(&["input_layernorm", "norm"]);
    let last = AdapterConfig::layer_norm(&["norm"]);
    let mut starts = vec![warm(&model, 0.0), warm(&model, 0.2)];
    starts.extend([ia3, norms, last].map(|config| model.new_adapter(&config, 1).unwrap()));
    let mut upper = adapter(&model, 0.1);
    upper.tensors.retain(|name, _| name.contains("layers.1."));
    assert!(!upper.tensors.is_empty());
    for start in starts {
        let usual = TrainConfig {
            accumulation: 2,
            ..CONFIG()
        };
        let recompute = TrainConfig {
            recompute: true,
            ..usual.clone()
        };
        let (usual, again) = (run(&model, &start, &usual), run(&model, &start, &recompute));
        assert_ne!(usual.adapter.digest(), start.digest());
        assert_eq!(usual, again, "{:?}", start.config);
    }
}

#[test]
fn the_rate_follows_the_schedule() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    for schedule in Schedule::ALL {
        let config = TrainConfig {
            schedule,
            warmup_steps: 2,
            ..CONFIG()
        };
        let mut rates = Vec::new();
        let trained = train(&model, &start, &examples(), &config, &mut |event| {
            rates.push(event.learning_rate);
            ControlFlow::Continue(())
        })
        .unwrap();
        let expected: Vec<f32> = (0..config.steps).map(|step| config.rate(step)).collect();
        assert_eq!(rates, expected);
        assert_eq!(rates[..3], [0.0, 0.005, 0.01]);
        assert_eq!(rates[5] == 0.01, schedule == Schedule::Constant);
        assert_ne!(trained.adapter.digest(), start.digest());
    }
    // A step at rate 0 changes nothing.
    let config = TrainConfig {
        steps: 1,
        warmup_steps: 5,
        weight_decay: 0.1,
        ..CONFIG()
    };
    let still = run(&model, &start, &config);
    assert_eq!(still.adapter.digest(), start.digest());
}

fn all(mut trainer: Trainer<'_, Example>) -> Trained {
    while trainer.step().unwrap().is_some() {}
    trainer.finish().unwrap()
}

#[test]
fn control_variates_move_every_step() {
    let model = tiny();
    let start = warm(&model, 0.0);
    let data = examples();
    let config = TrainConfig {
        steps: 1,
        ..CONFIG()
    };
    let trainer = || Trainer::new(&model, &start, &data, &config).unwrap();
    let plain = all(trainer());
    let control = ControlVariates {
        server: start.scale(0.5),
        client: start.scale(-0.25),
    };
    let corrected = all(trainer().with_control(control.clone()).unwrap());
    // -η · (c - cᵢ), as in line 10.
    let moved = corrected.adapter.sub(&plain.adapter).unwrap();
    let expected = start.scale(-0.75 * config.learning_rate);
    assert!(moved.sub(&expected).unwrap().norm_l2() < 1e-5 * expected.norm_l2());
    // Option II: cᵢ - c + (x - y) / (K · η) undoes the correction, so the rest is the mean of the
    // uncorrected directions.
    let next = control
        .next_client(&start, &corrected.adapter, config.learning_rate)
        .unwrap();
    let direction = start
        .sub(&plain.adapter)
        .unwrap()
        .scale(1.0 / config.learning_rate);
    assert!(next.sub(&direction).unwrap().norm_l2() < 1e-3 * direction.norm_l2());
    // Equal variates correct nothing.
    let equal = ControlVariates {
        server: start.clone(),
        client: start.clone(),
    };
    assert_eq!(all(trainer().with_control(equal).unwrap()), plain);
    assert!(control.next_client(&start, &start, 0.0).is_err());
    let config = AdapterConfig {
        rank: 2,
        ..AdapterConfig::default()
    };
    let other = Adapter::init(&config, model.config(), 1).unwrap();
    let wrong = ControlVariates {
        server: other.clone(),
        client: other.clone(),
    };
    assert!(trainer().with_control(wrong).is_err());
    assert!(trainer().with_anchor(other).is_err());
}

#[test]
fn the_proximal_term_pulls_to_its_anchor() {
    let model = tiny();
    let start = warm(&model, 0.0);
    let anchor = start.scale(1.5);
    let data = examples();
    let config = TrainConfig {
        steps: 20,
        proximal_mu: 100.0,
        clip_norm: None,
        ..CONFIG()
    };
    let away = |trained: &Trained| trained.adapter.sub(&anchor).unwrap().norm_l2();
    let trainer = || Trainer::new(&model, &start, &data, &config).unwrap();
    let held = all(trainer());
    let pulled = all(trainer().with_anchor(anchor.clone()).unwrap());
    assert!(away(&pulled) < 0.5 * away(&held));
    // Without an anchor, the start is the anchor.
    assert_eq!(all(trainer().with_anchor(start.clone()).unwrap()), held);
}

#[test]
fn a_checkpoint_knows_its_terms() {
    let model = tiny();
    let start = warm(&model, 0.1);
    let data = examples();
    let config = TrainConfig {
        accumulation: 2,
        schedule: Schedule::Cosine,
        proximal_mu: 0.1,
        recompute: true,
        ..CONFIG()
    };
    let control = || ControlVariates {
        server: start.scale(0.5),
        client: start.scale(0.25),
    };
    let trainer = || {
        Trainer::new(&model, &start, &data, &config)
            .unwrap()
            .with_control(control())
            .unwrap()
            .with_anchor(start.scale(2.0))
            .unwrap()
    };
    let whole = all(trainer());
    let mut first = trainer();
    for _ in 0..2 {
        first.step().unwrap();
    }
    let bytes = first.checkpoint().unwrap();
    assert_eq!(all(trainer().go_on_from(&bytes).unwrap()), whole);
    let without = Trainer::resume(&model, &start, &data, &config, &bytes);
    assert!(matches!(without, Err(TuningError::Config(_))));
}

/// Packed examples do not attend to each other: a batch's loss is the mean over the tokens of the
/// losses that each example has alone.
#[test]
fn packed_examples_do_not_see_each_other() {
    let model = tiny();
    let start = warm(&model, 0.0);
    let data = &examples()[..4];
    let loss = |data: &[Example]| {
        let config = TrainConfig {
            steps: 1,
            batch_size: data.len(),
            ..CONFIG()
        };
        let trained = train(&model, &start, data, &config, &mut |_| {
            ControlFlow::Continue(())
        });
        f64::from(trained.unwrap().losses[0])
    };
    let (mut sum, mut tokens) = (0.0, 0.0);
    for example in data {
        let counted = model
            .encode_example(example, 512, 512)
            .unwrap()
            .response_len() as f64;
        sum += counted * loss(std::slice::from_ref(example));
        tokens += counted;
    }
    assert!((sum / tokens - loss(data)).abs() < 1e-5);
}

/// Configurations that were written before a field existed keep their bytes, and read back.
#[test]
fn new_fields_are_silent_at_their_defaults() {
    let text = serde_json::to_string(&TrainConfig::default()).unwrap();
    for name in ["accumulation", "schedule", "warmup", "recompute"] {
        assert!(!text.contains(name), "{text}");
    }
    let config = TrainConfig {
        accumulation: 3,
        schedule: Schedule::Linear,
        warmup_steps: 7,
        recompute: true,
        ..TrainConfig::default()
    };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
}

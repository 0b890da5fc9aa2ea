//! Steps with hooks compared with hooks.json, which central differences of a forward pass made.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};

use serde::Deserialize;

use super::{Anchor, DeepTokens, Ema, Panacea, Passes, Recovery, StepHook, Vaccine};
use crate::{
    Adapter, AdapterConfig, Example, Model, ModelOptions, TrainConfig, Trainer,
    train::gradient::ByName,
};

#[derive(Deserialize)]
struct Known {
    start: ByName,
}

#[derive(Deserialize)]
struct Expected {
    vaccine: ExpectedVaccine,
    panacea: ExpectedPanacea,
}

#[derive(Deserialize)]
struct ExpectedVaccine {
    rho: f64,
    loss: f32,
    gradient: ByName,
}

#[derive(Deserialize)]
struct ExpectedPanacea {
    rho: f64,
    lambda: f64,
    perturbed_loss: f64,
    gradient: ByName,
    clamped: ByName,
    perturbation: ByName,
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let bytes = std::fs::read(fixture(name)).expect("a fixture");
    serde_json::from_slice(&bytes).expect("JSON")
}

struct Setting {
    model: Model,
    start: Adapter,
    config: TrainConfig,
}

fn setting() -> Setting {
    let model = Model::load(&fixture("tiny-llama"), &ModelOptions::default()).expect("a model");
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        dropout: 0.0,
        targets: ["q_proj", "v_proj", "down_proj"].map(String::from).to_vec(),
        ..AdapterConfig::default()
    };
    let mut start = Adapter::init(&config, model.config(), 1).expect("an adapter");
    for (name, values) in read::<Known>("tiny_llama.json").start {
        start.tensors.get_mut(&name).expect("the tensor").data = values;
    }
    let config = TrainConfig {
        batch_size: 1,
        learning_rate: 1e-2,
        ..TrainConfig::default()
    };
    Setting {
        model,
        start,
        config,
    }
}

fn task() -> Example {
    Example::new("the cat", "on the mat")
}

fn harmful() -> Example {
    Example::new("where is the dog 42?", "the dog sat on the log")
}

/// Returns the largest difference as a share of the largest value.
fn apart(ours: &ByName, expected: &ByName) -> f32 {
    assert!(ours.keys().eq(expected.keys()));
    let top = expected
        .values()
        .flatten()
        .fold(0.0f32, |a, b| a.max(b.abs()));
    let pairs = ours.values().flatten().zip(expected.values().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / top
}

#[test]
fn vaccine_s_gradient_is_that_of_its_equations() {
    let Setting {
        model,
        start,
        mut config,
    } = setting();
    let expected = read::<Expected>("hooks.json").vaccine;
    let mut vaccine = Vaccine { rho: expected.rho };
    // As two parts of a step, and as one.
    for (batch_size, accumulation) in [(1, 2), (2, 1)] {
        (config.batch_size, config.accumulation) = (batch_size, accumulation);
        let passes = Passes {
            model: &model,
            config: &config,
            step: 0,
        };
        let batch = [task(), harmful()].map(|one| passes.encode(&one).expect("tokens"));
        let found = vaccine
            .gradient(&passes, &start, &batch)
            .expect("a gradient");
        assert!((found.loss - expected.loss).abs() < 1e-4, "{}", found.loss);
        let off = apart(&found.sums, &expected.gradient);
        assert!(off < 1e-4, "{off}");
        // Without a perturbation it is the plain gradient.
        let mut still = Vaccine { rho: 0.0 };
        let still = still.gradient(&passes, &start, &batch).expect("a gradient");
        let plain = passes.plain(&start, &batch).expect("a gradient");
        assert!(apart(&still.sums, &plain.sums) < 1e-5);
    }
}

#[test]
fn panacea_s_gradient_is_that_of_its_equations_and_its_loss_is_clamped() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let expected = read::<Expected>("hooks.json").panacea;
    let passes = Passes {
        model: &model,
        config: &config,
        step: 0,
    };
    let batch = [passes.encode(&task()).expect("tokens")];
    for (most, gradient) in [
        (expected.perturbed_loss + 0.01, &expected.gradient),
        (expected.perturbed_loss - 0.01, &expected.clamped),
    ] {
        let (rho, lambda) = (expected.rho, expected.lambda);
        let mut panacea = Panacea::new(rho, lambda, most, vec![harmful()]);
        let found = panacea
            .gradient(&passes, &start, &batch)
            .expect("a gradient");
        let off = apart(&found.sums, gradient);
        assert!(off < 1e-4, "{off}");
        let released = panacea.release(&passes, start.clone()).expect("an adapter");
        let step = released.sub(&start).expect("one shape");
        let step: ByName = step.tensors.into_iter().map(|(n, t)| (n, t.data)).collect();
        assert!(apart(&step, &expected.perturbation) < 1e-3);
    }
}

#[test]
fn a_training_of_no_steps_releases_the_perturbation_of_its_start() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let config = TrainConfig { steps: 0, ..config };
    let expected = read::<Expected>("hooks.json").panacea.perturbation;
    let examples = [task()];
    let trainer = Trainer::new(&model, &start, &examples, &config).expect("a training");
    let panacea = Panacea::new(1.0, 0.25, 5.0, vec![harmful()]);
    let trainer = trainer.with_hook(Box::new(panacea));
    assert!(trainer.checkpoint().is_err());
    let trained = trainer
        .run_while(&mut || ControlFlow::Continue(()))
        .expect("a result");
    let step = trained.adapter.sub(&start).expect("one shape");
    assert!((step.norm_l2() - 1.0).abs() < 1e-4, "{}", step.norm_l2());
    let step: BTreeMap<_, _> = step.tensors.into_iter().map(|(n, t)| (n, t.data)).collect();
    assert!(apart(&step, &expected) < 1e-3);
}

#[test]
fn a_hook_that_takes_the_plain_pass_gives_a_plain_training_s_bits() {
    struct Plain;
    impl StepHook for Plain {
        fn gradient(
            &mut self,
            passes: &Passes<'_>,
            adapter: &Adapter,
            batch: &[crate::Tokens],
        ) -> Result<crate::BatchGradients, crate::TuningError> {
            passes.plain(adapter, batch)
        }
    }
    let Setting {
        model,
        start,
        config,
    } = setting();
    let config = TrainConfig { steps: 3, ..config };
    let examples = [task(), harmful()];
    let trainer = || Trainer::new(&model, &start, &examples, &config).expect("a training");
    let go_on = &mut || ControlFlow::Continue(());
    let plain = trainer().run_while(go_on).expect("a result");
    let hooked = trainer().with_hook(Box::new(Plain));
    assert_eq!(hooked.run_while(go_on).expect("a result"), plain);
}

#[test]
fn an_average_keeps_its_share_of_the_weights_before() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let passes = Passes {
        model: &model,
        config: &config,
        step: 0,
    };
    let batch = [passes.encode(&task()).expect("tokens")];
    let mut ema = Ema::new(0.75);
    let found = ema.gradient(&passes, &start, &batch).expect("a gradient");
    let plain = passes.plain(&start, &batch).expect("a gradient");
    assert_eq!(found.sums, plain.sums);
    // 3/4 of the first weights and 1/4 of five times them.
    let released = ema.release(&passes, start.scale(5.0)).expect("an adapter");
    let off = released.sub(&start.scale(2.0)).expect("one shape");
    assert!(off.norm_l2() < 1e-6 * start.norm_l2(), "{}", off.norm_l2());
    // Without a step it is what it began with.
    let still = Ema::new(0.75).release(&passes, start.clone());
    assert_eq!(still.expect("an adapter").digest(), start.digest());
}

/// Central difference of a loss along a gradient, and the gradient's squared length, which it has to be.
fn along(start: &Adapter, gradient: &ByName, loss: impl Fn(&Adapter) -> f64) -> [f64; 2] {
    let mut direction = start.scale(0.0);
    for (name, values) in gradient {
        direction.tensors.get_mut(name).expect("the tensor").data = values.clone();
    }
    let square = direction.norm_l2().powi(2);
    let step = 1e-2 / square.sqrt();
    let at = |by: f64| loss(&start.add_scaled(&direction, by as f32).expect("one shape"));
    [(at(step) - at(-step)) / (2.0 * step), square]
}

#[test]
fn an_anchor_s_gradient_is_that_of_its_distance() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let passes = Passes {
        model: &model,
        config: &config,
        step: 0,
    };
    let batch = [passes.encode(&task()).expect("tokens")];
    let plain = passes.plain(&start, &batch).expect("a gradient");
    let (prompts, reference) = (["the cat", "where is the dog 42?"], start.scale(1.5));
    let anchors = prompts.map(|prompt| passes.anchored(&reference, prompt).expect("a state"));
    let pull = passes.pull(&start, &anchors).expect("a gradient");
    assert!(pull.loss > 0.0);
    let distance = |at: &Adapter| f64::from(passes.pull(at, &anchors).expect("a distance").loss);
    let [found, expected] = along(&start, &pull.sums, distance);
    assert!(
        (found - expected).abs() < 0.02 * expected,
        "{found} and {expected}"
    );
    // The step's gradient is the batch's and a multiple of it.
    let mut anchor = Anchor::new(reference, prompts.map(String::from).to_vec(), 0.25);
    let whole = anchor
        .gradient(&passes, &start, &batch)
        .expect("a gradient");
    assert!((whole.loss - plain.loss - 0.25 * pull.loss).abs() < 1e-5);
    let mut sum = plain.sums.clone();
    for (name, values) in &mut sum {
        for (value, pull) in values.iter_mut().zip(&pull.sums[name]) {
            *value += 0.25 * pull;
        }
    }
    assert!(apart(&whole.sums, &sum) < 1e-5);
    // At the reference itself nothing is drawn.
    let mut still = Anchor::new(start.clone(), vec!["the cat".into()], 1.0);
    let still = still.gradient(&passes, &start, &batch).expect("a gradient");
    assert!(apart(&still.sums, &plain.sums) < 1e-5);
}

#[test]
fn a_constrained_gradient_is_that_of_its_objective() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let passes = Passes {
        model: &model,
        config: &config,
        step: 0,
    };
    let batch = [task(), harmful()].map(|one| passes.encode(&one).expect("tokens"));
    let reference = start.scale(1.5);
    // Without a constraint it is the plain gradient.
    let adapters = [&start, &reference];
    let free = passes.constrained(adapters, &batch, &|_, _, _| 1.0);
    let free = free.expect("a gradient");
    let plain = passes.plain(&start, &batch).expect("a gradient");
    assert!((free.loss - plain.loss).abs() < 1e-4, "{}", free.loss);
    assert!(apart(&free.sums, &plain.sums) < 1e-4);
    // The objective of one token: -(2 / beta) log sigmoid(beta (log p - log q)).
    let beta = |place: usize| 0.5 + place as f64;
    let weigh =
        |place: usize, own: f64, theirs: f64| 2.0 / (1.0 + (beta(place) * (own - theirs)).exp());
    let found = passes.constrained(adapters, &batch, &weigh);
    let found = found.expect("a gradient");
    let counted: usize = batch.iter().map(crate::Tokens::response_len).sum();
    let objective = |at: &Adapter| {
        let sum = std::cell::Cell::new(0.0);
        let seen = |place: usize, own: f64, theirs: f64| {
            let beta = beta(place);
            let softplus = (-beta * (own - theirs)).exp().ln_1p();
            sum.set(sum.get() + 2.0 / beta * softplus);
            1.0
        };
        passes
            .constrained([at, &reference], &batch, &seen)
            .expect("a pass");
        sum.get() / counted as f64
    };
    let [numeric, expected] = along(&start, &found.sums, objective);
    assert!(
        (numeric - expected).abs() < 0.02 * expected,
        "{numeric} and {expected}"
    );
}

#[test]
fn deep_tokens_learn_from_their_batch_and_from_as_many_recoveries() {
    let Setting {
        model,
        start,
        config,
    } = setting();
    let passes = Passes {
        model: &model,
        config: &config,
        step: 0,
    };
    let batch = [passes.encode(&task()).expect("tokens")];
    let recovery = Recovery {
        harmful: harmful(),
        refusal: "the cat sat".into(),
    };
    let refused = Example::new(harmful().prompt, "the cat sat");
    let both = [batch[0].clone(), passes.encode(&refused).expect("tokens")];
    // Without given tokens and at the reference it is the plain gradient of both.
    let mut deep = DeepTokens::new(start.clone(), 0, [0.5, 2.0, 0.1], vec![recovery.clone()]);
    let found = deep.gradient(&passes, &start, &batch).expect("a gradient");
    let plain = passes.plain(&start, &both).expect("a gradient");
    assert!(apart(&found.sums, &plain.sums) < 1e-4);
    // With them some steps are others.
    let mut deep = DeepTokens::new(start.clone(), 4, [0.5, 2.0, 0.1], vec![recovery]);
    let mut gradient = || deep.gradient(&passes, &start, &batch).expect("a gradient");
    let losses: Vec<f32> = (0..12).map(|_| gradient().loss).collect();
    let plain = losses
        .iter()
        .filter(|loss| (*loss - plain.loss).abs() < 1e-4);
    assert!((1..12).contains(&plain.count()), "{losses:?}");
    let mut none = DeepTokens::new(start.clone(), 4, [0.5, 2.0, 0.1], Vec::new());
    assert!(none.gradient(&passes, &start, &batch).is_err());
}

//! The direct step compared with the same step in tensors, and with exact numbers.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    Adapter, AdapterConfig, Model, ModelOptions, Numerics, Tokens, TrainConfig,
    kernels::tests_support::{each_isa, noise},
    train::gradient::{BatchGradients, gradients, tensor_gradients},
};

fn model(name: &str, numerics: Numerics) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let options = ModelOptions {
        numerics,
        ..ModelOptions::default()
    };
    Model::load(&folder.join(name), &options).expect("a model")
}

/// Returns examples with equal beginnings and answers of unequal length.
fn batch() -> Vec<Tokens> {
    let example = |length: u32, seed: u32| Tokens {
        ids: (0..length)
            .map(|i| if i < 12 { 3 + i } else { (i * seed) % 290 })
            .collect(),
        response_start: 15,
        ..Tokens::default()
    };
    vec![example(31, 7), example(22, 11), example(45, 13)]
}

fn adapter(model: &Model, targets: &[&str]) -> Adapter {
    let config = AdapterConfig {
        targets: targets.iter().map(|&name| name.to_owned()).collect(),
        rank: 4,
        ..AdapterConfig::default()
    };
    let mut adapter = Adapter::init(&config, model.config(), 1).expect("an adapter");
    for (seed, tensor) in adapter.tensors.values_mut().enumerate() {
        tensor.data = noise(tensor.data.len(), seed as u64 + 3);
        tensor.data.iter_mut().for_each(|value| *value *= 0.2);
    }
    adapter
}

/// Returns the largest difference as a share of the real gradient's size, over all tensors.
fn distance(ours: &BTreeMap<String, Vec<f32>>, real: &BTreeMap<String, Vec<f32>>) -> f32 {
    assert!(ours.keys().eq(real.keys()), "the same tensors");
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let each = ours.values().zip(real.values()).map(|(ours, real)| {
        assert_eq!(ours.len(), real.len());
        let mut apart = ours.iter().zip(real).map(|(a, b)| a - b);
        norm(&mut apart) / norm(&mut real.iter().copied()).max(1e-6)
    });
    each.fold(0.0, f32::max)
}

fn check(targets: &[&str]) {
    let fast = model("tiny-llama", Numerics::Fast);
    let exact = model("tiny-llama", Numerics::Exact);
    let adapter = adapter(&fast, targets);
    let batch = batch();
    let config = TrainConfig::default();
    let of = |result: Result<BatchGradients, _>| -> BatchGradients { result.expect("gradients") };
    let direct = of(gradients(&fast, &adapter, &batch, &config, 0));
    let tensors = of(tensor_gradients(&fast, &adapter, &batch, &config, 0));
    let real = of(gradients(&exact, &adapter, &batch, &config, 0));
    assert_eq!(direct.computed, tensors.computed);
    let near = |a: f32, b: f32, tolerance: f32| (a - b).abs() <= tolerance * b.abs();
    assert!(near(direct.loss, tensors.loss, 0.003), "{targets:?}");
    assert!(near(direct.loss, real.loss, 0.01), "{targets:?}");
    let (to_tensors, to_real) = (
        distance(&direct.sums, &tensors.sums),
        distance(&direct.sums, &real.sums),
    );
    assert!(to_tensors < 0.06, "{targets:?}: {to_tensors}");
    assert!(to_real < 0.06, "{targets:?}: {to_real}");
    assert!(to_real > 1e-6, "{targets:?}: nothing was rounded");
}

#[test]
fn gradients_are_those_of_the_tensors_up_to_rounding() {
    let all = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];
    for targets in [&all[..], &all[..1], &all[3..4], &all[4..5], &all[6..]] {
        check(targets);
    }
}

#[test]
fn every_kernel_gives_the_same_bits() {
    let first = std::sync::Mutex::new(None);
    each_isa(|isa| {
        check(&["q_proj", "v_proj"]);
        let fast = model("tiny-llama", Numerics::Fast);
        let adapter = adapter(&fast, &["q_proj", "v_proj", "down_proj"]);
        let ours = gradients(&fast, &adapter, &batch(), &TrainConfig::default(), 0);
        let ours = ours.expect("gradients");
        let mut first = first.lock().expect("the lock");
        let (loss, sums) = first.get_or_insert_with(|| (ours.loss, ours.sums.clone()));
        assert_eq!(ours.loss.to_bits(), loss.to_bits(), "{isa:?}");
        assert!(ours.sums == *sums, "{isa:?}");
    });
}

#[test]
fn neither_threads_nor_recomputing_show_in_the_bits() {
    let model = model("tiny-llama", Numerics::Fast);
    let adapter = adapter(&model, &["q_proj", "v_proj", "down_proj"]);
    let run = |threads, recompute| {
        let config = TrainConfig {
            recompute,
            ..TrainConfig::default()
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        let result = pool.install(|| gradients(&model, &adapter, &batch(), &config, 0));
        let result = result.expect("gradients");
        (result.loss, result.sums)
    };
    let first = run(1, false);
    for other in [run(3, false), run(2, true)] {
        assert_eq!(first.0.to_bits(), other.0.to_bits());
        assert_eq!(first.1, other.1);
    }
}

//! Random noise of a given norm on every value of the attacked adapter: the control of a repair.
//!
//! Noise as long as a repair's step brings refusals back as well, at the cost of everything else (Wang et
//! al. 2025, "Panacea: Mitigating Harmful Fine-tuning for Large Language Models via Post-fine-tuning
//! Perturbation"). So a repair has to beat it on helpfulness, not on safety alone.
//!
//! It is a pure function of the adapter, the run's seed, the arm's name and the norm: an auditor computes
//! it again.

use std::ops::Bound;

use fedseal_adapter::Adapter;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use crate::sampling::rng;

/// Its name.
const NAME: &str = "noise";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "random noise",
    help: "adds Gaussian noise of a given norm: the control of a repair",
    version: 1,
    numbers: &[Number {
        key: "norm",
        help: "Euclidean norm of the noise, that of the step of the repair which it is the control of",
        default: None,
        // With room for the adapter's own values.
        range: (Bound::Included(0.0), Bound::Included(1e30)),
        whole: false,
    }],
    audit,
    compute: Some(compute),
};

fn compute(case: &Case<'_>) -> Result<(DefenceData, Adapter), String> {
    let flat = case.attacked.flat();
    // With the arm in it: two arms of one norm are two draws.
    let mut stream = rng("defence-noise", case.seed, &[case.arm]);
    let noise: Vec<f64> = flat.iter().map(|_| normal(&mut stream)).collect();
    let length = noise.iter().map(|value| value * value).sum::<f64>().sqrt();
    let factor = match length > 0.0 {
        true => case.parameters.number("norm") / length,
        false => 0.0,
    };
    let moved: Vec<f32> = flat
        .iter()
        .zip(&noise)
        .map(|(value, noise)| (f64::from(*value) + factor * noise) as f32)
        .collect();
    let noisy = case.attacked.from_flat(&moved);
    let noisy = noisy.map_err(|error| error.to_string())?;
    if !noisy.is_finite() {
        return Err("the noise's norm is so large that values are not finite".into());
    }
    Ok((
        DefenceData::new(NAME).count("values", flat.len() as u64),
        noisy,
    ))
}

/// Computes it again.
fn audit(case: &Case<'_>, data: &DefenceData, repaired: &Adapter) -> Result<(), String> {
    let (same, noisy) = compute(case)?;
    if *data != same {
        return Err("has other counts than the noise of the arm's norm".into());
    }
    if repaired.digest() != noisy.digest() {
        return Err("gives another adapter: the run's seed and the arm's norm give another".into());
    }
    Ok(())
}

/// A standard normal number by Box and Muller, with libm's functions so that the bits are the same on
/// every machine.
fn normal(stream: &mut ChaCha20Rng) -> f64 {
    // In (0, 1]: its logarithm is finite.
    let mut unit = || ((stream.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let (u, v) = (unit(), unit());
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
}

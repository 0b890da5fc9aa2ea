//! The self-check: compares a device's results with the CPU's.
//!
//! Drivers and shader compilers have bugs. A device that multiplies wrongly would train wrong
//! adapters silently, so it must pass a check on the operations of a training step before it is
//! used: products, attention with its softmax, reductions, and the gradients of all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor, TensorData};
use fedseal_adapter::Source;

use super::kind::{DeviceKind, cpu};
use crate::{
    Numerics, TuningError,
    ops::{self, Activation, FrozenWeight, Rule, Segments, to_host},
};

/// Largest difference, as a share of the largest value that the CPU computes. f32 sums in another
/// order differ by about 1e-6 of it, a compiler error by the whole value.
const TOLERANCE: f32 = 1e-3;
/// As [`TOLERANCE`], for products of bf16: their operands have 8 bits.
const HALF_TOLERANCE: f32 = 2e-2;

/// A device's result for one operation.
#[derive(Clone)]
struct Answer {
    name: &'static str,
    values: Vec<f32>,
    tolerance: f32,
}

/// Compares a device's results with the CPU's.
///
/// # Errors
/// [`TuningError::SelfCheck`] with the operation and the difference when they do not agree.
pub(super) fn compare(kind: DeviceKind, device: &Device) -> Result<(), TuningError> {
    judge(kind, &answers(&cpu())?, || answers(device))
}

/// Compares the CPU's answers with the answers that `ask` returns.
fn judge(
    kind: DeviceKind,
    expected: &[Answer],
    ask: impl FnOnce() -> Result<Vec<Answer>, TuningError>,
) -> Result<(), TuningError> {
    // Where drivers fail, burn panics.
    let found = catch_unwind(AssertUnwindSafe(ask))
        .map_err(|_| refused(kind, "the driver failed during the self-check"))?
        .map_err(|error| refused(kind, error))?;
    if found.len() != expected.len() {
        return Err(refused(kind, "answers are missing"));
    }
    for (expected, found) in expected.iter().zip(&found) {
        let Answer {
            name, tolerance, ..
        } = expected;
        let difference = difference(&expected.values, &found.values);
        if difference.is_nan() || difference > *tolerance {
            return Err(refused(
                kind,
                format!(
                    "{name} differs by {difference:e} of its size, allowed are {tolerance:e}; the \
                     driver or its shader compiler computes wrongly"
                ),
            ));
        }
    }
    Ok(())
}

fn refused(kind: DeviceKind, why: impl Into<Source>) -> TuningError {
    TuningError::SelfCheck {
        device: kind.name(),
        source: why.into(),
    }
}

/// Returns the largest difference as a share of the largest expected value; NaN where a value is
/// NaN.
fn difference(expected: &[f32], found: &[f32]) -> f32 {
    if expected.len() != found.len() {
        return f32::INFINITY;
    }
    let size = expected.iter().fold(1e-6f32, |size, x| size.max(x.abs()));
    let mut largest = 0.0f32;
    for (expected, found) in expected.iter().zip(found) {
        let difference = (expected - found).abs() / size;
        if difference.is_nan() {
            return f32::NAN;
        }
        largest = largest.max(difference);
    }
    largest
}

/// Returns noise-like values in -0.5..0.5 that are the same everywhere.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32)
        .map(|i| {
            let x = (i ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
            let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
            ((x ^ (x >> 16)) >> 8) as f32 / (1u32 << 24) as f32 - 0.5
        })
        .collect()
}

/// Computes every operation's values on this device, by name.
fn answers(device: &Device) -> Result<Vec<Answer>, TuningError> {
    /// Tokens, width, output width: the product that software Vulkan (SPIR-V) got wrong.
    const SHAPE: [usize; 3] = [256, 576, 1536];
    /// Query heads, key-value heads, width of a head.
    const HEADS: [usize; 3] = [6, 2, 64];
    let [tokens, width, out] = SHAPE;
    let [heads, kv_heads, head_dim] = HEADS;
    let device = device.clone().without_autodiff();
    let tracked = device.clone().autodiff();
    let leaf = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &tracked).require_grad()
    };
    let heads_of = |x: Tensor<2>, heads: usize| x.reshape([tokens, heads, head_dim]);
    let frozen = |out: usize, inner: usize, seed: u32| {
        FrozenWeight::new(noise(out * inner, seed), out, inner, &device)
    };

    let x = leaf(noise(tokens * width, 1), [tokens, width]);
    let norm = Tensor::<1>::from_data(TensorData::new(noise(width, 2), [width]), &device);
    let normed = ops::rms_norm(x.clone(), &norm, 1e-5);
    let product = frozen(out, width, 3).forward(normed.clone());
    let q = frozen(heads * head_dim, width, 4).forward(normed.clone());
    let k = leaf(
        noise(tokens * kv_heads * head_dim, 5),
        [tokens, kv_heads * head_dim],
    );
    let v = leaf(
        noise(tokens * kv_heads * head_dim, 6),
        [tokens, kv_heads * head_dim],
    );
    let segments = Segments::from_lengths([100, 156]);
    let rule = Rule::of_dim(head_dim);
    let mixed = ops::attention(
        heads_of(q, heads),
        heads_of(k.clone(), kv_heads),
        heads_of(v.clone(), kv_heads),
        &segments,
        rule,
    )
    .reshape([tokens, heads * head_dim]);
    let active = ops::gated(product.clone(), product.clone(), Activation::Silu);
    let hidden = frozen(width, out, 7).forward(active)
        + frozen(width, heads * head_dim, 8).forward(mixed.clone());
    let targets: Vec<u32> = (0..tokens as u32).map(|i| i * 7 % 1000).collect();
    let loss = ops::cross_entropy(hidden, &frozen(1000, width, 9), None, &targets);

    // In bf16 where the device has it; the CPU's result is the reference.
    let numerics = match DeviceKind::of(&device) {
        DeviceKind::Cpu => Numerics::Exact,
        _ => Numerics::Fast,
    };
    let few = FrozenWeight::with_numerics(noise(out * width, 3), out, width, &device, numerics);
    let few_out = few.forward(normed.clone().inner());

    let mut list = Vec::new();
    let mut add = |name, values, tolerance| {
        list.push(Answer {
            name,
            values,
            tolerance,
        });
    };
    add(
        "a product of 256 x 576 x 1536",
        to_host(product.inner())?,
        TOLERANCE,
    );
    add("a product in fast mode", to_host(few_out)?, HALF_TOLERANCE);
    add(
        "rows of a matrix in fast mode",
        to_host(few.rows(&[0, 7, out as u32 - 1]))?,
        HALF_TOLERANCE,
    );
    add("attention", to_host(mixed.inner())?, TOLERANCE);
    add("a reduction", to_host(normed.inner().sum())?, TOLERANCE);
    add("the loss", to_host(loss.clone().inner())?, TOLERANCE);
    let mut gradients = loss.backward();
    for (name, leaf) in [
        ("the gradient of the input", x),
        ("the gradient of the keys", k),
        ("the gradient of the values", v),
    ] {
        let gradient = leaf
            .grad_remove(&mut gradients)
            .ok_or_else(|| TuningError::Device(format!("{name} is missing")))?;
        add(name, to_host(gradient)?, TOLERANCE);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_passes_its_own_check() {
        compare(DeviceKind::Cpu, &cpu()).unwrap();
    }

    #[test]
    fn the_check_exercises_values_of_a_sensible_size() {
        for Answer { name, values, .. } in answers(&cpu()).unwrap() {
            let largest = values.iter().fold(0.0f32, |size, x| size.max(x.abs()));
            assert!(largest > 1e-5 && largest.is_finite(), "{name}: {largest}");
        }
    }

    #[test]
    fn a_device_that_errs_in_any_one_operation_is_refused_by_its_name() {
        let right = answers(&cpu()).unwrap();
        let wrong = |change: &dyn Fn(&mut Vec<Answer>)| {
            let ask = || {
                let mut answers = right.clone();
                change(&mut answers);
                Ok(answers)
            };
            judge(DeviceKind::Wgpu, &right, ask).map_err(|error| error.to_string())
        };
        assert_eq!(wrong(&|_| {}), Ok(()));
        for (i, Answer { name, .. }) in right.iter().enumerate() {
            for error in [0.05, f32::NAN] {
                // One value of many is off by 5 % of the largest.
                let text = wrong(&|answers| {
                    let values = &mut answers[i].values;
                    let size = values.iter().fold(0.0f32, |size, x| size.max(x.abs()));
                    let last = values.len() - 1;
                    values[last] += error * size;
                });
                let text = text.unwrap_err();
                assert!(
                    text.contains("wgpu failed the self-check") && text.contains(name),
                    "{name}: {text}"
                );
            }
        }
        let text = wrong(&|answers| drop(answers.pop())).unwrap_err();
        assert!(text.contains("missing"), "{text}");
    }

    #[test]
    fn a_driver_that_fails_is_refused() {
        let right = answers(&cpu()).unwrap();
        let text = judge(DeviceKind::Cuda, &right, || panic!("a driver's panic")).unwrap_err();
        assert!(text.to_string().contains("--device cpu"), "{text}");
        let error = || Err(TuningError::Device("lost".to_owned()));
        let text = judge(DeviceKind::Cuda, &right, error).unwrap_err();
        assert!(text.to_string().contains("lost"), "{text}");
    }

    #[test]
    fn a_difference_is_measured_against_the_largest_value_and_nan_is_one() {
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -3.0]), 0.25);
        assert!(difference(&[1.0], &[f32::NAN]).is_nan());
        assert_eq!(difference(&[1.0], &[]), f32::INFINITY);
        assert!(
            refused(DeviceKind::Vulkan, "x")
                .to_string()
                .contains("vulkan failed the self-check")
        );
    }
}

//! The spectral detector of LoRA adapters (Merenciano et al. 2026, arXiv 2602.15195): five statistics of the
//! singular values of each adapted projection's update, and a logistic regression on them.
//!
//! For each kind of matrix, `dW = (B + dB)(A + dA) - BA` gives its largest singular value, its Frobenius norm, the
//! share of its energy in the largest value, the entropy of the singular values' shares, and the kurtosis of its
//! entries (declared: the source names the statistics, not the last one's values). With q, k, v and o that are
//! 20. Declared: means over blocks, values standardised over the updates of simulated clients, a ridge by weight
//! decay, and updates of a probability from `threshold` on do not count.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;

use super::definition::{Definition, Parameter, Range, Takes};
use super::factors::{dot, singular};
use super::fedavg::FedAvg;
use super::fltrust::pairs;
use super::lengths::counted;
use super::linear::{Linear, Training};
use super::lora_product::{Pair, pairs_of};
use super::safe_fedllm::SIMULATED;
use super::server_input::{Known, Need};
use super::{Inputs, Outcome, Rule, Update};

/// Name of the rule.
pub const NAME: &str = "spectral";

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "spectral detector",
    help: "mean without updates whose spectra look harmful (Merenciano et al. 2026)",
    // The first version took what rounding leaves of an update that changes no product for its spectrum.
    version: 2,
    earlier: &[|p| {
        Box::new(Spectral {
            threshold: p.number("threshold"),
            least: 0.0,
        })
    }],
    bound: None,
    parameters: &[
        Parameter {
            key: "threshold",
            help: "probability from which an update does not count",
            takes: Takes::Number {
                default: 0.5,
                range: Range::Share,
            },
            flat: None,
        },
        SIMULATED,
        pairs("examples", "examples of a simulated client", 100),
    ],
    make: |p| {
        Box::new(Spectral {
            threshold: p.number("threshold"),
            least: NOTHING,
        })
    },
};

/// The mean without what looks harmful.
pub struct Spectral {
    /// Probability from which an update does not count.
    pub threshold: f64,
    /// Largest singular value, as a share of the lengths of what it is a difference of, up to which it is 0.
    pub least: f64,
}

/// Ten thousand times what rounding leaves of a difference of two products.
const NOTHING: f64 = 1e-12;

const TRAINING: Training = Training {
    steps: 500,
    rate: 0.05,
    decay: 0.02,
    clip: f64::MAX,
};

/// Statistics of a matrix.
const STATISTICS: usize = 5;

/// Statistics of an update: five for each kind of matrix, in the order of their names, means over blocks.
fn features(global: &Adapter, delta: &[f32], least: f64) -> Vec<f64> {
    let values = global.flat();
    let mut kinds: BTreeMap<String, (usize, [f64; STATISTICS])> = BTreeMap::new();
    for (name, pair) in pairs_of(global) {
        let module = name.split(".lora_A.").next().unwrap_or_default();
        let kind = module.rsplit('.').next().unwrap_or_default().to_owned();
        let (count, sums) = kinds.entry(kind).or_default();
        *count += 1;
        let own = statistics(&pair, &values, delta, least);
        for (sum, own) in sums.iter_mut().zip(own) {
            *sum += own;
        }
    }
    let means = kinds.into_values();
    means
        .flat_map(|(count, sums)| sums.map(|sum| sum / count as f64))
        .collect()
}

fn statistics(pair: &Pair, global: &[f32], delta: &[f32], least: f64) -> [f64; STATISTICS] {
    let Pair {
        a,
        b,
        rank,
        inner,
        outer,
    } = *pair;
    let before = |at: usize| f64::from(global[at]);
    let after = |at: usize| before(at) + f64::from(delta[at]);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for k in 0..rank {
        let column = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..outer).map(|i| value(b + i * rank + k)).collect()
        };
        let row = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..inner).map(|j| value(a + k * inner + j)).collect()
        };
        left.extend([column(&after), column(&|at| -before(at))]);
        right.extend([row(&after), row(&before)]);
    }
    let found: Vec<f64> = singular(&left, &right)
        .iter()
        .map(|one| one.value)
        .collect();
    let top = found.first().copied().unwrap_or_default();
    let energy: f64 = found.iter().map(|value| value * value).sum();
    let total: f64 = found.iter().sum();
    let lengths = left.iter().zip(&right);
    let lengths = lengths.map(|(left, right)| (dot(left, left) * dot(right, right)).sqrt());
    if total == 0.0 || top <= least * lengths.sum::<f64>() {
        return [0.0; STATISTICS];
    }
    let shares = found.iter().map(|value| value / total);
    let entropy: f64 = shares.map(|share| -share * libm::log(share)).sum();
    let kurtosis = kurtosis(&left, &right, [outer, inner]);
    [top, energy.sqrt(), top * top / energy, entropy, kurtosis]
}

/// Kurtosis of the entries of `sum_k left[k] right[k]^T`: the fourth moment over the squared second, 3 for a normal
/// distribution.
fn kurtosis(left: &[Vec<f64>], right: &[Vec<f64>], [outer, inner]: [usize; 2]) -> f64 {
    let mut moments = [0.0; 4];
    for i in 0..outer {
        for j in 0..inner {
            let pairs = left.iter().zip(right);
            let entry: f64 = pairs.map(|(left, right)| left[i] * right[j]).sum();
            let mut power = 1.0;
            for moment in &mut moments {
                power *= entry;
                *moment += power;
            }
        }
    }
    let count = (outer * inner) as f64;
    let [one, two, three, four] = moments.map(|sum| sum / count);
    let variance = two - one * one;
    let fourth = four - 4.0 * one * three + 6.0 * one * one * two - 3.0 * one.powi(4);
    match variance > 0.0 {
        true => fourth / (variance * variance),
        false => 0.0,
    }
}

/// Standardises a row.
fn standard(row: &[f64], means: &[f64], scales: &[f64]) -> Vec<f64> {
    let values = row.iter().zip(means).zip(scales);
    values
        .map(|((value, mean), scale)| (value - mean) / scale)
        .collect()
}

impl Rule for Spectral {
    /// Without a detector: the mean.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        FedAvg.aggregate(updates, inputs)
    }

    fn input(&self) -> Option<Need> {
        Some(Need::Simulated)
    }

    fn learn(
        &self,
        global: &Adapter,
        honest: &[Vec<f32>],
        harmful: &[Vec<f32>],
    ) -> BTreeMap<String, Vec<f64>> {
        let all = honest.iter().chain(harmful);
        let rows: Vec<Vec<f64>> = all
            .map(|delta| features(global, delta, self.least))
            .collect();
        let width = rows.first().map_or(0, Vec::len);
        let count = rows.len().max(1) as f64;
        let of = |j: usize| rows.iter().map(move |row| row[j]);
        let means: Vec<f64> = (0..width).map(|j| of(j).sum::<f64>() / count).collect();
        let scales: Vec<f64> = (0..width)
            .map(|j| {
                let squares = of(j).map(|value| (value - means[j]).powi(2));
                let scale = (squares.sum::<f64>() / count).sqrt();
                match scale > 0.0 {
                    true => scale,
                    false => 1.0,
                }
            })
            .collect();
        let labels: Vec<bool> = (0..rows.len()).map(|at| at >= honest.len()).collect();
        let samples: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| standard(row, &means, &scales))
            .collect();
        let mut numbers = Linear::train(&samples, &labels, &TRAINING).numbers();
        numbers.insert("means".to_owned(), means);
        numbers.insert("scales".to_owned(), scales);
        numbers
    }

    fn aggregate_with(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        known: &Known<'_>,
    ) -> Outcome {
        let rows: Vec<Vec<f64>> = updates
            .iter()
            .map(|update| features(known.global, update.delta, self.least))
            .collect();
        let named = |name| known.input.named(name);
        let (means, scales) = (named("means"), named("scales"));
        let width = rows.first().map_or(0, Vec::len);
        let detector = Linear::read(named("weights"), named("bias"), width);
        let Some(detector) = detector.filter(|_| means.len() == width && scales.len() == width)
        else {
            return self.aggregate(updates, inputs);
        };
        let factors: Vec<f64> = rows
            .iter()
            .map(|row| {
                let chance = detector.chance(&standard(row, means, scales));
                f64::from(u8::from(chance < self.threshold))
            })
            .collect();
        counted(updates, &factors)
    }
}

#[cfg(test)]
mod tests {
    use fedseal_adapter::{AdapterConfig, AdapterTensor};

    use super::*;

    #[test]
    fn statistics_are_those_of_the_update_s_matrix() {
        // BA is [[1, 0], [0, 0]], after it [[3, 0], [0, 2]]: the update is [[2, 0], [0, 2]].
        let tensor = |data: [f32; 4]| AdapterTensor {
            shape: [2, 2],
            data: data.to_vec(),
        };
        let global = Adapter {
            tensors: [
                (
                    "m.q_proj.lora_A.weight".to_owned(),
                    tensor([1.0, 0.0, 0.0, 1.0]),
                ),
                (
                    "m.q_proj.lora_B.weight".to_owned(),
                    tensor([1.0, 0.0, 0.0, 0.0]),
                ),
            ]
            .into(),
            config: AdapterConfig::default(),
        };
        let delta = [0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0];
        let found = features(&global, &delta, NOTHING);
        // Two equal values of 2; entries 2, 0, 0, 2 have the mean 1, variance 1 and fourth moment 1.
        let expected = [2.0, 8.0f64.sqrt(), 0.5, 2.0f64.ln(), 1.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert_eq!(features(&global, &[0.0; 8], NOTHING), [0.0; 5]);
    }

    #[test]
    fn what_rounding_leaves_is_no_spectrum() {
        let values = |start: usize| AdapterTensor {
            shape: [3, 3],
            data: (start..start + 9).map(|i| (i as f32 * 1.7).sin()).collect(),
        };
        let global = Adapter {
            tensors: [
                ("m.q_proj.lora_A.weight".to_owned(), values(1)),
                ("m.q_proj.lora_B.weight".to_owned(), values(20)),
            ]
            .into(),
            config: AdapterConfig::default(),
        };
        assert_eq!(features(&global, &[0.0; 18], NOTHING), [0.0; 5]);
        let mut delta = [0.0; 18];
        delta[0] = 1e-6;
        assert!(features(&global, &delta, NOTHING)[0] > 0.0);
    }
}

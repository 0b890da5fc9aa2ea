//! Aggregation on the run's device: the tensor code of the tuning room, as the rules ask for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fedseal_rules::aggregation::device::{Found, Near, Tensors};
use fedseal_tuning::aggregation;
use fedseal_tuning::kernels::columns::Ranked;
use fedseal_tuning::{Device, DeviceKind, TuningError};

/// A device that aggregates.
pub struct OnDevice(pub Device);

impl OnDevice {
    /// Name of its kind, as records have it.
    pub fn name(&self) -> &'static str {
        DeviceKind::of(&self.0).name()
    }

    /// Calls tensor code. Where drivers fail, burn panics.
    fn call<T>(&self, code: impl FnOnce(&Device) -> Result<Option<T>, TuningError>) -> Found<T> {
        let found = catch_unwind(AssertUnwindSafe(|| code(&self.0)));
        let found = found.map_err(|_| format!("device {} failed", self.name()))?;
        found.map_err(|error| format!("device {}: {error}", self.name()))
    }
}

impl Tensors for OnDevice {
    fn weighted_sum(&self, rows: &[&[f32]], weights: &[f64]) -> Found<Vec<f32>> {
        self.call(|device| aggregation::fed_avg(rows, weights, device))
    }

    fn lower_median(&self, rows: &[&[f32]]) -> Found<Ranked> {
        self.call(|device| aggregation::lower_median(rows, device).map(Some))
    }

    fn trimmed_mean(&self, rows: &[&[f32]], trim: usize) -> Found<Ranked> {
        self.call(|device| aggregation::trimmed_mean(rows, trim, device))
    }

    fn distances(&self, rows: &[&[f32]]) -> Found<Near> {
        self.call(|device| Ok(aggregation::krum(rows, device)?.map(near)))
    }

    fn centred_products(&self, rows: &[&[f32]]) -> Found<Near> {
        self.call(|device| aggregation::dnc(rows, device).map(|values| Some(near(values))))
    }
}

fn near(values: Vec<Vec<f64>>) -> Near {
    Near {
        values,
        error: aggregation::ERROR,
    }
}

#[cfg(test)]
mod tests {
    use fedseal_rules::aggregation::{AggregationConfig, Inputs, Update, device};
    use fedseal_tuning::kernels::tests_support::noise;

    use super::*;

    const RULES: [&str; 5] = ["fedavg", "median", "trimmed-mean", "krum", "dnc"];

    /// Updates around a common one, `spread` apart, with an attacker first where there are several.
    fn rows(n: usize, width: usize, spread: f32, seed: u64) -> Vec<Vec<f32>> {
        let common = noise(width, 100 * seed + 1);
        let around = |at: usize| {
            let own = noise(width, 100 * seed + 2 + at as u64);
            let pairs = common.iter().zip(own);
            pairs.map(|(x, own)| x + spread * own).collect()
        };
        let mut rows: Vec<Vec<f32>> = (0..n).map(around).collect();
        if n > 2 {
            rows[0].iter_mut().for_each(|x| *x *= -2.0);
        }
        rows
    }

    /// Whether the device decided; where it did, its outcome is the CPU's within the bound.
    fn decided(name: &str, rows: &[Vec<f32>], weights: &[f64], malicious: usize) -> bool {
        let updates: Vec<Update<'_>> = rows
            .iter()
            .zip(weights)
            .map(|(delta, weight)| Update {
                delta,
                weight: *weight,
            })
            .collect();
        let inputs = Inputs {
            expected_malicious: malicious,
            seed: 7,
        };
        let rule = AggregationConfig::default().rule(name).unwrap();
        let own = rule.aggregate(&updates, &inputs).unwrap();
        let cpu = OnDevice(Device::flex());
        let Some(found) = rule.aggregate_on(&updates, &inputs, &cpu).unwrap() else {
            return false;
        };
        assert_eq!(found.weights, own.weights, "{name}");
        device::within(&found.delta, &own.delta).unwrap_or_else(|said| panic!("{name}: {said}"));
        true
    }

    #[test]
    fn every_rule_is_the_cpu_s_on_random_updates() {
        for (n, width) in [(1, 40), (2, 300), (3, 1), (5, 700), (8, 1500), (21, 90)] {
            for seed in 0..4 {
                let rows = rows(n, width, 0.1, seed);
                let weights: Vec<f64> = (0..n).map(|i| 1.0 + (i % 3) as f64).collect();
                for name in RULES {
                    let sure = decided(name, &rows, &weights, 1.min(n - 1));
                    // Who goes of two, or by a single value, may be open.
                    let chooses = ["krum", "dnc"].contains(&name) && (n == 2 || width == 1);
                    assert!(sure || chooses, "{name} of {n} x {width}");
                }
            }
        }
    }

    #[test]
    fn every_rule_is_the_cpu_s_on_degenerate_updates() {
        let with = |change: &dyn Fn(usize, f32) -> f32| -> Vec<Vec<f32>> {
            let rows = rows(5, 200, 0.1, 3).into_iter().enumerate();
            rows.map(|(i, row)| row.into_iter().map(|x| change(i, x)).collect())
                .collect()
        };
        let cases = [
            ("rounded, with ties", with(&|_, x: f32| (x * 4.0).round())),
            ("all equal", vec![vec![0.25, -0.5, 0.0]; 4]),
            ("all zero", vec![vec![0.0; 9]; 4]),
            (
                "zeros of both signs",
                with(&|i: usize, _| [0.0, -0.0, 1.0][i % 3]),
            ),
            ("huge", with(&|_, x: f32| x * 1e38)),
            ("tiny", with(&|_, x: f32| x * 1e-41)),
            (
                "one huge",
                with(&|i: usize, x: f32| if i == 0 { 1e38 } else { x }),
            ),
            ("no value", vec![Vec::new(); 3]),
        ];
        for (what, rows) in &cases {
            let n = rows.len();
            let mut weights = vec![1.0; n];
            for name in RULES {
                let sure = decided(name, rows, &weights, 1);
                let open = ["all equal", "all zero", "zeros of both signs", "no value"];
                assert!(
                    sure || *what == "one huge" || open.contains(what) || name == "krum",
                    "{name}: {what}"
                );
            }
            // An update without weight is in no mean of FedAvg.
            weights[0] = 0.0;
            assert!(decided("fedavg", rows, &weights, 1), "{what}");
        }
    }

    #[test]
    fn a_choice_that_rounding_could_change_is_the_cpu_s() {
        // The first two are alike and far from the others, and one of them is to go.
        let mut twins = rows(5, 300, 0.1, 5);
        twins[0] = twins[2].iter().map(|x| x + 1.0).collect();
        twins[1] = twins[0].clone();
        assert!(!decided("dnc", &twins, &[1.0; 5], 1));
        assert!(!decided("krum", &twins, &[1.0; 5], 1));
        // Opposite ones leave nothing but errors.
        let opposite = [vec![0.3, -0.7], vec![-0.3, 0.7]];
        assert!(!decided("fedavg", &opposite, &[1.0; 2], 0));
    }

    #[test]
    fn a_driver_that_fails_is_an_error_in_words() {
        let device = OnDevice(Device::flex());
        let said = device.call::<()>(|_| panic!("a driver's panic"));
        assert_eq!(said.unwrap_err(), "device cpu failed");
        let said = device.call::<()>(|_| Err(TuningError::Device("lost".into())));
        assert!(said.unwrap_err().contains("lost"));
    }
}

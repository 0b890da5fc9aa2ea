//! FedAdagrad, FedYogi and FedAdam (Reddi et al. 2021): a first moment `m`, three ways to keep the second
//! one `v`, and the step `eta * m / (sqrt(v) + tau)`.
//!
//! | | `original` (algorithm 2) | `openfedllm` | `flwr` 1.42 |
//! | --- | --- | --- | --- |
//! | `m` of FedAdagrad | `beta1 * m + (1 - beta1) * delta` from 0 | `delta` | `delta` |
//! | `m` of the others | the same | the same from the first delta | as the original |
//! | `v` follows | `delta` | `m` | `delta` |
//! | `v` starts at | `tau^2` | `tau^2` | 0 |
//! | `eta` of FedAdam | as given | as given | `* sqrt(1 - beta2^(t+1)) / (1 - beta1^(t+1))`, `t` from 1 |

use super::{Definition, Formula, Key, Optimiser, Settings};

/// Numbers of FedAdagrad: the framework's.
const ADAGRAD: &[(Key, f64)] = &[(Key::LearningRate, 1e-3), (Key::Tau, 1e-3)];

/// Numbers of FedAdagrad with a first moment of its own.
const ADAGRAD_WITH_MOMENT: &[(Key, f64)] = &[
    (Key::LearningRate, 1e-3),
    (Key::Beta1, 0.9),
    (Key::Tau, 1e-3),
];

/// Numbers of the others: the framework's.
const BOTH: &[(Key, f64)] = &[
    (Key::LearningRate, 1e-3),
    (Key::Beta1, 0.9),
    (Key::Beta2, 0.99),
    (Key::Tau, 1e-3),
];

/// Definition of FedAdagrad.
pub const FEDADAGRAD: Definition = Definition {
    name: "fedadagrad",
    help: "adaptive steps, the second moment a sum (Reddi et al. 2021)",
    version: 1,
    uses: |formula| match formula {
        Formula::Original => ADAGRAD_WITH_MOMENT,
        Formula::OpenFedLlm | Formula::Flwr => ADAGRAD,
    },
    make: |settings| Box::new(Adaptive::new(Kind::Adagrad, settings)),
};

/// Definition of FedYogi.
pub const FEDYOGI: Definition = Definition {
    name: "fedyogi",
    help: "adaptive steps, the second moment by sign (Reddi et al. 2021)",
    version: 1,
    uses: |_| BOTH,
    make: |settings| Box::new(Adaptive::new(Kind::Yogi, settings)),
};

/// Definition of FedAdam.
pub const FEDADAM: Definition = Definition {
    name: "fedadam",
    help: "adaptive steps, the second moment a mean (Reddi et al. 2021)",
    version: 1,
    uses: |_| BOTH,
    make: |settings| Box::new(Adaptive::new(Kind::Adam, settings)),
};

/// How the second moment is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `v += s`, where `s` is the square of what `v` follows.
    Adagrad,
    /// `v -= (1 - beta2) * s * sign(v - s)`.
    Yogi,
    /// `v = beta2 * v + (1 - beta2) * s`.
    Adam,
}

/// One of the three, by one of the formulas.
#[derive(Clone)]
pub struct Adaptive {
    kind: Kind,
    settings: Settings,
    /// Steps that were made.
    steps: u64,
    /// First and second moment of each value.
    state: Vec<(f64, f64)>,
}

impl Adaptive {
    /// A fresh one.
    pub fn new(kind: Kind, settings: &Settings) -> Self {
        Adaptive {
            kind,
            settings: *settings,
            steps: 0,
            state: Vec::new(),
        }
    }

    /// The learning rate of a step, counted from 1.
    fn rate(&self, step: u64) -> f64 {
        let rate = self.settings.get(Key::LearningRate);
        if (self.kind, self.settings.formula) != (Kind::Adam, Formula::Flwr) {
            return rate;
        }
        // Flower counts rounds from 1 and adds 1 again. `exp` and `ln` differ between systems, products
        // do not.
        let power = |base: f64| (0..=step).fold(1.0, |product, _| product * base);
        let (one, two) = (self.settings.get(Key::Beta1), self.settings.get(Key::Beta2));
        rate * (1.0 - power(two)).sqrt() / (1.0 - power(one))
    }
}

impl Optimiser for Adaptive {
    fn step(&mut self, delta: &[f32]) -> Vec<f32> {
        let Settings { formula, .. } = self.settings;
        let get = |key| self.settings.get(key);
        let tau = get(Key::Tau);
        let first = self.steps == 0;
        self.steps += 1;
        // The first moment is the delta itself where it is not a mean of several.
        let beta1 = match (self.kind, formula) {
            (Kind::Adagrad, Formula::OpenFedLlm | Formula::Flwr) => 0.0,
            (_, Formula::OpenFedLlm) if first => 0.0,
            _ => get(Key::Beta1),
        };
        let beta2 = match self.kind {
            Kind::Adagrad => 0.0,
            Kind::Yogi | Kind::Adam => get(Key::Beta2),
        };
        let start = match formula {
            Formula::Original | Formula::OpenFedLlm => tau * tau,
            Formula::Flwr => 0.0,
        };
        let rate = self.rate(self.steps);
        let kind = self.kind;
        self.state.resize(delta.len(), (0.0, start));
        self.state
            .iter_mut()
            .zip(delta)
            .map(|((m, v), value)| {
                let value = f64::from(*value);
                *m = beta1 * *m + (1.0 - beta1) * value;
                let followed = match formula {
                    Formula::OpenFedLlm => *m,
                    Formula::Original | Formula::Flwr => value,
                };
                let square = followed * followed;
                *v = match kind {
                    Kind::Adagrad => *v + square,
                    Kind::Yogi => {
                        let sign = if *v > square {
                            1.0
                        } else if *v < square {
                            -1.0
                        } else {
                            0.0
                        };
                        *v - (1.0 - beta2) * square * sign
                    }
                    Kind::Adam => beta2 * *v + (1.0 - beta2) * square,
                };
                (rate * *m / (v.sqrt() + tau)) as f32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two steps on deltas 1 and 0, with eta 1, beta 0.9 and 0.99, tau 0.5.
    fn steps(kind: Kind, formula: Formula) -> [f64; 2] {
        let numbers = [
            (Key::LearningRate, 1.0),
            (Key::Beta1, 0.9),
            (Key::Beta2, 0.99),
            (Key::Tau, 0.5),
        ];
        let mut optimiser = Adaptive::new(kind, &Settings::new(formula, numbers));
        [1.0, 0.0].map(|delta| f64::from(optimiser.step(&[delta])[0]))
    }

    fn close(kind: Kind, formula: Formula, expected: [f64; 2]) {
        let found = steps(kind, formula);
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs();
            assert!(error < 1e-6, "{kind:?} {formula:?}: {found} {expected}");
        }
    }

    #[test]
    fn the_originals_by_hand() {
        // m = 0.1, then 0.09; v starts at 0.25.
        close(
            Kind::Adagrad,
            Formula::Original,
            [0.1, 0.09].map(|m| m / (1.25f64.sqrt() + 0.5)),
        );
        // v = 0.25 + 0.01, and stays, as the delta is 0.
        close(
            Kind::Yogi,
            Formula::Original,
            [0.1, 0.09].map(|m| m / (0.26f64.sqrt() + 0.5)),
        );
        // v = 0.99 * 0.25 + 0.01 = 0.2575, then 0.99 * 0.2575.
        close(
            Kind::Adam,
            Formula::Original,
            [
                0.1 / (0.2575f64.sqrt() + 0.5),
                0.09 / (0.254_925f64.sqrt() + 0.5),
            ],
        );
    }

    #[test]
    fn openfedllms_by_hand() {
        // m is the delta: 1, then 0.
        close(
            Kind::Adagrad,
            Formula::OpenFedLlm,
            [1.0 / (1.25f64.sqrt() + 0.5), 0.0],
        );
        // m = 1, then 0.9, and v follows m: 0.25 + 0.01, then + 0.01 * 0.81.
        close(
            Kind::Yogi,
            Formula::OpenFedLlm,
            [1.0 / (0.26f64.sqrt() + 0.5), 0.9 / (0.2681f64.sqrt() + 0.5)],
        );
        // v = 0.2575, then 0.99 * 0.2575 + 0.01 * 0.81 = 0.263025.
        close(
            Kind::Adam,
            Formula::OpenFedLlm,
            [
                1.0 / (0.2575f64.sqrt() + 0.5),
                0.9 / (0.263_025f64.sqrt() + 0.5),
            ],
        );
    }

    #[test]
    fn flowers_by_hand() {
        // v starts at 0: 1 after the first delta.
        close(Kind::Adagrad, Formula::Flwr, [1.0 / 1.5, 0.0]);
        // v = 0.01, and stays.
        close(Kind::Yogi, Formula::Flwr, [0.1 / 0.6, 0.09 / 0.6]);
        // eta = sqrt(1 - 0.99^2) / (1 - 0.9^2), then with powers of three; v = 0.01, then 0.0099.
        let rate = |power: i32| (1.0 - 0.99f64.powi(power)).sqrt() / (1.0 - 0.9f64.powi(power));
        close(
            Kind::Adam,
            Formula::Flwr,
            [
                rate(2) * 0.1 / 0.6,
                rate(3) * 0.09 / (0.0099f64.sqrt() + 0.5),
            ],
        );
    }
}

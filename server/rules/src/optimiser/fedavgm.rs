//! FedAvgM, server momentum. The step is `m`, which starts at the first delta.
//!
//! `original` (Hsu et al. 2019): `m = beta * m + delta`. `openfedllm`: `m = beta * m + (1 - beta) * delta`.
//! `flwr`: as the original, the step is `learning_rate * m`, and the learning rate is 1 where it is left out.

use super::{Definition, Formula, Key, Optimiser, Settings};

/// Definition of the optimiser.
pub const DEFINITION: Definition = Definition {
    name: "fedavgm",
    help: "server momentum (Hsu et al. 2019)",
    version: 1,
    uses: |formula| match formula {
        Formula::Original | Formula::OpenFedLlm => &[(Key::Momentum, 0.9)],
        Formula::Flwr => &[(Key::LearningRate, 1.0), (Key::Momentum, 0.9)],
    },
    make: |settings| Box::new(FedAvgM::new(settings)),
};

/// Server momentum.
#[derive(Clone)]
pub struct FedAvgM {
    settings: Settings,
    /// Empty before the first step.
    state: Vec<f64>,
}

impl FedAvgM {
    /// A fresh one, with momentum beta in [0, 1).
    pub fn new(settings: &Settings) -> Self {
        FedAvgM {
            settings: *settings,
            state: Vec::new(),
        }
    }
}

impl Optimiser for FedAvgM {
    fn step(&mut self, delta: &[f32]) -> Vec<f32> {
        let beta = self.settings.get(Key::Momentum);
        let share = match self.settings.formula {
            Formula::OpenFedLlm if !self.state.is_empty() => 1.0 - beta,
            _ => 1.0,
        };
        let rate = match self.settings.formula {
            Formula::Flwr => self.settings.get(Key::LearningRate),
            Formula::Original | Formula::OpenFedLlm => 1.0,
        };
        self.state.resize(delta.len(), 0.0);
        for (state, value) in self.state.iter_mut().zip(delta) {
            *state = beta * *state + share * f64::from(*value);
        }
        self.state.iter().map(|m| (rate * m) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(formula: Formula, rate: f64) -> [f32; 3] {
        let settings = [(Key::LearningRate, rate), (Key::Momentum, 0.5)];
        let mut optimiser = FedAvgM::new(&Settings::new(formula, settings));
        [1.0, 1.0, 0.0].map(|delta| optimiser.step(&[delta])[0])
    }

    #[test]
    fn momentum_adds_up_in_the_original() {
        // m = 1; 0.5 * 1 + 1; 0.5 * 1.5 + 0.
        assert_eq!(steps(Formula::Original, 1.0), [1.0, 1.5, 0.75]);
        assert_eq!(steps(Formula::Flwr, 2.0), [2.0, 3.0, 1.5]);
    }

    #[test]
    fn momentum_is_a_mean_in_openfedllm() {
        // m = 1; 0.5 * 1 + 0.5 * 1; 0.5 * 1 + 0.5 * 0.
        assert_eq!(steps(Formula::OpenFedLlm, 1.0), [1.0, 1.0, 0.5]);
    }
}

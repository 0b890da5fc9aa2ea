//! FedAvgM (Hsu et al. 2019): server momentum, `m = beta * m + delta`, the step is `m`.

use super::{Definition, Optimiser};

/// Definition of the optimiser.
pub const DEFINITION: Definition = Definition {
    name: "fedavgm",
    help: "server momentum (Hsu et al. 2019)",
    version: 1,
    make: |config| Box::new(FedAvgM::new(config.momentum)),
};

/// Server momentum.
pub struct FedAvgM {
    momentum: f64,
    state: Vec<f64>,
}

impl FedAvgM {
    /// With momentum beta in [0, 1).
    pub fn new(momentum: f64) -> Self {
        FedAvgM {
            momentum,
            state: Vec::new(),
        }
    }
}

impl Optimiser for FedAvgM {
    fn step(&mut self, delta: &[f32]) -> Vec<f32> {
        self.state.resize(delta.len(), 0.0);
        self.state
            .iter_mut()
            .zip(delta)
            .map(|(state, value)| {
                *state = self.momentum * *state + f64::from(*value);
                *state as f32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_adds_up() {
        let mut optimiser = FedAvgM::new(0.5);
        assert_eq!(optimiser.step(&[1.0]), vec![1.0]);
        assert_eq!(optimiser.step(&[1.0]), vec![1.5]);
        assert_eq!(optimiser.step(&[0.0]), vec![0.75]);
    }
}

//! FedAdagrad, FedYogi and FedAdam (Reddi et al. 2021, algorithm 2): one first moment, three ways
//! to keep the second.

use super::{Definition, Optimiser, ServerConfig};

/// Definition of FedAdagrad.
pub const FEDADAGRAD: Definition = Definition {
    name: "fedadagrad",
    help: "adaptive steps, the second moment a sum (Reddi et al. 2021)",
    version: 1,
    make: |config| Box::new(Adaptive::new(Kind::Adagrad, config)),
};

/// Definition of FedYogi.
pub const FEDYOGI: Definition = Definition {
    name: "fedyogi",
    help: "adaptive steps, the second moment by sign (Reddi et al. 2021)",
    version: 1,
    make: |config| Box::new(Adaptive::new(Kind::Yogi, config)),
};

/// Definition of FedAdam.
pub const FEDADAM: Definition = Definition {
    name: "fedadam",
    help: "adaptive steps, the second moment a mean (Reddi et al. 2021)",
    version: 1,
    make: |config| Box::new(Adaptive::new(Kind::Adam, config)),
};

/// How the second moment is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `v += delta^2`.
    Adagrad,
    /// `v -= (1 - beta2) * delta^2 * sign(v - delta^2)`.
    Yogi,
    /// `v = beta2 * v + (1 - beta2) * delta^2`.
    Adam,
}

/// `step = eta * m / (sqrt(v) + tau)`, with `v` starting at tau squared.
pub struct Adaptive {
    kind: Kind,
    config: ServerConfig,
    state: Vec<(f64, f64)>,
}

impl Adaptive {
    /// A fresh one.
    pub fn new(kind: Kind, config: &ServerConfig) -> Self {
        Adaptive {
            kind,
            config: config.clone(),
            state: Vec::new(),
        }
    }
}

impl Optimiser for Adaptive {
    fn step(&mut self, delta: &[f32]) -> Vec<f32> {
        let ServerConfig {
            learning_rate,
            beta1,
            beta2,
            tau,
            ..
        } = self.config;
        self.state.resize(delta.len(), (0.0, tau * tau));
        self.state
            .iter_mut()
            .zip(delta)
            .map(|((m, v), value)| {
                let value = f64::from(*value);
                let square = value * value;
                *m = beta1 * *m + (1.0 - beta1) * value;
                *v = match self.kind {
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
                (learning_rate * *m / (v.sqrt() + tau)) as f32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_steps_by_hand() {
        let config = ServerConfig {
            learning_rate: 1.0,
            tau: 0.5,
            ..ServerConfig::default()
        };
        let close = |kind, expected: f64| {
            let step = Adaptive::new(kind, &config).step(&[1.0])[0];
            assert!((f64::from(step) - expected).abs() < 1e-6, "{kind:?} {step}");
        };
        // m = 0.1; v = 0.25 + 1, 0.25 + 0.01, 0.99 * 0.25 + 0.01.
        close(Kind::Adagrad, 0.1 / (1.25f64.sqrt() + 0.5));
        close(Kind::Yogi, 0.1 / (0.26f64.sqrt() + 0.5));
        close(Kind::Adam, 0.1 / (0.2575f64.sqrt() + 0.5));
    }
}

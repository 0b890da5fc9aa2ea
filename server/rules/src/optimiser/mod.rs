//! Server optimisers: what the aggregated delta does to the global adapter (Reddi et al. 2021).
//!
//! The delta is a pseudo-gradient; the state (momenta) is a pure function of the deltas seen so
//! far, so a resumed run and an auditor rebuild it from the log.

use crate::error::{Error, Result};

pub mod adaptive;
pub mod fedavgm;
pub mod plain;

/// Settings of the server optimisers; defaults are the framework's (PAPER, last line of
/// "Baseline aggregation rules").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Server learning rate eta of the adaptive optimisers.
    pub learning_rate: f64,
    /// Momentum of FedAvgM.
    pub momentum: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment; also the second moment's start, tau squared.
    pub tau: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            learning_rate: 1e-3,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.99,
            tau: 1e-3,
        }
    }
}

/// One server optimiser with its state.
pub trait Optimiser: Send {
    /// The step to add to the global adapter for this round's aggregated delta.
    fn step(&mut self, delta: &[f32]) -> Vec<f32>;
}

/// Every server optimiser's name.
pub const KNOWN: [&str; 5] = ["plain", "fedavgm", "fedadagrad", "fedyogi", "fedadam"];

/// A fresh optimiser of that name; the error lists the known ones.
pub fn optimiser(name: &str, settings: &Settings) -> Result<Box<dyn Optimiser>> {
    use adaptive::{Adaptive, Kind};
    Ok(match name {
        "plain" => Box::new(plain::Plain),
        "fedavgm" => Box::new(fedavgm::FedAvgM::new(settings.momentum)),
        "fedadagrad" => Box::new(Adaptive::new(Kind::Adagrad, *settings)),
        "fedyogi" => Box::new(Adaptive::new(Kind::Yogi, *settings)),
        "fedadam" => Box::new(Adaptive::new(Kind::Adam, *settings)),
        _ => return Err(Error::unknown("server optimiser", name, KNOWN)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_builds_and_moves_along_the_delta() {
        for name in KNOWN {
            let mut optimiser = optimiser(name, &Settings::default()).unwrap();
            for _ in 0..3 {
                let step = optimiser.step(&[0.5, -0.25, 0.0]);
                assert!(step[0] > 0.0 && step[1] < 0.0, "{name}: {step:?}");
                assert_eq!(step[2], 0.0, "{name}");
            }
        }
        let text = optimiser("adam", &Settings::default())
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains("fedadam"), "{text}");
    }
}

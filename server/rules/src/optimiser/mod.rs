//! Server optimisers: how the aggregated delta moves the global adapter (Reddi et al. 2021).
//!
//! The delta is a pseudo-gradient; the state (momenta) is a pure function of the deltas seen so
//! far, so a resumed run and an auditor rebuild it from the log. One file an optimiser, or a family.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub mod adaptive;
pub mod fedavgm;
pub mod plain;

/// `[server]` of an experiment file: the server optimiser and its settings. Defaults are the
/// framework's (PAPER, last line of "Baseline aggregation rules").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Name of one of [`ALL`].
    pub optimiser: String,
    /// Server learning rate eta of the adaptive optimisers.
    pub learning_rate: f64,
    /// Momentum beta of FedAvgM.
    pub momentum: f64,
    /// Decay of the adaptive ones' first moment.
    pub beta1: f64,
    /// Decay of their second moment.
    pub beta2: f64,
    /// Added to the root of their second moment; also its start, tau squared.
    pub tau: f64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            optimiser: plain::DEFINITION.name.into(),
            learning_rate: 1e-3,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.99,
            tau: 1e-3,
        }
    }
}

impl ServerConfig {
    /// A fresh optimiser of that name with these numbers.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known ones.
    pub fn build(&self, name: &str) -> Result<Box<dyn Optimiser>> {
        Ok((definition(name)?.make)(self))
    }
}

/// One server optimiser with its state.
pub trait Optimiser: Send {
    /// The step to add to the global adapter for this round's aggregated delta.
    fn step(&mut self, delta: &[f32]) -> Vec<f32>;
}

/// Definition of a server optimiser. It stands in the optimiser's file and in [`ALL`].
pub struct Definition {
    /// Name in experiment files.
    pub name: &'static str,
    /// One line on the optimiser, for people.
    pub help: &'static str,
    /// Version of its formula, see [`crate::formulas`].
    pub version: u32,
    /// Makes a fresh one.
    pub make: fn(&ServerConfig) -> Box<dyn Optimiser>,
}

/// Every server optimiser, in the order of messages.
pub const ALL: &[&Definition] = &[
    &plain::DEFINITION,
    &fedavgm::DEFINITION,
    &adaptive::FEDADAGRAD,
    &adaptive::FEDYOGI,
    &adaptive::FEDADAM,
];

/// The optimiser of that name; the error lists the known ones.
pub fn definition(name: &str) -> Result<&'static Definition> {
    let names = ALL.iter().map(|definition| definition.name);
    ALL.iter()
        .find(|definition| definition.name == name)
        .copied()
        .ok_or_else(|| Error::unknown("server optimiser", name, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<Box<dyn Optimiser>> {
        ServerConfig::default().build(name)
    }

    #[test]
    fn every_one_builds_and_moves_along_the_delta() {
        for Definition { name, .. } in ALL {
            let mut optimiser = named(name).unwrap();
            for _ in 0..3 {
                let step = optimiser.step(&[0.5, -0.25, 0.0]);
                assert!(step[0] > 0.0 && step[1] < 0.0, "{name}: {step:?}");
                assert_eq!(step[2], 0.0, "{name}");
            }
        }
        let text = named("adam").err().unwrap().to_string();
        assert!(text.contains("fedadam"), "{text}");
    }
}

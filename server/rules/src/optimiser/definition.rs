//! One definition an optimiser: its name, its settings, how it is made.

use serde::{Deserialize, Serialize};

/// Name of the optimiser that an experiment has where it names none.
pub(super) const PLAIN: &str = "plain";

/// `[server]` of an experiment file: the server optimiser and its settings. Defaults are the
/// framework's (PAPER, last line of "Baseline aggregation rules").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Name of one of [`super::ALL`].
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
            optimiser: PLAIN.into(),
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

/// Definition of a server optimiser. It stands in the optimiser's file and in [`super::ALL`].
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

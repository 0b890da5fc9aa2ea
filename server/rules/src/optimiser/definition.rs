//! One definition an optimiser: its name, the numbers that it uses, how it is made.

/// Source whose formula an optimiser follows, where sources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formula {
    /// The optimiser's own paper (Hsu et al. 2019; Reddi et al. 2021, algorithm 2).
    #[default]
    Original,
    /// OpenFedLLM, the framework of the main paper (`federated_learning/fed_global.py`).
    OpenFedLlm,
    /// Flower 1.42 (`flwr.serverapp.strategy`).
    Flwr,
}

impl Formula {
    /// Every formula, in the order of messages.
    pub const ALL: [Formula; 3] = [Formula::Original, Formula::OpenFedLlm, Formula::Flwr];

    /// Name in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Formula::Original => "original",
            Formula::OpenFedLlm => "openfedllm",
            Formula::Flwr => "flwr",
        }
    }
}

/// A number of `[server]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Server learning rate eta.
    LearningRate,
    /// Momentum beta of FedAvgM.
    Momentum,
    /// Decay of the first moment.
    Beta1,
    /// Decay of the second moment.
    Beta2,
    /// Added to the root of the second moment.
    Tau,
}

impl Key {
    /// Every key, in the order of files.
    pub const ALL: [Key; 5] = [
        Key::LearningRate,
        Key::Momentum,
        Key::Beta1,
        Key::Beta2,
        Key::Tau,
    ];

    /// Name in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Key::LearningRate => "learning_rate",
            Key::Momentum => "momentum",
            Key::Beta1 => "beta1",
            Key::Beta2 => "beta2",
            Key::Tau => "tau",
        }
    }

    /// Value that every file had before keys without an effect were refused: the framework's.
    pub(super) fn before(self) -> f64 {
        match self {
            Key::LearningRate | Key::Tau => 1e-3,
            Key::Momentum | Key::Beta1 => 0.9,
            Key::Beta2 => 0.99,
        }
    }
}

/// Settings of one optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whose formula it follows.
    pub formula: Formula,
    numbers: [f64; Key::ALL.len()],
}

impl Settings {
    /// Settings with these numbers.
    pub fn new(formula: Formula, numbers: impl IntoIterator<Item = (Key, f64)>) -> Self {
        // No step comes of an optimiser that asks for another key than its definition has.
        let mut all = [f64::NAN; Key::ALL.len()];
        for (key, number) in numbers {
            all[key as usize] = number;
        }
        Settings {
            formula,
            numbers: all,
        }
    }

    /// The number of a key that the optimiser uses.
    pub fn get(&self, key: Key) -> f64 {
        self.numbers[key as usize]
    }
}

/// One server optimiser with its state. Its type is `Clone`, so that a round can be tried from a state.
pub trait Optimiser: Copied + Send + Sync {
    /// The step to add to the global adapter for this round's aggregated delta.
    fn step(&mut self, delta: &[f32]) -> Vec<f32>;
}

/// Copies of an optimiser with its state.
pub trait Copied {
    /// A copy.
    fn copied(&self) -> Box<dyn Optimiser>;
}

impl<T: Optimiser + Clone + 'static> Copied for T {
    fn copied(&self) -> Box<dyn Optimiser> {
        Box::new(self.clone())
    }
}

/// Definition of a server optimiser. It stands in the optimiser's file and in [`super::ALL`].
pub struct Definition {
    /// Name in experiment files.
    pub name: &'static str,
    /// One line on the optimiser, for people.
    pub help: &'static str,
    /// Version of its formulas, see [`crate::formulas`].
    pub version: u32,
    /// Numbers that it uses by a formula, with their defaults. None by any: it has one formula only.
    pub uses: fn(Formula) -> &'static [(Key, f64)],
    /// Makes a fresh one.
    pub make: fn(&Settings) -> Box<dyn Optimiser>,
}

impl Definition {
    /// Whether sources have different formulas of it.
    pub fn has_formulas(&self) -> bool {
        Formula::ALL
            .into_iter()
            .any(|formula| !(self.uses)(formula).is_empty())
    }
}

//! How the learning rate changes over the steps of a training.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A schedule, by the names and formulas of transformers' `get_scheduler` (`constant` with a
/// warm-up is its `constant_with_warmup`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Constant rate.
    #[default]
    Constant,
    /// Linear decay to 0.
    Linear,
    /// Decay to 0 along half a cosine.
    Cosine,
}

impl Schedule {
    /// All schedules.
    pub const ALL: [Self; 3] = [Self::Constant, Self::Linear, Self::Cosine];

    /// Name of the schedule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        }
    }

    /// The schedule of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|schedule| schedule.name() == name)
    }

    pub(crate) fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    /// Factor of the learning rate at `step` (from 0) of `steps`. During the warm-up it is
    /// `step / warmup`, so the first step has rate 0; then it follows the schedule's curve.
    pub fn factor(self, step: usize, warmup: usize, steps: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let left = steps.saturating_sub(step) as f64;
        let whole = steps.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => left / whole,
            Self::Cosine => {
                let progress = (step - warmup) as f64 / whole;
                (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(schedule: Schedule, warmup: usize, steps: usize) -> Vec<f64> {
        (0..steps)
            .map(|step| schedule.factor(step, warmup, steps))
            .collect()
    }

    #[test]
    fn schedules_are_those_of_transformers() {
        assert_eq!(curve(Schedule::Constant, 0, 3), [1.0; 3]);
        assert_eq!(curve(Schedule::Constant, 2, 4), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(curve(Schedule::Linear, 0, 4), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(
            curve(Schedule::Linear, 2, 6),
            [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
        );
        // get_scheduler("cosine", optimizer, 1, 5) of transformers, LambdaLR's factors.
        let expected = [
            0.0,
            1.0,
            0.853_553_390_593_273_7,
            0.5,
            0.146_446_609_406_726_27,
        ];
        for (ours, real) in curve(Schedule::Cosine, 1, 5).iter().zip(expected) {
            assert!((ours - real).abs() < 1e-15, "{ours} is not {real}");
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_training_never_ends() {
        let factors = curve(Schedule::Cosine, 10, 4);
        assert_eq!(factors, [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(Schedule::Linear.factor(9, 0, 4), 0.0);
        assert_eq!(Schedule::Cosine.factor(4, 4, 4), 1.0);
    }

    #[test]
    fn names_lead_back_to_schedules() {
        for schedule in Schedule::ALL {
            assert_eq!(Schedule::parse(schedule.name()), Some(schedule));
            let json = serde_json::to_string(&schedule).unwrap();
            assert_eq!(json, format!("{:?}", schedule.name()));
        }
        assert_eq!(Schedule::parse("polynomial"), None);
    }
}

//! The learning rate of a round: constant inside it, decayed over the rounds (PAPER, "Federated
//! instruction tuning").

use crate::error::{Error, Result};

/// How the learning rate moves from round to round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// One rate for all rounds.
    Constant,
    /// A straight line from the first to the final rate.
    Linear,
    /// `final + (first - final) * (1 + cos(pi * round / rounds)) / 2`, as the reference has it:
    /// the final rate itself would be reached in round `rounds`, one past the last.
    Cosine,
}

impl Schedule {
    /// Every schedule by its name in an experiment file.
    pub const KNOWN: [(&'static str, Schedule); 3] = [
        ("constant", Schedule::Constant),
        ("linear", Schedule::Linear),
        ("cosine", Schedule::Cosine),
    ];

    /// The schedule of that name; the error lists the known ones.
    pub fn named(name: &str) -> Result<Schedule> {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, schedule)| *schedule)
            .ok_or_else(|| Error::unknown("schedule", name, Self::KNOWN.map(|(known, _)| known)))
    }

    /// The learning rate in `round` (from 0) of `rounds`.
    pub fn rate(self, round: u32, rounds: u32, first: f64, last: f64) -> f64 {
        let part = f64::from(round) / f64::from(rounds.max(1));
        match self {
            Schedule::Constant => first,
            Schedule::Linear => first + (last - first) * part,
            Schedule::Cosine => {
                last + (first - last) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_begins_at_the_first_rate_passes_the_middle_and_falls() {
        let rate = |round| Schedule::Cosine.rate(round, 100, 5e-5, 1e-6);
        assert_eq!(rate(0), 5e-5);
        assert!((rate(50) - (5e-5 + 1e-6) / 2.0).abs() < 1e-12);
        assert!((0..99).all(|round| rate(round) > rate(round + 1)));
        assert!(rate(99) > 1e-6);
    }

    #[test]
    fn unknown_schedule_lists_the_known() {
        let text = Schedule::named("cosin").unwrap_err().to_string();
        assert!(text.contains("cosine") && text.contains("linear"), "{text}");
    }
}

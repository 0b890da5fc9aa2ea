//! Figures of an attack that has stopped: what is left of it, by rank of the adapter.

use super::Figures;
use super::measured::{Measured, mean};
use super::runs::Group;
use crate::{Outcome, fail};

/// The arm whose attackers are honest from half-time on.
const STOPPED: &str = "stopped";

pub(super) fn figures(groups: &[Group]) -> Outcome<Figures> {
    let mut figures = Vec::new();
    for group in groups.iter().filter(|group| !group.measured.is_empty()) {
        let label = &group.label;
        let lives: Option<Vec<Life>> = group.measured.iter().map(Life::of).collect();
        let Some(lives) = lives else {
            return fail(format!(
                "{label}: arms clean and {STOPPED} have no common round at half-time"
            ));
        };
        let over = |of: fn(&Life) -> f64| mean(&lives.iter().map(of).collect::<Vec<_>>());
        figures.extend([
            (
                format!("lifespan.{label}.loss_at_half_time"),
                over(|life| life.before),
            ),
            (
                format!("lifespan.{label}.loss_at_end"),
                over(|life| life.end),
            ),
            (format!("lifespan.{label}.rounds"), over(|life| life.rounds)),
        ]);
    }
    match figures.is_empty() {
        true => fail("no seed was run"),
        false => Ok(figures),
    }
}

/// Course of a stopped attack in a seed: safety below that of the clean arm, points.
#[derive(Debug, PartialEq)]
struct Life {
    /// At half-time.
    before: f64,
    /// After the last measured round.
    end: f64,
    /// Rounds from half-time until no more than half of the loss is left; all of them where it never falls so far.
    rounds: f64,
}

impl Life {
    fn of(measured: &Measured) -> Option<Self> {
        let safety = |arm: &str| measured.arm(arm).map(|arm| &arm.rounds);
        let (clean, stopped) = (safety("clean")?, safety(STOPPED)?);
        let lost: Vec<(u64, f64)> = stopped
            .iter()
            .filter_map(|(round, rate)| {
                let (_, same) = clean.iter().find(|(other, _)| other == round)?;
                Some((*round, same.value - rate.value))
            })
            .collect();
        let (last, end) = *lost.last()?;
        // Rounds are counted from 0, and those before half of them attack.
        let half = last.div_ceil(2);
        let (stop, before) = *lost.iter().rev().find(|(round, _)| *round < half)?;
        let mut later = lost.iter().filter(|(round, _)| *round > stop);
        let gone = later.find(|(_, loss)| *loss <= before / 2.0);
        Some(Life {
            before,
            end,
            rounds: gone.map_or(last - stop, |(round, _)| round - stop) as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_life_lasts_until_half_of_the_loss_is_gone() {
        let arm = |id: &str, safety: &[f64]| {
            let rounds: Vec<_> = (0..)
                .zip(safety)
                .map(|(at, rate)| json!({"round": 4 * at + 3, "safety": {"rate": rate, "n": 100}}))
                .collect();
            json!({"id": id, "title": id, "rounds": rounds})
        };
        let life = |stopped: &[f64]| {
            let clean = arm("clean", &vec![0.9; stopped.len()]);
            Life::of(&Measured::of(
                &json!({"arms": [clean, arm(STOPPED, stopped)]}),
            ))
            .unwrap()
        };
        // Measured after rounds 4, 8, ... 40 of 40; attackers rest from the 21st on.
        let course = [0.8, 0.6, 0.4, 0.3, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7];
        let found = life(&course);
        assert!((found.before - 80.0).abs() < 1e-9 && (found.end - 20.0).abs() < 1e-9);
        // 40 of the 80 points are gone after the 32nd round, 12 after half-time.
        assert_eq!(found.rounds, 12.0);
        assert_eq!(life(&[0.1; 10]).rounds, 20.0);
    }
}

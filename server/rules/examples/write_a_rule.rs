//! An aggregation rule of one's own, beside those that ship: what it makes of a round in which one of five
//! clients hands in a poisoned update.
//!
//!     cargo run -p fedseal-rules --example write_a_rule
//!
//! A rule that others should use by name is a file in `server/rules/src/aggregation` and a line in its
//! list (docs/EXTENDING.md).

use std::error::Error;

use fedseal_rules::aggregation::definition::{Definition, Parameters};
use fedseal_rules::aggregation::{Inputs, Outcome, Rule, Update, rule};

/// Definition of the rule: all that experiment files and tables have to know.
const DEFINITION: Definition = Definition {
    name: "shortest-norm",
    title: "shortest norm",
    help: "mean of the updates, each scaled to the norm of the shortest",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[],
    make: |_| Box::new(ShortestNorm),
};

/// Every update shortened to the length of the shortest, then their mean: none can pull further than the
/// most modest one.
struct ShortestNorm;

impl Rule for ShortestNorm {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let norms: Vec<f64> = updates.iter().map(|update| norm(update.delta)).collect();
        let shortest = norms.iter().copied().fold(f64::INFINITY, f64::min);
        let share = 1.0 / updates.len() as f64;
        let length = updates.first().map_or(0, |update| update.delta.len());
        let mut sums = vec![0.0; length];
        // In client order and in f64, as every rule sums: the same bits on every machine.
        for (update, norm) in updates.iter().zip(&norms) {
            let scale = if *norm > 0.0 { shortest / norm } else { 0.0 };
            for (sum, value) in sums.iter_mut().zip(update.delta) {
                *sum += share * scale * f64::from(*value);
            }
        }
        Outcome {
            delta: sums.into_iter().map(|sum| sum as f32).collect(),
            weights: vec![share; updates.len()],
        }
    }
}

fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}

fn main() -> Result<(), Box<dyn Error>> {
    let honest = [0.1, -0.2, 0.3];
    let poisoned = [-30.0, 20.0, 10.0];
    let deltas = [&honest, &honest, &poisoned, &honest, &honest];
    let updates = deltas.map(|delta| Update {
        delta,
        weight: 20.0,
    });
    let inputs = Inputs {
        expected_malicious: 1,
        seed: 0,
    };
    for rule in [&DEFINITION, rule("fedavg")?, rule("median")?] {
        // Checks what rules rely on, as a run does.
        let built = rule.build(&Parameters::default());
        let outcome = built.aggregate(&updates, &inputs)?;
        let off: Vec<f32> = outcome
            .delta
            .iter()
            .zip(honest)
            .map(|(a, b)| a - b)
            .collect();
        println!(
            "{:<14} {:?}, {:.3} off",
            rule.title,
            outcome.delta,
            norm(&off)
        );
        if rule.name == "shortest-norm" && norm(&off) > norm(&honest) {
            return Err("one client pulled further than all others".into());
        }
    }
    Ok(())
}

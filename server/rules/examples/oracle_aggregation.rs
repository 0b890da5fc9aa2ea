//! Aggregates the inputs that tests/oracles/aggregation wrote, and compares with the results of others.
//!
//!     oracle_aggregation CASES.jsonl
//!
//! Prints the figures as JSON, and every rule that disagrees with its first case on standard error. `cargo
//! xtask oracle aggregation` runs it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};

use fedseal_adapter::{Adapter, AdapterConfig, AdapterTensor};
use fedseal_rules::aggregation::{AggregationConfig, Inputs, Known, ServerInput, Update};
use fedseal_rules::optimiser::ServerConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Largest error that counts as agreement, relative to the largest value of the result.
const CLOSE: f64 = 1e-6;

/// Least inputs of a rule by the first word of their name; with fewer it does not agree.
const LEAST: [(&str, u64); 2] = [("random", 50), ("degenerate", 20)];

/// One input with its result elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// `rule`, `optimiser`, `lora`: a rule on a pair of matrices, or `served`: one with an input of the
    /// server's own.
    kind: String,
    /// How a rule of the same name elsewhere differs: its distance is measured, and it has to agree in nothing.
    #[serde(default)]
    apart: Option<String>,
    name: String,
    case: String,
    source: String,
    #[serde(default)]
    formula: Option<String>,
    parameters: Map<String, Value>,
    #[serde(default)]
    malicious: usize,
    exact: bool,
    rows: Vec<Vec<f32>>,
    #[serde(default)]
    weights: Vec<f64>,
    /// Values of the global adapter: A, then B.
    #[serde(default)]
    global: Vec<f32>,
    /// Outputs, rank and inputs of the pair.
    #[serde(default)]
    shape: [usize; 3],
    /// The server's own update.
    #[serde(default)]
    own: Vec<f32>,
    /// The server's numbers.
    #[serde(default)]
    numbers: BTreeMap<String, Vec<f64>>,
    /// Names of the clients.
    #[serde(default)]
    clients: Vec<String>,
    /// The result of a rule, or the steps of an optimiser.
    expected: Vec<Vec<f64>>,
}

impl Case {
    /// Name under which it counts: a formula is a rule of its own.
    fn counts_as(&self) -> String {
        match &self.formula {
            Some(formula) => format!("{} ({formula})", self.name),
            None => self.name.clone(),
        }
    }

    /// Results of this program for the input.
    fn result(&self) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        if self.kind == "optimiser" {
            return self.steps();
        }
        let mut config = AggregationConfig::default();
        for (key, value) in &self.parameters {
            config = config.with(&self.name, key, value.clone());
        }
        let updates: Vec<Update<'_>> = self
            .rows
            .iter()
            .zip(&self.weights)
            .map(|(delta, weight)| Update {
                delta,
                weight: *weight,
            })
            .collect();
        let inputs = Inputs {
            expected_malicious: self.malicious,
            seed: 0,
        };
        let rule = config.rule(&self.name)?;
        let outcome = match self.kind.as_str() {
            "lora" => rule.aggregate_from(&updates, &inputs, &self.adapter()?)?,
            "served" => {
                let input = ServerInput::of_numbers(&self.name, self.numbers.clone());
                let behaviours = input.behaviours(updates.len());
                let clients: Vec<&str> = self.clients.iter().map(String::as_str).collect();
                let known = Known {
                    clients: &clients,
                    global: &self.adapter()?,
                    input: &input,
                    own: &self.own,
                    behaviours: behaviours
                        .as_ref()
                        .map(|(all, of_global)| (all.as_slice(), *of_global)),
                };
                rule.aggregate_with(&updates, &inputs, &known)?
            }
            _ => rule.aggregate(&updates, &inputs)?,
        };
        Ok(vec![outcome.delta])
    }

    /// The global adapter, of one pair.
    fn adapter(&self) -> Result<Adapter, Box<dyn Error>> {
        let [outer, rank, inner] = self.shape;
        let (a, b) = self
            .global
            .split_at_checked(rank * inner)
            .ok_or("too few values")?;
        let tensor = |shape, data: &[f32]| AdapterTensor {
            shape,
            data: data.to_vec(),
        };
        Ok(Adapter {
            tensors: [
                (
                    "x.layers.0.lora_A.weight".to_owned(),
                    tensor([rank, inner], a),
                ),
                (
                    "x.layers.0.lora_B.weight".to_owned(),
                    tensor([outer, rank], b),
                ),
            ]
            .into(),
            config: AdapterConfig::default(),
        })
    }

    fn steps(&self) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        let mut section = self.parameters.clone();
        section.insert("optimiser".into(), self.name.clone().into());
        if let Some(formula) = &self.formula {
            section.insert("formula".into(), formula.clone().into());
        }
        let config: ServerConfig = serde_json::from_value(Value::Object(section))?;
        let mut optimiser = config.build(&self.name)?;
        Ok(self
            .rows
            .iter()
            .map(|delta| optimiser.step(delta))
            .collect())
    }

    /// Largest difference from the result elsewhere, relative to its largest value.
    fn error(&self) -> Result<f64, Box<dyn Error>> {
        let result = self.result()?;
        let largest =
            |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
        let (mut worst, expected) = (0.0_f64, &self.expected);
        if result.len() != expected.len() {
            return Err(format!("{} results in place of {}", result.len(), expected.len()).into());
        }
        // Sums of values that cancel out are as exact as their largest term allows.
        let input = largest(&mut self.rows.iter().flatten().map(|value| f64::from(*value)));
        for (found, expected) in result.iter().zip(expected) {
            if found.len() != expected.len() {
                return Err("a result of another length".into());
            }
            let scale = largest(&mut expected.iter().copied())
                .max(1e-9 * input)
                .max(f64::MIN_POSITIVE);
            for (a, b) in found.iter().zip(expected) {
                worst = worst.max((f64::from(*a) - b).abs() / scale);
            }
        }
        Ok(worst)
    }

    /// Whether an error is none.
    fn agrees(&self, error: f64) -> bool {
        match self.exact {
            true => error == 0.0,
            false => error <= CLOSE,
        }
    }
}

/// Cases of one rule.
#[derive(Default)]
struct Count {
    total: u64,
    agreed: u64,
    worst: f64,
    /// Cases of each kind of input.
    of: [u64; LEAST.len()],
    /// The first case that disagrees.
    first: Option<String>,
}

impl Count {
    /// Counts a case and what became of it.
    fn add(&mut self, case: &Case, error: Result<f64, Box<dyn Error>>) {
        self.total += 1;
        let kind = case.case.split(' ').next().unwrap_or_default();
        for (count, (name, _)) in self.of.iter_mut().zip(LEAST) {
            *count += u64::from(kind == name);
        }
        let said = match error {
            Ok(error) if case.agrees(error) => {
                self.agreed += 1;
                self.worst = self.worst.max(error);
                return;
            }
            Ok(error) => format!("off by {error:e}"),
            Err(error) => error.to_string(),
        };
        let said = format!("case `{}`, {}: {said}", case.case, case.source);
        self.first.get_or_insert(said);
    }

    /// Whether there are enough inputs of each kind, and all agree.
    fn whole(&self) -> bool {
        let enough = self
            .of
            .iter()
            .zip(LEAST)
            .all(|(of, (_, least))| *of >= least);
        enough && self.agreed == self.total
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("oracle_aggregation CASES.jsonl")?;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut apart = Map::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let case: Case = serde_json::from_str(&line?)?;
        let error = case.error();
        match &case.apart {
            Some(there) => {
                let name = format!("apart.{}.{}", case.name, case.source);
                apart.insert(name, json!({ "value": error?, "there": there }));
            }
            None => counts
                .entry(case.counts_as())
                .or_default()
                .add(&case, error),
        }
    }
    for (name, count) in &counts {
        let Count {
            total,
            agreed,
            worst,
            of: [random, degenerate],
            first,
        } = count;
        let first = first.as_deref().unwrap_or_default();
        eprintln!(
            "    {name:<28} {agreed:>4} of {total:>4} ({random} random, {degenerate} degenerate), largest error \
             {worst:.1e}  {first}"
        );
    }
    let sum = |of: fn(&Count) -> u64| counts.values().map(of).sum::<u64>();
    let least = |at: usize| counts.values().map(|count| count.of[at]).min();
    println!(
        "{}",
        json!({
            "rules.total": counts.len(),
            "rules.agreed": counts.values().filter(|count| count.whole()).count(),
            "cases.total": sum(|count| count.total),
            "cases.agreed": sum(|count| count.agreed),
            "cases.random": least(0),
            "cases.degenerate": least(1),
            "apart": apart,
        })
    );
    Ok(())
}

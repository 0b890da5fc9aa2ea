//! Safe-FedLLM (Tao et al. 2026): a linear probe on the LoRA B matrices of the first block, brought to length 1,
//! says how likely an update is one of a harmful client; updates count by examples times a factor of that.
//!
//! The probe is trained by AdamW (rate 0.01, weight decay 2, gradients of at most 0.5) on updates of clients that
//! the server simulates, harmful ones on what no attacker has (declared; the source trains on the sets that are
//! attacked with). With `p` the probability and 0.8 the threshold, the levels are:
//!
//! 1. step: trust (1 + benign) / (2 + all) in examples that count as benign where `p` is below the threshold;
//! 2. client: 1 - t, with `t = s(10 (p / 0.8 - 0.5)) / 2` up to 0.8, and `1/2 + s(10 ((p - 0.8) / 0.2 - 0.5)) / 2`
//!    above, s the logistic function;
//! 3. shadow: (1 - r)^7, with r the share of harmful steps;
//! 4. evidence (the source's repository, `prefilter_strategy.py`): as 3 until `evidence` updates of a client are of
//!    one kind in a row. If harmful, it never counts again; if benign, it counts unseen, and every `audit`-th update
//!    is looked at: if that is harmful it does not count and all begins anew, as it does where the kinds are mixed.
//!
//! Declared: a server sees one step of a client, its round; none of its steps within, and no shadow training. So all
//! levels look at the update alone, and the first three keep nothing from round to round. What the fourth one
//! remembers is in the input of each round. Where the factors' mean is below `skip` the round changes nothing.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;

use super::definition::{Definition, Parameter, Range, Takes};
use super::fedavg::FedAvg;
use super::fltrust::pairs;
use super::lengths::counted;
use super::linear::{Linear, Training, sigmoid};
use super::server_input::{Known, Need, ServerInput};
use super::{Inputs, Outcome, Rule, Update};

/// Name of the rule.
pub const NAME: &str = "safe-fedllm";

/// Clients of each kind that the server simulates.
pub(super) const SIMULATED: Parameter = Parameter {
    key: "simulated",
    help: "clients of each kind that the server simulates",
    takes: Takes::Whole {
        default: 16,
        least: 2,
        most: 10_000,
    },
    flat: None,
};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "Safe-FedLLM",
    help: "mean by examples and by a probe on the first block's B (Tao et al. 2026)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[
        Parameter {
            key: "level",
            help: "1: step, 2: client, 3: shadow, 4: evidence",
            takes: Takes::Whole {
                default: 2,
                least: 1,
                most: 4,
            },
            flat: None,
        },
        updates_of(
            "evidence",
            "updates of one kind that settle a client, at level 4",
            3,
        ),
        updates_of(
            "audit",
            "updates of a benign client of which the last is looked at, at level 4",
            5,
        ),
        share(
            "threshold",
            "probability from which an update is harmful",
            0.8,
        ),
        share(
            "skip",
            "mean factor below which a round changes nothing",
            0.2,
        ),
        SIMULATED,
        pairs("examples", "examples of a simulated client", 100),
    ],
    make: |p| {
        Box::new(SafeFedLlm {
            level: p.whole("level"),
            threshold: p.number("threshold"),
            skip: p.number("skip"),
            evidence: p.whole("evidence"),
            audit: p.whole("audit"),
        })
    },
};

const fn updates_of(key: &'static str, help: &'static str, default: u64) -> Parameter {
    Parameter {
        key,
        help,
        takes: Takes::Whole {
            default,
            least: 1,
            most: 1_000,
        },
        flat: None,
    }
}

const fn share(key: &'static str, help: &'static str, default: f64) -> Parameter {
    Parameter {
        key,
        help,
        takes: Takes::Number {
            default,
            range: Range::Share,
        },
        flat: None,
    }
}

/// The mean by a probe.
pub struct SafeFedLlm {
    /// 1: step, 2: client, 3: shadow, 4: evidence.
    pub level: usize,
    /// Probability from which an update is harmful.
    pub threshold: f64,
    /// Mean factor below which a round changes nothing.
    pub skip: f64,
    /// Updates of one kind that settle a client.
    pub evidence: usize,
    /// Updates of a benign client of which the last is looked at.
    pub audit: usize,
}

/// Level that remembers clients.
const EVIDENCE: usize = 4;

/// Knowledge of a client by its updates so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Memory {
    settled: Settled,
    /// Updates of each kind since it began.
    harmful: usize,
    benign: usize,
    /// Updates of a benign client since the last one that was looked at.
    unseen: usize,
}

/// Whether a client's kind is settled.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Settled {
    #[default]
    Open,
    Benign,
    Harmful,
}

impl Memory {
    /// Beginning of the names of what is remembered in the input.
    const NAME: &str = "evidence of ";

    /// Name of a client's numbers in the input.
    fn name(client: &str) -> String {
        format!("{}{client}", Self::NAME)
    }

    /// Reads [`Memory::numbers`]; whatever has another form is nothing.
    fn read(numbers: &[f64]) -> Self {
        let Ok(numbers) = <[f64; 4]>::try_from(numbers) else {
            return Memory::default();
        };
        // Counts are small; what is no number becomes 0.
        let [settled, harmful, benign, unseen] = numbers.map(|number| number as usize);
        Memory {
            settled: match settled {
                1 => Settled::Benign,
                2 => Settled::Harmful,
                _ => Settled::Open,
            },
            harmful,
            benign,
            unseen,
        }
    }

    fn numbers(self) -> Vec<f64> {
        let settled = match self.settled {
            Settled::Open => 0.0,
            Settled::Benign => 1.0,
            Settled::Harmful => 2.0,
        };
        let counts = [self.harmful, self.benign, self.unseen].map(|count| count as f64);
        [settled].into_iter().chain(counts).collect()
    }

    /// Factor of the client's next update, and what is known after it.
    fn judge(self, harmful: bool, rule: &SafeFedLlm) -> (f64, Memory) {
        let alone = if harmful { 0.0 } else { 1.0 };
        match self.settled {
            Settled::Harmful => (0.0, self),
            Settled::Benign => {
                let unseen = self.unseen.saturating_add(1);
                match (unseen < rule.audit, harmful) {
                    (true, _) => (1.0, Memory { unseen, ..self }),
                    (false, false) => (1.0, Memory { unseen: 0, ..self }),
                    (false, true) => (0.0, Memory::default()),
                }
            }
            Settled::Open => {
                let more = |count: usize, one: bool| count.saturating_add(usize::from(one));
                let counts = [more(self.harmful, harmful), more(self.benign, !harmful)];
                let settled = match counts {
                    [harmful, 0] if harmful >= rule.evidence => Settled::Harmful,
                    [0, benign] if benign >= rule.evidence => Settled::Benign,
                    _ => Settled::Open,
                };
                let begins = counts[0].saturating_add(counts[1]) >= rule.evidence;
                let [harmful, benign] = if begins { [0; 2] } else { counts };
                let after = Memory {
                    settled,
                    harmful,
                    benign,
                    unseen: 0,
                };
                (alone, after)
            }
        }
    }
}

const TRAINING: Training = Training {
    steps: 100,
    rate: 0.01,
    decay: 2.0,
    clip: 0.5,
};

impl SafeFedLlm {
    /// Factor of an update of so many examples.
    fn factor(&self, chance: f64, examples: f64) -> f64 {
        let harmful = chance >= self.threshold;
        match self.level {
            1 if harmful => 1.0 / (2.0 + examples),
            1 => (1.0 + examples) / (2.0 + examples),
            3 if harmful => 0.0,
            3 => 1.0,
            _ => 1.0 - distrust(chance),
        }
    }

    /// Chance that each update is harmful; none without a probe that fits.
    fn chances(&self, updates: &[Update<'_>], known: &Known<'_>) -> Option<Vec<f64>> {
        let rows = updates
            .iter()
            .map(|update| features(known.global, update.delta));
        let rows: Vec<Vec<f64>> = rows.collect();
        let width = rows.first().map_or(0, Vec::len);
        let (weights, bias) = (known.input.named("weights"), known.input.named("bias"));
        let probe = Linear::read(weights, bias, width)?;
        Some(rows.iter().map(|row| probe.chance(row)).collect())
    }

    /// Factor of each update by what is known of its client, and what is known after it.
    fn judged(&self, chances: &[f64], known: &Known<'_>) -> Vec<(f64, Memory)> {
        let client = |at: usize| known.clients.get(at).copied().unwrap_or_default();
        let memory = |at: usize| Memory::read(known.input.named(&Memory::name(client(at))));
        let chances = chances.iter().enumerate();
        chances
            .map(|(at, chance)| memory(at).judge(*chance >= self.threshold, self))
            .collect()
    }
}

/// The source's t(p), whose own threshold is 0.8.
fn distrust(chance: f64) -> f64 {
    match chance <= 0.8 {
        true => 0.5 * sigmoid(10.0 * (chance / 0.8 - 0.5)),
        false => 0.5 + 0.5 * sigmoid(10.0 * ((chance - 0.8) / 0.2 - 0.5)),
    }
}

/// Values of the first block's B matrices in an update, at length 1; zeros stay.
fn features(global: &Adapter, delta: &[f32]) -> Vec<f64> {
    let block = |name: &str| -> Option<usize> {
        let rest = name.split(".layers.").nth(1)?;
        name.contains(".lora_B.")
            .then(|| rest.split('.').next()?.parse().ok())?
    };
    let first = global.tensors.keys().filter_map(|name| block(name)).min();
    let mut values = Vec::new();
    let mut at = 0;
    for (name, tensor) in &global.tensors {
        let end = at + tensor.data.len();
        if first.is_some() && block(name) == first {
            let own = delta.get(at..end).unwrap_or_default();
            values.extend(own.iter().map(|value| f64::from(*value)));
        }
        at = end;
    }
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value /= length);
    }
    values
}

impl Rule for SafeFedLlm {
    /// Without a probe: the mean.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        FedAvg.aggregate(updates, inputs)
    }

    fn input(&self) -> Option<Need> {
        Some(Need::Simulated)
    }

    fn remembers(&self) -> bool {
        self.level == EVIDENCE
    }

    fn remembers_nobody(&self, input: &ServerInput) -> bool {
        let mut names = input.numbers.keys();
        !names.any(|name| name.starts_with(Memory::NAME))
    }

    fn remember(&self, updates: &[Update<'_>], known: &Known<'_>) -> BTreeMap<String, Vec<f64>> {
        let mut numbers = known.input.numbers.clone();
        let chances = self.chances(updates, known).unwrap_or_default();
        let judged = self.judged(&chances, known);
        for (client, (_, memory)) in known.clients.iter().zip(judged) {
            numbers.insert(Memory::name(client), memory.numbers());
        }
        numbers
    }

    fn learn(
        &self,
        global: &Adapter,
        honest: &[Vec<f32>],
        harmful: &[Vec<f32>],
    ) -> BTreeMap<String, Vec<f64>> {
        let all = honest.iter().chain(harmful);
        let samples: Vec<Vec<f64>> = all.map(|delta| features(global, delta)).collect();
        let labels: Vec<bool> = (0..samples.len()).map(|at| at >= honest.len()).collect();
        Linear::train(&samples, &labels, &TRAINING).numbers()
    }

    fn aggregate_with(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        known: &Known<'_>,
    ) -> Outcome {
        let Some(chances) = self.chances(updates, known) else {
            return self.aggregate(updates, inputs);
        };
        let factors: Vec<f64> = match self.remembers() {
            true => {
                let judged = self.judged(&chances, known).into_iter();
                judged.map(|(factor, _)| factor).collect()
            }
            false => {
                let pairs = chances.iter().zip(updates);
                pairs
                    .map(|(chance, update)| self.factor(*chance, update.weight))
                    .collect()
            }
        };
        let mean = factors.iter().sum::<f64>() / factors.len().max(1) as f64;
        match mean >= self.skip {
            true => counted(updates, &factors),
            false => counted(updates, &vec![0.0; updates.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use fedseal_adapter::{AdapterConfig, ModelConfig};

    use super::super::testing::{ONE, updates};
    use super::*;

    fn rule(level: usize) -> SafeFedLlm {
        SafeFedLlm {
            level,
            threshold: 0.8,
            skip: 0.2,
            evidence: 3,
            audit: 5,
        }
    }

    #[test]
    fn evidence_settles_a_client_and_an_audit_begins_anew() {
        let factors = |kinds: &str| -> Vec<f64> {
            let mut memory = Memory::default();
            let judge = |kind: char| {
                let (factor, after) = memory.judge(kind == 'h', &rule(EVIDENCE));
                assert_eq!(Memory::read(&after.numbers()), after);
                memory = after;
                factor
            };
            kinds.chars().map(judge).collect()
        };
        // Three benign ones; then four count unseen, and the fifth, harmful as they are, is found.
        assert_eq!(
            factors("bbbhhhhh"),
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
        );
        // Mixed ones settle nothing; after three harmful ones nothing helps.
        assert_eq!(
            factors("bhbhhhbb"),
            [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn factors_are_those_of_the_levels() {
        // t(0.4) is half of s(0); t(0.9) is 1/2 and half of s(0); t(0.8) is half of s(5).
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(rule(2).factor(0.4, 10.0), 0.75);
        near(rule(2).factor(0.9, 10.0), 0.25);
        near(
            rule(2).factor(0.8, 10.0),
            1.0 - 0.5 / (1.0 + (-5.0f64).exp()),
        );
        near(rule(1).factor(0.79, 8.0), 0.9);
        near(rule(1).factor(0.8, 8.0), 0.1);
        assert_eq!(rule(3).factor(0.79, 8.0), 1.0);
        assert_eq!(rule(3).factor(0.81, 8.0), 0.0);
    }

    #[test]
    fn a_probe_tells_what_it_was_shown_and_a_round_of_harm_changes_nothing() {
        let config = AdapterConfig {
            rank: 2,
            ..AdapterConfig::default()
        };
        let global = Adapter::init(&config, &ModelConfig::tiny(), 1).unwrap();
        // Honest updates lean one way on every value, harmful ones the other, each with its own ripple.
        let row = |sign: f32, seed: usize| -> Vec<f32> {
            let ripple = |i: usize| ((i * (seed + 3)) as f32).sin();
            (0..global.len())
                .map(|i| sign * 0.01 + 0.01 * ripple(i))
                .collect()
        };
        let honest: Vec<Vec<f32>> = (0..6).map(|seed| row(1.0, seed)).collect();
        let harmful: Vec<Vec<f32>> = (6..12).map(|seed| row(-1.0, seed)).collect();
        let rule = rule(3);
        let input = ServerInput::of_numbers(NAME, rule.learn(&global, &honest, &harmful));
        let apply = |rows: &[Vec<f32>]| {
            let known = Known {
                global: &global,
                input: &input,
                own: &[],
                behaviours: None,
                clients: &[],
            };
            rule.aggregate_with(&updates(rows), &ONE, &known)
        };
        let mixed = apply(&[row(1.0, 20), row(-1.0, 21), row(1.0, 22)]);
        assert_eq!(mixed.weights, [0.5, 0.0, 0.5]);
        let bad = apply(&[row(-1.0, 23), row(-1.0, 24)]);
        assert!(bad.delta.iter().all(|value| *value == 0.0));
        // Only the first block's B is looked at.
        let width = features(&global, &honest[0]).len();
        let tiny = ModelConfig::tiny();
        assert_eq!(width, 2 * (tiny.d_model + tiny.kv_heads * tiny.head_dim));
    }
}

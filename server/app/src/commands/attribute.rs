//! `fedseal attribute RUN`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use fedseal_federation::attribution::{self, Attribution, Found, REQUESTS};
use fedseal_federation::remeasure::Watch;
use fedseal_federation::runner::Options;
use fedseal_record::events::Event;
use fedseal_rules::evaluation::percent;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::progress::Progress;
use crate::{output, stop, table};

/// Rounds that are listed.
const ROUNDS: usize = 8;

/// Says who took the safety away, and when: in every round each update that counted is left out in turn, and
/// refusals without it are held against those with it. Clients that took safety away again and again are
/// named, with a chance of 5 % at most of naming any honest one.
#[derive(Args)]
pub(crate) struct Attribute {
    /// The run's folder.
    run: PathBuf,
    /// The arm; by default the attacked FedAvg arm.
    #[arg(long, value_name = "ARM")]
    arm: Option<String>,
    /// Harmful requests of the evaluation that are scored, the first so many.
    #[arg(long, value_name = "N", default_value_t = REQUESTS, value_parser = positive)]
    requests: usize,
    #[command(flatten)]
    model: ModelChoice,
    /// Print every round and client as JSON.
    #[arg(long)]
    json: bool,
}

/// Where the run's model is, and what computes.
#[derive(Args)]
pub(super) struct ModelChoice {
    /// Folder of fetched models.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Device instead of the experiment's: auto, cpu, wgpu, vulkan or cuda.
    #[arg(long)]
    device: Option<String>,
    /// Threads of the CPU device; 0: all cores. The bits do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl ModelChoice {
    /// Options of the model.
    pub(super) fn options(&self) -> Outcome<Options> {
        let models = Places::find().models_or(self.models.as_deref())?;
        Ok(Options {
            models,
            device: self.device.clone(),
            threads: Some(self.threads),
            ..Options::default()
        })
    }

    /// Calls `work` with a watch that shows progress and hears Ctrl-C.
    pub(super) fn watched<T>(&self, work: impl FnOnce(Watch<'_>) -> T) -> T {
        stop::watch("stopping; press Ctrl-C again to end at once");
        let begun = Instant::now();
        let mut progress = Progress::new(self.quiet);
        let told = &mut |done: u64, total: u64, label: &str| {
            progress.event(&Event::Progress {
                seconds: begun.elapsed().as_secs_f64(),
                done,
                total,
                label: label.to_owned(),
            });
        };
        let halt = &stop::asked;
        let done = work(Watch { halt, told });
        progress.finish();
        done
    }
}

/// A count above 0.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a whole number above 0 is expected".to_owned()),
    }
}

impl Attribute {
    /// Attributes.
    pub(crate) fn execute(self) -> Outcome {
        let options = self.model.options()?;
        let arm = self.arm.as_deref();
        let found = self.model.watched(|watch| {
            attribution::attribute(&self.run, arm, self.requests, &options, watch)
        })?;
        if self.json {
            let tpr = found.tpr_at_1_fpr;
            let score = |found: Found| {
                json!({
                    "attackers": found.attackers, "named": found.named, "right": found.right,
                    "precision": found.precision(), "recall": found.recall(),
                    "tpr_at_1_fpr": tpr,
                })
            };
            output::json(&json!({
                "arm": found.arm, "requests": found.requests, "rounds": found.rounds,
                "clients": found.clients, "found": found.found.map(score),
            }));
            return Ok(());
        }
        if found.rounds.is_empty() {
            return Err(Failure::new("no round of this arm is aggregated yet"));
        }
        output::line(text(&found));
        Ok(())
    }
}

fn nats(value: f64) -> String {
    match value {
        value if value > 0.0 => format!("+{value:.2}"),
        value => format!("{value:.2}"),
    }
}

fn text(found: &Attribution) -> String {
    let mut rows = vec![
        [
            "client",
            "kind",
            "rounds",
            "took (nats)",
            "p (Holm)",
            "most in round",
            "named",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for client in &found.clients {
        let took = match client.took.low.zip(client.took.high) {
            Some((low, high)) => {
                format!(
                    "{} ({} to {})",
                    nats(client.took.mean),
                    nats(low),
                    nats(high)
                )
            }
            None => nats(client.took.mean),
        };
        rows.push(vec![
            client.client.clone(),
            client.kind.clone().unwrap_or_else(|| "–".to_owned()),
            client.took.n.to_string(),
            took,
            fedseal_audit::differences::chance(client.adjusted),
            client.worst.to_string(),
            if client.named { "yes" } else { "" }.to_owned(),
        ]);
    }
    let mut out = table::aligned(&rows);
    // The rounds that cost most, with the update of each that took most.
    let mut worst: Vec<_> = found.rounds.iter().collect();
    worst.sort_by(|a, b| (a.after - a.before).total_cmp(&(b.after - b.before)));
    let falls = worst.iter().filter(|round| round.after < round.before);
    let mut rows = vec![
        ["round", "log-odds", "took most"]
            .map(String::from)
            .to_vec(),
    ];
    rows.extend(falls.take(ROUNDS).map(|round| {
        let most = round
            .effects
            .iter()
            .max_by(|a, b| a.took.total_cmp(&b.took));
        let most = most.map_or_else(String::new, |effect| {
            format!("{} ({})", effect.client, nats(effect.took))
        });
        let course = format!("{} to {}", nats(round.before), nats(round.after));
        vec![round.round.to_string(), course, most]
    }));
    if rows.len() > 1 {
        out.push_str("\nRounds after which refusals were less likely, the worst first:\n");
        out.push_str(&table::aligned(&rows));
    }
    out.push_str(&format!(
        "\nArm {}; mean effect of a client's updates on refusal log-odds of {} harmful requests, positive took \
         safety away; t test over its rounds.",
        found.arm, found.requests
    ));
    if let Some(score) = found.found.filter(|found| found.attackers > 0) {
        let Found {
            attackers,
            named,
            right,
        } = score;
        let share = |of: usize| percent::of(right as u64, of as u64);
        let precision = match named {
            0 => "no client is named".to_owned(),
            named => format!(
                "{right} of {named} named are attackers ({} %)",
                share(named)
            ),
        };
        out.push_str(&format!(
            "\nBy the labels of the experiment: {precision}; {right} of {attackers} attackers are named ({} %).",
            share(attackers)
        ));
        if let Some(tpr) = found.tpr_at_1_fpr {
            out.push_str(&format!(
                "\nOf single updates of attackers {} % took more than all but 1 % of the honest ones.",
                percent::decimal(tpr * 100.0)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_federation::attribution::{ClientEffect, Effect, RoundEffects};
    use fedseal_rules::statistics::Paired;

    #[test]
    fn the_named_and_the_worst_rounds_are_told() {
        let client = |name: &str, kind: &str, values: &[f64], named| ClientEffect {
            client: name.into(),
            kind: Some(kind.into()),
            took: Paired::of(values).unwrap(),
            adjusted: Some(0.004),
            named,
            worst: 7,
        };
        let found = Attribution {
            arm: "fedavg".into(),
            requests: 40,
            rounds: vec![RoundEffects {
                round: 7,
                before: 1.5,
                after: -0.25,
                effects: vec![Effect {
                    client: "client-03".into(),
                    kind: None,
                    weight: 0.5,
                    took: 2.0,
                }],
            }],
            clients: vec![
                client("client-03", "malicious-gen", &[1.0, 2.0], true),
                client("client-01", "benign", &[-1.0], false),
            ],
            found: Some(Found {
                attackers: 2,
                named: 1,
                right: 1,
            }),
            tpr_at_1_fpr: Some(0.875),
        };
        let shown = text(&found);
        for part in [
            "+1.50 (",
            "0.004",
            "yes",
            "+1.50 to -0.25",
            "client-03 (+2.00)",
            "87.5 % took more",
            "1 of 1 named are attackers (100.0 %); 1 of 2 attackers are named (50.0 %)",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(positive("0").is_err() && positive("40") == Ok(40));
    }
}

//! `fedseal undo RUN --client ID`

use std::path::PathBuf;

use clap::Args;
use fedseal_federation::undoing::{self, Measured, Request, Undone};
use fedseal_record::rundir::write_atomically;
use fedseal_rules::evaluation::percent;
use fedseal_rules::evaluation::wilson::Share;
use serde_json::json;

use super::attribute::ModelChoice;
use super::base;
use crate::failure::Outcome;
use crate::{output, table};

/// Aggregates a run's history again without a client, from the logged updates of the others, and measures
/// what is left of it. With --retrain the others are also trained again, and the distance between the two is
/// said.
#[derive(Args)]
pub(crate) struct Undo {
    /// The run's folder.
    run: PathBuf,
    /// The client to leave out; may be given several times.
    #[arg(long = "client", value_name = "ID", required = true)]
    clients: Vec<String>,
    /// The arm; by default the attacked FedAvg arm.
    #[arg(long, value_name = "ARM")]
    arm: Option<String>,
    /// Train the others again without it. Takes as long as the arm took.
    #[arg(long)]
    retrain: bool,
    /// Prompts of each kind that are answered; by default those of the experiment.
    #[arg(long, value_name = "N", default_value_t = 0)]
    prompts: usize,
    /// Write the adapter into this folder, which must be new or empty, as PEFT loads it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    model: ModelChoice,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Undo {
    /// Undoes.
    pub(crate) fn execute(self) -> Outcome {
        // Before the work, not after it.
        self.out.as_deref().map_or(Ok(()), base::empty)?;
        let options = self.model.options()?;
        let request = Request {
            arm: self.arm.clone(),
            clients: self
                .clients
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            again: self.retrain,
            prompts: self.prompts,
        };
        let undone = self
            .model
            .watched(|watch| undoing::undo(&self.run, &request, &options, watch))?;
        if let Some(out) = &self.out {
            let run = fedseal_record::opened::OpenRun::read(&self.run)?;
            base::place(&undone.adapter, &run.experiment.model.source, None, out)?;
            let head = run.log.checkpoint();
            let record = json!({
                "undone": undone.without, "arm": undone.arm, "adapter": undone.undone.adapter,
                "log": head.origin, "size": head.size, "root": head.root, "node": run.plan.node,
                "base": run.plan.base,
            });
            write_atomically(&out.join(base::RECORD), format!("{record:#}\n").as_bytes())?;
        }
        match self.json {
            true => output::json(&undone),
            false => output::line(text(&undone)),
        }
        Ok(())
    }
}

fn text(undone: &Undone) -> String {
    let share = |share: &Share| match share.n {
        0 => "not measured".to_owned(),
        _ => format!(
            "{} ({} to {})",
            percent::of(share.hits, share.n),
            percent::decimal(share.low * 100.0),
            percent::decimal(share.high * 100.0)
        ),
    };
    let row = |name: &str, of: &Measured, distance: Option<f64>| {
        vec![
            name.to_owned(),
            share(&of.safety),
            share(&of.helpfulness),
            format!("{:.2}", of.log_odds),
            distance.map_or_else(|| "–".to_owned(), |distance| format!("{distance:.3}")),
            of.adapter.short(),
        ]
    };
    let head = [
        "adapter",
        "safety %",
        "helpfulness %",
        "log-odds",
        "distance",
        "digest",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.push(row(
        "as the run ended",
        &undone.as_run,
        undone.distance_as_run,
    ));
    rows.push(row("undone", &undone.undone, undone.distance));
    if let Some(again) = &undone.again {
        rows.push(row("trained again", again, None));
    }
    let without: Vec<&str> = undone
        .without
        .iter()
        .map(|client| client.as_str())
        .collect();
    let rounds: Vec<String> = undone.rounds.iter().map(u32::to_string).collect();
    let which = match rounds.is_empty() {
        true => "in no round".to_owned(),
        false => format!("in {} rounds: {}", rounds.len(), rounds.join(", ")),
    };
    let mut out = table::aligned(&rows);
    out.push_str(&format!(
        "\nArm {} without {}, whose updates counted {which}.",
        undone.arm,
        without.join(", ")
    ));
    if undone.again.is_some() {
        out.push_str(
            "\nDistance: to the adapter that was trained again, over the length of its training; verdicts are \
             the logged ones.",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_tuning::{Adapter, AdapterConfig};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn distances_are_told_where_the_others_were_trained_again() {
        let measured = |hits| Measured {
            adapter: fedseal_client_sdk::digest::Digest::of(b"adapter"),
            safety: Share::new(hits, 240),
            helpfulness: Share::new(0, 0),
            log_odds: 1.25,
        };
        let adapter = Adapter {
            tensors: BTreeMap::new(),
            config: AdapterConfig::default(),
        };
        let shown = |again: Option<Measured>| {
            let distance = again.as_ref().map(|_| 0.125);
            text(&Undone {
                arm: "fedavg".into(),
                without: BTreeSet::from(["client-03".into()]),
                rounds: vec![2, 5],
                as_run: measured(72),
                undone: measured(219),
                distance,
                distance_as_run: distance.map(|_| 0.75),
                again,
                adapter: adapter.clone(),
            })
        };
        let with = shown(Some(measured(228)));
        assert!(
            with.contains("0.125") && with.contains("trained again"),
            "{with}"
        );
        assert!(
            with.contains("in 2 rounds: 2, 5") && with.contains("not measured"),
            "{with}"
        );
        assert!(!shown(None).contains("Distance"));
    }
}

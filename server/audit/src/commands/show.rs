//! `fedseal show RUN`

use std::path::PathBuf;

use clap::Args;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::{Conclusion, Report};
use serde_json::{Value, json};

use super::runs::{find, state};
use crate::failure::{Failure, Outcome};
use crate::{output, table};

/// Tells of a run: whether the model was attacked, what stopped that, what it cost, and the results table.
#[derive(Args)]
pub struct Show {
    /// The run's folder, or its name in the list of `fedseal runs`.
    run: PathBuf,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Tells.
    pub fn execute(self) -> Outcome {
        let folder = find(&self.run)?;
        let open = OpenRun::read(&folder)?;
        let report = open.report()?;
        let conclusion = Conclusion::of(&report)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        let logged = open.state.report.is_some();
        let checkpoint = open.log.checkpoint();
        if self.json {
            output::json(&json!({
                "run": report.run, "folder": folder, "title": report.title, "state": report.state,
                "seed": report.seed, "started": report.started, "seconds": report.seconds,
                "logged": logged, "root": checkpoint.root, "entries": checkpoint.size,
                "node": open.plan.node, "conclusion": conclusion, "arms": arms(&report),
                "verdicts": report.verdict_counts(),
            }));
            return Ok(());
        }
        let (title, run, seed) = (&report.title, &report.run, report.seed);
        output::line(format!(
            "{title}\n{run}, {}, seed {seed}, begun {}",
            state(report.state),
            report.started
        ));
        output::line(match logged {
            true => format!(
                "the report is the logged one, under root {} over {} entries; `fedseal verify` checks all of it",
                checkpoint.root.short(),
                checkpoint.size
            ),
            false => {
                "the report is a draft: no log entry names it before the run is over".to_owned()
            }
        });
        output::line("");
        for sentence in &conclusion.sentences {
            output::line(sentence);
        }
        output::line("");
        output::line(table::text(&[report]));
        Ok(())
    }
}

/// The arms without their rounds.
fn arms(report: &Report) -> Vec<Value> {
    let arm = |arm: &fedseal_record::report::ArmView| {
        json!({
            "id": arm.id, "title": arm.title, "kind": arm.kind, "rule": arm.rule,
            "safety": arm.safety, "helpfulness": arm.helpfulness, "measures": arm.measures,
            "final_adapter": arm.final_adapter, "rounds": arm.rounds.len(),
        })
    };
    report.arms.iter().map(arm).collect()
}

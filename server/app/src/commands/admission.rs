//! `fedseal admission check FILE RUN_DIR`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedseal_record::dryrun::dry_run;
use fedseal_rules::experiment::read_admission;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Admission: what the server demands of an update before it counts.
#[derive(Args)]
pub(crate) struct Admission {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Try an admission.toml on a run that is over: what would its checks have said?
    Check {
        #[arg(help = "The file: [[provenance]] and [[behaviour]] entries")]
        file: PathBuf,
        /// The run's folder.
        run: PathBuf,
        /// One arm; by default every attacked one.
        #[arg(long)]
        arm: Option<String>,
        /// Print every update, not those alone about which the log says otherwise.
        #[arg(long)]
        all: bool,
        /// Print everything as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Admission {
    /// Tries it.
    pub(crate) fn execute(self) -> Outcome {
        let Action::Check {
            file,
            run,
            arm,
            all,
            json,
        } = self.action;
        let config = read_admission(&file)?;
        let sets = [
            ("provenance", config.provenance),
            ("behaviour", config.behaviour),
        ];
        if sets.iter().all(|(_, set)| set.is_none()) {
            return Err(
                Failure::usage(format!("{}: it has no check", file.display()))
                    .hint("Checks are [[provenance]] or [[behaviour]] entries with `check = …`."),
            );
        }
        let mut found = serde_json::Map::new();
        for (name, set) in sets {
            let Some(set) = set else { continue };
            let dry = dry_run(&run, &set, arm.as_deref())?;
            if json {
                let value = json!({ "by_kind": dry.by_kind(), "result": dry });
                found.insert(name.to_owned(), value);
                continue;
            }
            output::line(format!("{name}: {} updates", dry.rows.len()));
            if !dry.left_out.is_empty() {
                output::line(format!(
                    "  not looked at, for it needs the model: {}",
                    dry.left_out.join(", ")
                ));
            }
            for (kind, count) in dry.by_kind() {
                output::line(format!(
                    "  {kind}: {} would count, {} would not{}",
                    count.counted,
                    count.refused,
                    match count.replayed {
                        0 => String::new(),
                        n => format!(", {n} after a replay with equal bits"),
                    }
                ));
            }
            for row in dry.rows.iter().filter(|row| all || row.was != row.would) {
                output::line(format!(
                    "  {} {} round {} {} ({}): was {}, would be {} by {}: {}",
                    row.arm,
                    row.update.short(),
                    row.round,
                    row.client,
                    row.kind,
                    row.was,
                    row.would,
                    row.check,
                    row.fact
                ));
            }
        }
        if json {
            output::json(&found);
        }
        Ok(())
    }
}

//! `fedseal replay RUN_DIR`

use std::path::PathBuf;

use clap::Args;
use fedseal_federation::replay::{self, Selector};
use fedseal_federation::runner::Options;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Executes updates of a run again, from what the log names, and compares transcript and adapter.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["update", "sample"])))]
pub struct Replay {
    /// The run's folder.
    run: PathBuf,
    /// The update whose id begins so.
    #[arg(long, value_name = "ID")]
    update: Option<String>,
    /// So many updates, drawn at random.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Seed of the draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads of the CPU device; the bits do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Folder of fetched models.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Replays; fails when any digest differs.
    pub fn execute(self) -> Outcome {
        let selector = match (self.update, self.sample) {
            (Some(prefix), _) => Selector::Prefix(prefix),
            (None, count) => Selector::Sample {
                count: count.unwrap_or(1),
                seed: self.seed,
            },
        };
        let models = self.models.unwrap_or_else(|| Places::find().models());
        let options = Options {
            models,
            threads: Some(self.threads),
            ..Options::default()
        };
        let replayed = replay::replay_with(&self.run, &selector, &options)?;
        let equal = replayed.iter().filter(|one| one.equal()).count();
        let total = replayed.len();
        if self.json {
            output::json(&json!({ "equal": equal, "total": total, "updates": replayed }));
        } else {
            for one in &replayed {
                let word = one.difference.as_deref().unwrap_or("equal");
                output::line(format!(
                    "{} {} round {}: {word} ({:.1} s)",
                    one.update.short(),
                    one.client,
                    one.round,
                    one.seconds
                ));
            }
            output::line(format!(
                "{equal} of {total} equal, {} thread(s)",
                self.threads
            ));
        }
        if total == 0 {
            return Err(Failure::new("no update was executed again").hint("The run has none yet."));
        }
        if equal < total {
            return Err(Failure::new(format!(
                "{} of {total} updates differ",
                total - equal
            )));
        }
        Ok(())
    }
}

//! `fedseal replay RUN_DIR`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_federation::own::{How, pairs};
use fedseal_federation::replay::tolerance::FACTOR;
use fedseal_federation::replay::{self, Replayed, Selector};
use fedseal_federation::runner::Options;
use fedseal_rules::experiment::MAX_SHARD;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Executes updates of a run again, from what the log names, and compares transcript and adapter.
/// One engine gives equal bits. Engines of two names, or a GPU, do not: there adapters count as near
/// up to the distance that these two were measured to have, and engines that nobody measured have no
/// bound.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["update", "sample"])))]
pub(crate) struct Replay {
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
    /// Folder of the experiment file: where its data are own files, the data check's score is compared by
    /// those that the run pinned.
    #[arg(long, value_name = "DIR", default_value = ".")]
    files: PathBuf,
    /// Shard of a data holder's node, which is no part of the run: several files are one shard, in this order.
    /// Of updates that are drawn those of this shard are executed.
    #[arg(long, value_name = "FILE")]
    shard: Vec<String>,
    /// Leave out rows of the shard as the node did.
    #[arg(long, requires = "shard")]
    leave_out: bool,
    /// Take the first pair of a conversation as the node did.
    #[arg(long, requires = "shard")]
    first_turn: bool,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Replays; fails when any update comes out neither equal nor near.
    pub(crate) fn execute(self) -> Outcome {
        let selector = match (self.update, self.sample) {
            (Some(prefix), _) => Selector::Prefix(prefix),
            (None, count) => Selector::Sample {
                count: count.unwrap_or(1),
                seed: self.seed,
            },
        };
        let models = Places::find().models_or(self.models.as_deref())?;
        let options = Options {
            models,
            threads: Some(self.threads),
            files: self.files,
            ..Options::default()
        };
        let how = How {
            leave_out: self.leave_out,
            first: self.first_turn,
        };
        let shard = match self.shard.is_empty() {
            true => None,
            false => Some(pairs(Path::new(""), &self.shard, how, &mut { MAX_SHARD })?),
        };
        let replayed = replay::replay_at(&self.run, &selector, &options, shard)?;
        let equal = replayed.iter().filter(|one| one.equal()).count();
        let near = replayed.iter().filter(|one| one.near()).count();
        let total = replayed.len();
        if self.json {
            output::json(&json!({
                "equal": equal, "near": near, "factor": FACTOR, "total": total,
                "updates": replayed,
            }));
        } else {
            for one in &replayed {
                output::line(format!(
                    "{} {} round {}: {} ({:.1} s)",
                    one.update.short(),
                    one.client,
                    one.round,
                    words(one),
                    one.seconds
                ));
            }
            let near = match near {
                0 => String::new(),
                near => format!(", {near} near but not equal"),
            };
            output::line(format!(
                "{equal} of {total} equal{near}, {} thread(s)",
                self.threads
            ));
        }
        if total == 0 {
            return Err(Failure::new("no update was executed again").hint("The run has none yet."));
        }
        let different = total - equal - near;
        if different > 0 {
            return Err(Failure::new(format!(
                "{different} of {total} updates differ"
            )));
        }
        Ok(())
    }
}

/// Result of one update's replay, as text.
fn words(one: &Replayed) -> String {
    let Some(difference) = &one.difference else {
        return match one.engine == one.engine_again {
            true => "equal".to_owned(),
            false => format!(
                "equal, by another engine (`{}`, then `{}`)",
                one.engine, one.engine_again
            ),
        };
    };
    let Some(distance) = one.distance else {
        return difference.clone();
    };
    let apart = format!(
        "the adapters are {:.2} % of the update's length apart",
        100.0 * distance
    );
    let Some(bound) = one.bound else {
        return format!(
            "differs: {apart}, and this pair of engines was not measured, so no distance counts as \
             near; {difference}"
        );
    };
    let verdict = match one.near() {
        true => "near",
        false => "differs",
    };
    format!(
        "{verdict}: {apart}, allowed are {:.2} %, {FACTOR} times the largest measured on these \
         engines; {difference}",
        100.0 * bound
    )
}

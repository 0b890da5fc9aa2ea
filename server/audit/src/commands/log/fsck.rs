//! `fedseal log fsck DIR`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{folder, log_key, named_key};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Reads every entry of a log, derives every tile and the root again, and compares.
#[derive(Args)]
pub struct Fsck {
    /// The run's folder, or a log's.
    dir: PathBuf,
    /// The key that signed the log: hex or a verifier key; by default the one in run.json.
    #[arg(long)]
    key: Option<String>,
    /// Fail on files that the checkpoint does not cover, too.
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Fsck {
    /// Checks; fails on the first bad tile or entry, with its name.
    pub fn execute(self) -> Outcome {
        let given = self.key.as_deref();
        let key = named_key(&self.dir, given)?;
        let log = folder(&self.dir)?;
        let begun = std::time::Instant::now();
        let report = fedseal_ledger::fsck(&log, &key)?;
        // Now that the log is whole: whether it vouches for the file that named the key.
        log_key(&self.dir, given)?;
        let seconds = begun.elapsed().as_secs_f64();
        let extra: Vec<String> = report
            .extra
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        if self.json {
            output::json(&json!({
                "origin": report.checkpoint.origin,
                "entries": report.entries,
                "root": report.checkpoint.root,
                "tiles": report.tiles,
                "extra": extra,
                "seconds": seconds,
            }));
        } else {
            output::line(format!(
                "{} is whole: {} entries, {} tiles derived again, root {} ({})",
                report.checkpoint.origin,
                report.entries,
                report.tiles,
                report.checkpoint.root,
                output::duration(seconds)
            ));
            output::line(format!(
                "verifier key {}",
                fedseal_client_sdk::tlog::verifier_key(&report.checkpoint.origin, &key)
            ));
            for path in &extra {
                output::line(format!("not covered by the checkpoint: {path}"));
            }
        }
        if self.strict && !extra.is_empty() {
            return Err(Failure::new(format!(
                "{} files that the checkpoint does not cover",
                extra.len()
            ))
            .hint("Leftovers of a publish that did not end are removed when the run is resumed."));
        }
        Ok(())
    }
}

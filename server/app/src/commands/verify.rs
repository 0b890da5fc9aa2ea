//! `fedseal verify RUN_DIR`

use std::path::PathBuf;

use clap::Args;
use fedseal_federation::verify;

use crate::failure::Outcome;
use crate::output;

/// Checks a run from its files alone, without a network and without a model.
#[derive(Args)]
pub struct Verify {
    /// The run's folder.
    run: PathBuf,
    /// Print what was verified as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies; fails on the first bad item.
    pub fn execute(self) -> Outcome {
        let report = verify::verify(&self.run)?;
        if self.json {
            output::json(&report);
            return Ok(());
        }
        output::line(format!(
            "{} holds: {} log entries under root {}\n\
             {} updates (signatures, digests, transcripts, lineage), {} verdicts, {} aggregations \
             computed again,\n{} evaluations counted again, {} blobs hashed again",
            report.run,
            report.entries,
            report.root.short(),
            report.updates,
            report.verdicts,
            report.aggregations,
            report.evaluations,
            report.blobs,
        ));
        Ok(())
    }
}

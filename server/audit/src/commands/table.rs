//! `fedseal table DIR`

use std::path::PathBuf;

use clap::Args;

use crate::failure::Outcome;
use crate::{output, table};

/// Prints the results table of a run, or of the seeds below a folder, which are of one experiment.
#[derive(Args)]
pub struct Table {
    /// A run's folder, or one that holds a run for each seed.
    folder: PathBuf,
}

impl Table {
    /// Prints.
    pub fn execute(self) -> Outcome {
        let runs = table::runs_of(&self.folder)?;
        let runs = runs
            .into_iter()
            .map(|run| table::read(&run).map(|report| (run, report)))
            .collect::<Outcome<Vec<_>>>()?;
        table::one_experiment(&runs)?;
        let reports: Vec<_> = runs.into_iter().map(|(_, report)| report).collect();
        output::line(table::text(&reports));
        Ok(())
    }
}

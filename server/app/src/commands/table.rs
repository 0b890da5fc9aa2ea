//! `fedseal table DIR`

use std::path::PathBuf;

use clap::Args;

use crate::failure::Outcome;
use crate::{output, table};

/// Prints the results table of a run, or of the seeds below a folder.
#[derive(Args)]
pub struct Table {
    /// A run's folder, or one that holds a run for each seed.
    folder: PathBuf,
}

impl Table {
    /// Prints.
    pub fn execute(self) -> Outcome {
        let runs = table::runs_of(&self.folder)?;
        let reports = runs
            .iter()
            .map(|run| table::read(run))
            .collect::<Outcome<Vec<_>>>()?;
        output::line(table::text(&reports));
        Ok(())
    }
}

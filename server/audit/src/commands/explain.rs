//! `fedseal explain RUN_DIR --update ID`

use std::path::PathBuf;

use clap::Args;
use fedseal_record::explain;

use crate::failure::Outcome;
use crate::output;

/// Tells in sentences where an update came from: which module, whose, from which data, by which
/// steps, what each arm said about it, and on whose word each of that rests.
#[derive(Args)]
pub struct Explain {
    /// The run's folder.
    run: PathBuf,
    /// The update whose id begins so.
    #[arg(long, value_name = "ID")]
    update: String,
    /// Print the sentences as JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Explains it.
    pub fn execute(self) -> Outcome {
        let explained = explain::explain(&self.run, &self.update)?;
        if self.json {
            output::json(&explained);
        } else {
            for sentence in &explained.sentences {
                output::line(sentence);
            }
        }
        Ok(())
    }
}

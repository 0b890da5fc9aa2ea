//! `fedseal log`: an auditor's actions, and `witness`, which serves.

mod witness;

use clap::{Args, Subcommand};
use fedseal_audit::commands::log;

use crate::failure::Outcome;

/// Checks, watches, witnesses and proves entries of a log.
#[derive(Args)]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    #[command(flatten)]
    Audit(log::Action),
    /// Be a witness for other logs: cosign checkpoints that continue the last ones.
    Witness(witness::Witness),
}

impl Log {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            Action::Audit(action) => action.execute(),
            Action::Witness(command) => command.execute(),
        }
    }
}

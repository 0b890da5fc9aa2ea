//! The `fedseal-audit` binary: verifies runs, bundles, logs and adapter folders, offline.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fedseal_audit::commands::{
    bundle, compare, explain, judged, key, log, report, runs, show, table, verify,
};
use fedseal_audit::failure;

/// Audits federated tuning: checks evidence from its files alone, without a network and without a model.
///
/// Rates are counted again from logged answers. Taken on trust, and named by `verify`: that an update
/// was executed as attested (`fedseal replay` executes it again) and what the canaries measured.
#[derive(Parser)]
#[command(name = "fedseal-audit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a run or a bundle offline: signatures, digests, proofs, verdicts, aggregation.
    Verify(verify::Verify),
    /// Check, watch, cosign and prove entries of a log.
    Log(log::Log),
    /// Write one file about an update that `verify` checks offline.
    Bundle(bundle::BundleCommand),
    /// Tell in sentences where an update came from.
    Explain(explain::Explain),
    /// Make or show the key that signs modules.
    Key(key::Key),
    /// Print the results table of a run, or of the seeds below a folder.
    Table(table::Table),
    /// List runs, each with its conclusion.
    Runs(runs::Runs),
    /// Tell of a run: its conclusion and its results.
    Show(show::Show),
    /// Write a run's report as one HTML or Markdown file.
    Report(report::Report),
    /// Compare runs: settings and measures that differ.
    Compare(compare::Compare),
    /// Check and count what outside judges said of a run's answers.
    Judged(judged::Judged),
}

/// Exit codes are those of `fedseal`: 0 all is well; 1 the answer is no; 2 the arguments or an input
/// file are wrong.
fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Verify(command) => command.execute(),
        Command::Log(command) => command.execute(),
        Command::Bundle(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Key(command) => command.execute(),
        Command::Table(command) => command.execute(),
        Command::Runs(command) => command.execute(),
        Command::Show(command) => command.execute(),
        Command::Report(command) => command.execute(),
        Command::Compare(command) => command.execute(),
        Command::Judged(command) => command.execute(),
    };
    failure::finish(done)
}

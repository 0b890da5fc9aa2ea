//! The `fedseal` binary: runs experiments, serves their reports, verifies and replays them, and
//! builds, signs and submits modules.
//!
//! This room is thin. It parses arguments, calls the rooms below and shows what they say; it
//! computes no digest, decides nothing and knows no tensor.
//!
//! - [`commands`]: one file a command, each with its arguments and an `execute`.
//! - [`http`]: the server behind `fedseal serve`.
//! - [`backup`]: copies of what servers and nodes keep.
//! - [`coordinate`]: executes the federations of a server.
//! - [`metrics`], [`logs`]: numbers and lines for programs that watch this one. [`counted`]: a run's events as both.
//! - [`decisions`]: which submitted modules may be executed.
//! - [`kept`]: modules that are kept compiled.
//! - [`registry`]: where the registry is. [`submitted`]: modules of it. [`runs`]: folders of runs. [`progress`], [`figures`]: what people and machines read of a run.
//!
//! The auditor's commands, and everything that all commands share, are in the room `audit`.

#![forbid(unsafe_code)]
// One place prints, for it survives a closed pipe.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod backup;
mod commands;
mod coordinate;
mod counted;
mod decisions;
mod figures;
mod http;
mod kept;
mod logs;
mod metrics;
mod progress;
mod registry;
mod runs;
mod submitted;

use std::process::ExitCode;

use clap::Parser as _;
use fedseal_audit::{failure, files, keys, modules, output, places, stop, table};

/// Exit codes: 0 all is well; 1 the work failed or the answer is no (a log that does not verify, a
/// replay that differs, a refused module, a run in which no update counted); 2 the arguments or an
/// input file are wrong.
fn main() -> ExitCode {
    // Started by itself, to compile one module within limits: nothing else is done then.
    if let Some(code) = fedseal_sandbox::compiler::serve_if_asked() {
        return code;
    }
    let arguments = commands::Arguments::parse();
    failure::finish(arguments.command.execute())
}

//! Commands of an auditor, without the engine: no tensors, no Wasm, no database. The program
//! `fedseal-audit` has only these commands; `fedseal` has them next to its own.
//!
//! - [`commands`]: verify, log, bundle, explain, key, table, runs, show, report, compare, judged.
//! - [`places`]: where keys, modules, models and runs are stored. [`keys`]: the developer's key.
//!   [`modules`]: a module in a file, an OCI layout or a registry. [`files`]: what the command line names.
//! - [`table`]: a run's results for people, [`differences`] those of its arms, [`tidy`] both for programs,
//!   [`plot`] for the eye.
//!   [`document`]: a report as one file. [`output`]: everything that is printed.
//! - [`failure`]: every error ends there, with an exit code. [`stop`]: Ctrl-C.

#![forbid(unsafe_code)]
// One place prints, for it survives a closed pipe.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod commands;
pub mod differences;
pub mod document;
pub mod failure;
pub mod files;
pub mod keys;
pub mod modules;
pub mod output;
pub mod places;
pub mod plot;
pub mod stop;
pub mod table;
pub mod tidy;

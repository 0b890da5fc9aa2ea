//! The lint `circles`: no circle of modules in a server crate. A program of its own, since it reads Rust by
//! `syn`, for which the other commands of `cargo xtask` would wait in a fresh clone.

mod circles;
#[path = "../../src/lint/files.rs"]
mod files;
mod paths;
mod process;

use std::process::ExitCode;

/// A failure with what happened and what to do, ready to print.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// The result of everything here.
type Outcome<T = ()> = Result<T, Failure>;

fn main() -> ExitCode {
    match circles::check() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            eprintln!("    {message}");
            ExitCode::FAILURE
        }
    }
}

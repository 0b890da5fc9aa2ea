//! Compiles one module for a program that does not do it itself: a test, an example.

use std::process::ExitCode;

fn main() -> ExitCode {
    fedseal_sandbox::compiler::serve_if_asked().unwrap_or_else(|| {
        eprintln!("fedseal-compile is started by programs that run modules, to compile one");
        ExitCode::from(2)
    })
}

//! `fedseal completions SHELL`

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Outcome;
use crate::output;

/// Prints a script by which a shell completes this program's commands and options.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints it. `program` is the definition of all commands.
    pub(crate) fn execute(self, program: Command) -> Outcome {
        output::piece(script(self.shell, program));
        Ok(())
    }
}

fn script(shell: Shell, mut program: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "fedseal", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_has_a_script_with_every_command() {
        let program = || Command::new("fedseal").subcommand(Command::new("show").about("Tell"));
        for shell in Shell::value_variants() {
            assert!(script(*shell, program()).contains("show"), "{shell}");
        }
    }
}

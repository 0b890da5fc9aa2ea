//! `fedseal man DIR`

use std::path::PathBuf;

use clap::{Args, Command};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Writes a man page for every command into a folder: fedseal.1, fedseal-run.1, …
#[derive(Args)]
pub(crate) struct Man {
    /// The folder, which is made where there is none, such as ~/.local/share/man/man1.
    folder: PathBuf,
}

impl Man {
    /// Writes them. `program` is the definition of all commands.
    pub(crate) fn execute(self, program: Command) -> Outcome {
        let folder = &self.folder;
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(program, folder))
            .map_err(|error| Failure::io(folder, &error))?;
        output::line(format!("the man pages are in {}", folder.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let man = Man {
            folder: dir.path().join("man1"),
        };
        let program =
            Command::new("fedseal").subcommand(Command::new("show").about("Tell of a run"));
        man.execute(program).unwrap();
        let page = std::fs::read_to_string(dir.path().join("man1/fedseal-show.1")).unwrap();
        assert!(page.contains("Tell of a run"), "{page}");
        assert!(dir.path().join("man1/fedseal.1").is_file());
    }
}

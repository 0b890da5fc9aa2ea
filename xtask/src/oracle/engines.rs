//! `cargo xtask oracle engines`: queues, stores and records on real servers, and a run of several workers over them.
//! `cargo xtask test` does the same.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::{cargo, exists, root, say, target};
use crate::{Outcome, fail, python, setup};

/// Words for the tests of a run whose jobs go through a queue, of records in PostgreSQL, and of deploy/compose.yaml.
const RUNS: [&str; 3] = ["queue", "records", "compose"];

/// Why PostgreSQL is left out, where it is.
pub(crate) const NO_POSTGRES: &str = "on Debian `apt-get install postgresql`";

/// Servers from PyPI, PostgreSQL from Debian, and the helper program that speaks to them.
pub(crate) struct Engines {
    bin: String,
    helper: String,
    postgres: Option<String>,
}

impl Engines {
    /// Installs the servers below target. None without Python and pip.
    ///
    /// # Errors
    /// pip is there and cannot install them.
    pub(crate) fn install() -> Outcome<Option<PathBuf>> {
        let pip = Command::new("python3")
            .args(["-m", "pip", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !exists("python3") || !pip.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let requirements = root().join("tests/oracles/engines/requirements.txt");
        python::own("engines", &requirements).map(Some)
    }

    /// Builds the helper for servers that are beside this Python, and looks for PostgreSQL.
    ///
    /// # Errors
    /// It cannot be built; PostgreSQL cannot be installed where packages can.
    pub(crate) fn build(python: PathBuf) -> Outcome<Engines> {
        let Some(bin) = python.parent() else {
            return fail(format!("{}: it lies in no folder", python.display()));
        };
        let postgres = setup::postgres()?;
        say("Building the helper of queues, stores and records");
        // Alone: what its clients bring would build burn and wasmtime again for everything else.
        cargo(
            &["build", "-p", "fedseal-engines", "--features", "network"],
            &[],
        )?;
        let helper = target().join("debug/fedseal-engines");
        Ok(Engines {
            bin: bin.to_string_lossy().into_owned(),
            helper: helper.to_string_lossy().into_owned(),
            postgres: postgres.map(|folder| folder.to_string_lossy().into_owned()),
        })
    }

    /// Whether PostgreSQL is there.
    pub(crate) fn has_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Variables by which tests find all of them. A server of theirs that is not there is a failure then.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let mut variables = vec![
            ("FEDSEAL_ENGINES_BIN", self.bin.as_str()),
            ("FEDSEAL_ENGINES", self.helper.as_str()),
        ];
        let postgres = self.postgres.as_deref();
        variables.extend(postgres.map(|folder| ("FEDSEAL_POSTGRES_BIN", folder)));
        variables
    }

    /// Holds NATS JetStream, S3 and PostgreSQL to the contracts.
    ///
    /// # Errors
    /// A test that fails.
    pub(crate) fn contract(&self) -> Outcome {
        say(
            "Holding NATS JetStream, S3 and PostgreSQL to the contracts of queue, store and records",
        );
        let words = [
            "test",
            "-p",
            "fedseal-engines",
            "--features",
            "network",
            "--bins",
            "--test",
            "contract",
        ];
        cargo(&words, &self.environment())
    }
}

/// The command.
pub(super) fn engines() -> Outcome {
    let Some(python) = Engines::install()? else {
        return fail("no pip: on Debian `apt-get install python3-pip python3-venv`");
    };
    let engines = Engines::build(python)?;
    if !engines.has_postgres() {
        return fail(format!("no PostgreSQL: {NO_POSTGRES}"));
    }
    engines.contract()?;
    for words in RUNS {
        say(&format!("Runs over both: {words}"));
        cargo(
            &["test", "--workspace", "--test", "lend", words],
            &engines.environment(),
        )?;
    }
    Ok(())
}

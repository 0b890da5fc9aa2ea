//! `fedseal backup DIR`, `fedseal backup --check DIR`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::backup::{self, Checked, Copied, Sources};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::{self, Places};
use crate::registry::RegistryPlace;

/// Copies runs, federations, submitted modules and trust files into a new folder, also while servers and runs
/// work on them; or checks such a copy. Private keys are copied only where they are asked for.
#[derive(Args)]
pub(crate) struct Backup {
    /// Folder of the copy; it is made.
    dir: PathBuf,
    /// Check the copy that is there: every file, each run's log and blobs, books and registry. Nothing is written.
    #[arg(long, conflicts_with_all = ["runs", "registry", "federations", "node", "keys"])]
    check: bool,
    /// Folder of runs, or of one run; by default that of `fedseal serve`.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Folder of the submitted modules, by default registry in the folder of keys; or
    /// postgres://USER@HOST/DATABASE, whose rows the copy has as SQLite.
    #[arg(long, value_name = "DIR|URL")]
    registry: Option<PathBuf>,
    /// State folder of a coordinator; by default federations in the folder of keys.
    #[arg(long, value_name = "DIR")]
    federations: Option<PathBuf>,
    /// State folder of a node; may be given again.
    #[arg(long, value_name = "DIR")]
    node: Vec<PathBuf>,
    /// Copy private keys, too: whoever has the copy can sign as this machine.
    #[arg(long)]
    keys: bool,
}

impl Backup {
    /// Copies or checks.
    pub(crate) fn execute(self) -> Outcome {
        if self.check {
            said(&self.dir, &backup::check(&self.dir)?);
            return Ok(());
        }
        let copied = backup::copy(&self.sources()?, &self.dir)?;
        told(&self.dir, &copied);
        Ok(())
    }

    /// The folders, those that were named and those that are there.
    fn sources(&self) -> Outcome<Sources> {
        let home = places::home()?;
        let usual = |given: &Option<PathBuf>, usual: PathBuf| match given {
            Some(given) => existing(given).map(Some),
            None => Ok(usual.is_dir().then_some(usual)),
        };
        Ok(Sources {
            registry: self.registry(&home)?,
            federations: usual(&self.federations, home.join("federations"))?,
            runs: usual(&self.runs, Places::find().runs()?)?,
            nodes: self
                .node
                .iter()
                .map(|folder| existing(folder))
                .collect::<Outcome<_>>()?,
            home: Some(home),
            keys: self.keys,
        })
    }
}

impl Backup {
    /// The registry, where it is named or there.
    fn registry(&self, home: &Path) -> Outcome<Option<RegistryPlace>> {
        let place = RegistryPlace::or(self.registry.as_deref(), || Ok(places::registry(home)))?;
        match &self.registry {
            Some(_) => existing(&place.folder).map(|_| Some(place)),
            None => Ok(place.folder.is_dir().then_some(place)),
        }
    }
}

/// A folder that was named, which must be there.
fn existing(folder: &Path) -> Outcome<PathBuf> {
    match folder.is_dir() {
        true => Ok(folder.to_owned()),
        false => Err(Failure::usage(format!(
            "{}: there is no such folder",
            folder.display()
        ))),
    }
}

fn told(dir: &Path, copied: &Copied) {
    let (files, bytes) = copied.files;
    output::line(format!(
        "{}: {files} files, {bytes} bytes, {} runs",
        dir.display(),
        copied.runs.len()
    ));
    for left in &copied.left {
        output::note(format_args!("fedseal: not copied: {left}"));
    }
    output::line(format!(
        "check it: fedseal backup --check {}",
        dir.display()
    ));
}

fn said(dir: &Path, checked: &Checked) {
    let Checked {
        created,
        keys,
        files: (files, bytes),
        runs,
        federations,
        registry,
    } = checked;
    let registry = match registry {
        true => "the registry",
        false => "no registry",
    };
    let keys = match keys {
        true => "private keys are in it",
        false => "no private key is in it",
    };
    output::line(format!(
        "{} of {created} is whole: {files} files, {bytes} bytes; {runs} runs, {federations} federations, \
         {registry}; {keys}",
        dir.display()
    ));
}

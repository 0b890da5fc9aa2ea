//! Reads what a run's folder and blobs hold.

use fedseal_adapter::{Adapter, Example};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;

use crate::error::{Error, Result};
use crate::rundir::{Plan, RunDir};
use fedseal_rules::experiment::{Experiment, MAX_EXPERIMENT};
use fedseal_rules::site::SiteRules;

/// Evidence by digest, wherever it is.
pub trait Held {
    /// The bytes of a blob.
    ///
    /// # Errors
    /// It is not there, or was changed.
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>>;
    /// Whether a blob is there.
    fn has(&self, digest: &Digest) -> bool;
}

impl Held for Blobs {
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        Ok(self.get(digest)?)
    }

    fn has(&self, digest: &Digest) -> bool {
        self.contains(digest)
    }
}

/// Reads the experiment of a run, by its pinned bytes.
///
/// # Errors
/// As [`experiment_text`]; [`Error::Rules`] for a text that is no experiment.
pub fn read_experiment(dir: &RunDir, plan: &Plan) -> Result<Experiment> {
    let text = experiment_text(dir, plan)?;
    let mut experiment = Experiment::parse(&text, &dir.experiment().display().to_string())?;
    experiment.site = experiment.site.map(SiteRules::as_kept);
    Ok(experiment)
}

/// Reads the experiment of a run from its blobs.
///
/// # Errors
/// A blob that is missing; [`Error::Rules`] for a text that is no experiment.
pub fn experiment_of(blobs: &Blobs, plan: &Plan) -> Result<Experiment> {
    let text = String::from_utf8(blobs.get(&plan.experiment)?)
        .map_err(|_| Error::tampered("experiment.toml", "is not UTF-8"))?;
    let mut experiment = Experiment::parse(&text, "experiment.toml")?;
    experiment.site = experiment.site.map(SiteRules::as_kept);
    Ok(experiment)
}

/// Reads experiment.toml, which must be the file that the plan names.
///
/// # Errors
/// [`Error::Tampered`] for another file; [`Error::Io`].
pub fn experiment_text(dir: &RunDir, plan: &Plan) -> Result<String> {
    let bytes = dir.read("experiment.toml", MAX_EXPERIMENT)?;
    let found = Digest::of(&bytes);
    if found != plan.experiment {
        return Err(Error::mismatch(
            "experiment.toml",
            "is not the file the run was made with",
            &plan.experiment,
            &found,
        ));
    }
    String::from_utf8(bytes).map_err(|_| Error::tampered("experiment.toml", "is not UTF-8"))
}

/// Reads an adapter blob.
pub fn read_adapter(blobs: &Blobs, digest: &Digest) -> Result<Adapter> {
    adapter_of(&blobs.get(digest)?, digest)
}

/// The adapter of these bytes; `digest` is what errors call it.
pub fn adapter_of(bytes: &[u8], digest: &Digest) -> Result<Adapter> {
    Adapter::from_bytes(bytes).map_err(|error| Error::tampered(format!("adapter {digest}"), error))
}

/// Reads a list of examples.
pub fn read_examples(blobs: &Blobs, digest: &Digest) -> Result<Vec<Example>> {
    Ok(canonical::from_slice(&blobs.get(digest)?)?)
}

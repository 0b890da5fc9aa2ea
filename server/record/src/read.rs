//! Reads what a run's folder and blobs hold.

use fedseal_adapter::{Adapter, Example};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;

use crate::error::{Error, Result};
use crate::rundir::{Plan, RunDir};
use fedseal_rules::experiment::{Experiment, MAX_EXPERIMENT};
use fedseal_rules::site::SiteRules;

/// Reads the experiment of a run, by its pinned bytes.
///
/// # Errors
/// [`Error::Tampered`] for a file that is not the one the plan names; [`Error::Io`].
pub fn read_experiment(dir: &RunDir, plan: &Plan) -> Result<Experiment> {
    let path = dir.experiment();
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
    let text =
        String::from_utf8(bytes).map_err(|_| Error::tampered("experiment.toml", "is not UTF-8"))?;
    let mut experiment = Experiment::parse(&text, &path.display().to_string())?;
    experiment.site = experiment.site.map(SiteRules::as_kept);
    Ok(experiment)
}

/// Reads an adapter blob.
pub fn read_adapter(blobs: &Blobs, digest: &Digest) -> Result<Adapter> {
    Adapter::from_bytes(&blobs.get(digest)?)
        .map_err(|error| Error::tampered(format!("adapter {digest}"), error))
}

/// Reads a list of examples.
pub fn read_examples(blobs: &Blobs, digest: &Digest) -> Result<Vec<Example>> {
    Ok(canonical::from_slice(&blobs.get(digest)?)?)
}

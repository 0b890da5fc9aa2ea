//! Reading experiment files, and the files of checks and site rules that they name.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::outside;

use super::{AdmissionConfig, Experiment, MAX_EXPERIMENT, locate, own, validate};
use crate::error::{Error, Result};
use crate::site::SiteRules;

impl Experiment {
    /// Reads and checks a file; its admission file, where it names one, is read too and its checks
    /// stand in the result as if they were inline.
    pub fn load(path: impl AsRef<Path>) -> Result<Experiment> {
        let path = path.as_ref();
        let text = text_of(path)?;
        let name = path.display().to_string();
        let mut experiment = Self::parse(&text, &name)?;
        let optimisers = experiment.optimisers();
        experiment.server = experiment.server.begun(&optimisers);
        validate::new_run(&experiment, &locate::Located::new(&text, &name))?;
        if !experiment.admission.file.is_empty() {
            let file = path
                .parent()
                .map_or_else(PathBuf::new, Path::to_path_buf)
                .join(&experiment.admission.file);
            let inner = read_admission(&file)?;
            experiment.admission.file.clear();
            experiment.admission.provenance = inner.provenance.or(experiment.admission.provenance);
            experiment.admission.behaviour = inner.behaviour.or(experiment.admission.behaviour);
        }
        if let Some(rules) = &mut experiment.site
            && !rules.file.is_empty()
        {
            let file = path
                .parent()
                .map_or_else(PathBuf::new, Path::to_path_buf)
                .join(&rules.file);
            let inner = read_site(&file)?;
            rules.file.clear();
            rules.allow.extend(inner.allow);
            rules
                .validate()
                .map_err(|(key, problem)| Error::Experiment {
                    file: path.display().to_string(),
                    line: None,
                    key: format!("site.{key}"),
                    problem: problem.into(),
                })?;
        }
        Ok(experiment)
    }

    /// Reads and checks an experiment from its text; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Experiment> {
        let mut experiment: Experiment = locate::parse(text, file)?;
        own::complete(&mut experiment, text);
        validate::experiment(&experiment, &locate::Located::new(text, file))?;
        Ok(experiment)
    }
}

/// The text of a file that somebody names: an experiment, or rules.
fn text_of(path: &Path) -> Result<String> {
    let bytes =
        outside::read_named(path, MAX_EXPERIMENT).map_err(|source| Error::io(path, source))?;
    String::from_utf8(bytes).map_err(|_| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "not UTF-8");
        Error::io(path, source)
    })
}

/// Reads and checks an admission.toml.
///
/// # Errors
/// [`Error::Io`]; [`Error::Experiment`] with file, line and key.
pub fn read_admission(path: &Path) -> Result<AdmissionConfig> {
    let text = text_of(path)?;
    let name = path.display().to_string();
    let config: AdmissionConfig = locate::parse(&text, &name)?;
    config.check(&locate::Located::new(&text, &name), "")?;
    Ok(config)
}

/// Reads and checks a site.toml.
///
/// # Errors
/// [`Error::Io`]; [`Error::Experiment`] with file, line and key.
pub fn read_site(path: &Path) -> Result<SiteRules> {
    let text = text_of(path)?;
    read_site_text(&text, &path.display().to_string())
}

/// Reads and checks the text of a site.toml; `name` is what errors call it.
///
/// # Errors
/// [`Error::Experiment`] with line and key.
pub fn read_site_text(text: &str, name: &str) -> Result<SiteRules> {
    let rules: SiteRules = locate::parse(text, name)?;
    let at = locate::Located::new(text, name);
    if !rules.file.is_empty() {
        return Err(at.error("file", "a site file names no other file"));
    }
    validate::site(&rules, &at, "")?;
    Ok(rules)
}

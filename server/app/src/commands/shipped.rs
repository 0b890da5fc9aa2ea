//! Shipped experiments: part of this program, so that a name is enough where no checkout is.

use std::path::{Path, PathBuf};

use fedseal_federation::Error;
use fedseal_rules::experiment::Experiment;

use crate::failure::Outcome;
use crate::places::Places;

/// Names and texts, in the order in which they are told.
const SHIPPED: [(&str, &str); 19] = [
    ("demo", include_str!("../../../../experiments/demo.toml")),
    ("tiny", include_str!("../../../../experiments/tiny.toml")),
    (
        "smollm2",
        include_str!("../../../../experiments/smollm2.toml"),
    ),
    ("paper", include_str!("../../../../experiments/paper.toml")),
    (
        "policies",
        include_str!("../../../../experiments/policies.toml"),
    ),
    (
        "adaptive",
        include_str!("../../../../experiments/adaptive.toml"),
    ),
    (
        "repairs",
        include_str!("../../../../experiments/repairs.toml"),
    ),
    (
        "neighbours",
        include_str!("../../../../experiments/neighbours.toml"),
    ),
    (
        "paper-embedded",
        include_str!("../../../../experiments/paper-embedded.toml"),
    ),
    (
        "paper-smollm2",
        include_str!("../../../../experiments/paper-smollm2.toml"),
    ),
    (
        "paper-7b",
        include_str!("../../../../experiments/paper-7b.toml"),
    ),
    (
        "neighbours-dirichlet",
        include_str!("../../../../experiments/neighbours-dirichlet.toml"),
    ),
    (
        "attacks",
        include_str!("../../../../experiments/attacks.toml"),
    ),
    (
        "lifespan",
        include_str!("../../../../experiments/lifespan.toml"),
    ),
    (
        "shares",
        include_str!("../../../../experiments/shares.toml"),
    ),
    ("rules", include_str!("../../../../experiments/rules.toml")),
    (
        "literature",
        include_str!("../../../../experiments/literature.toml"),
    ),
    (
        "clients",
        include_str!("../../../../experiments/clients.toml"),
    ),
    ("u2s", include_str!("../../../../experiments/u2s.toml")),
];

/// Names of the shipped experiments.
pub(super) fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// Reads an experiment: a file, or a shipped one by its name. A checkout's own file of that name, or
/// an installed one, comes before the one in this program.
///
/// # Errors
/// A file that is not there or is no experiment; a name that nothing is shipped under.
pub(super) fn load(given: &Path, places: &Places) -> Outcome<Experiment> {
    let plain = |name: &&str| !name.contains(['/', '\\', '.']);
    let Some(name) = given.to_str().filter(plain).filter(|_| !given.is_file()) else {
        return Ok(Experiment::load(given)?);
    };
    let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
        let known = SHIPPED.map(|(name, _)| name);
        return Err(Error::unknown("experiment", name, known).into());
    };
    let file = format!("{name}.toml");
    match places.experiments().map(|folder| folder.join(&file)) {
        Some(path) if path.is_file() => Ok(Experiment::load(path)?),
        _ => Ok(Experiment::parse(text, &file)?),
    }
}

/// The folder that an experiment's own files are relative to: that of its file.
pub(super) fn folder(given: &Path) -> PathBuf {
    given.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_is_shipped_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let mut there: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let mut shipped = SHIPPED.map(|(name, _)| name.to_owned()).to_vec();
        there.sort();
        shipped.sort();
        assert_eq!(there, shipped);
        for (name, text) in SHIPPED {
            let file = folder.join(format!("{name}.toml"));
            // A file that names others would not be whole in this program.
            let read = Experiment::load(&file).unwrap();
            assert_eq!(read, Experiment::parse(text, name).unwrap(), "{name}");
        }
    }
}

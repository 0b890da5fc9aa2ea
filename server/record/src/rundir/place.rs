//! The place of a run: its name, its address on a server, and the folders that a new one may have.

use std::fs;
use std::path::Path;

use super::RunDir;
use crate::error::{Error, Result};

/// Longest name of a run, bytes.
pub const MAX_NAME: usize = 128;

/// Name of a seed's folder before its number.
pub const SEED: &str = "seed-";

/// Whether a folder of this name can be a run: letters, digits, `.`, `_` and `-`, a letter or digit
/// first, [`MAX_NAME`] bytes at most. A server's addresses and a log's origin are made of it.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}

impl RunDir {
    /// The folder's name.
    pub fn name(&self) -> String {
        let named = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        named(&self.root)
            .or_else(|| fs::canonicalize(&self.root).ok().as_deref().and_then(named))
            .unwrap_or_else(|| "run".into())
    }

    /// The run's address, under which a server shows it: the folder's name, after `FOLDER~` for a
    /// seed of an experiment.
    pub fn address(&self) -> String {
        let name = self.name();
        let above = std::path::absolute(&self.root).ok();
        let above = above.as_deref().and_then(Path::parent);
        match above.and_then(Path::file_name) {
            Some(above) if name.starts_with(SEED) && is_name(&above.to_string_lossy()) => {
                format!("{}~{name}", above.to_string_lossy())
            }
            _ => name,
        }
    }

    /// Refuses a folder that a new run cannot have: one whose name no server shows and no log can
    /// have as its own, or one inside another run.
    ///
    /// # Errors
    /// [`Error::RunDir`], with the characters that are allowed.
    pub fn check_place(&self) -> Result<()> {
        let name = self.name();
        if !is_name(&name) {
            return Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!(
                    "{name:?} cannot be the name of a run: expected letters a to z and A to Z, \
                     digits, `.`, `_` and `-`, a letter or digit first, {MAX_NAME} at most; --out \
                     names another folder"
                ),
            });
        }
        let path = std::path::absolute(&self.root).map_err(|e| Error::io(&self.root, e))?;
        let run = path.ancestors().skip(1).map(RunDir::new);
        match run
            .into_iter()
            .find(|dir| dir.plan().is_file() && dir.log().is_dir())
        {
            Some(run) => Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!(
                    "{} is a run, and its files are evidence; choose a folder outside of it",
                    run.root.display()
                ),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_new_runs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| RunDir::new(dir.path().join(path)).check_place();
        let long = "a".repeat(MAX_NAME);
        for good in ["demo", "demo-2", "2026.run_1", "x/seed-1", &long] {
            at(good).unwrap();
        }
        let longer = format!("{long}a");
        for bad in [
            "a b", ".hidden", "-x", "a+b", "r\u{fc}n", "a~b", "a:b", &longer,
        ] {
            let text = at(bad).unwrap_err().to_string();
            assert!(text.contains("letters a to z"), "{bad}: {text}");
        }
        let address = |path: &str| RunDir::new(dir.path().join(path)).address();
        assert_eq!(address("demo"), "demo");
        assert_eq!(address("demo/seed-1"), "demo~seed-1");
        assert_eq!(address("demo/other"), "other");
        // Inside of a run there is no other one.
        fs::create_dir_all(dir.path().join("demo/log")).unwrap();
        fs::write(dir.path().join("demo/run.json"), "{}").unwrap();
        let text = at("demo/deep/er").unwrap_err().to_string();
        assert!(text.contains("is a run"), "{text}");
        at("demo").unwrap();
    }
}

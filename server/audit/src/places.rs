//! Default locations of files, unless an argument gives another.
//!
//! Inside a checkout they are the checkout's own folders. Elsewhere they are the platform's: data for
//! runs and models, cache for compiled modules, configuration for keys. What was installed with the
//! program is read from `share/fedseal` beside the program's folder, and never written.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use fedseal_client_sdk::keys::TrustStore;

use crate::failure::{Failure, Outcome};

/// The name of our folder in each of the platform's.
const NAME: &str = "fedseal";

/// Folders that together tell a checkout from somebody's project.
const CHECKOUT: [&str; 3] = ["experiments", "policies", "guest"];

/// The folders of this machine, and of this checkout where the program was started in one.
#[derive(Debug, Clone)]
pub struct Places {
    checkout: Option<PathBuf>,
    share: Option<PathBuf>,
}

impl Places {
    /// Looks upwards from the current folder for a checkout; for what was installed at
    /// `FEDSEAL_SHARE`, else beside this program.
    pub fn find() -> Self {
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let program = env::current_exe().ok();
        Places {
            checkout: checkout(&here).map(Path::to_owned),
            share: set("FEDSEAL_SHARE").or_else(|| beside(program.as_deref()?)),
        }
    }

    /// The checkout, where this is one.
    pub fn checkout(&self) -> Option<&Path> {
        self.checkout.as_deref()
    }

    /// The checkout, for what is done in one only.
    ///
    /// # Errors
    /// The current folder is in no checkout.
    pub fn needed_checkout(&self) -> Outcome<&Path> {
        self.checkout().ok_or_else(|| {
            Failure::usage("the current folder is in no checkout of fedseal")
                .hint("Change into one, or name the folder.")
        })
    }

    /// Runs, one folder each.
    ///
    /// # Errors
    /// There is no folder of the user's.
    pub fn runs(&self) -> Outcome<PathBuf> {
        self.data("runs")
    }

    /// Fetched models.
    ///
    /// # Errors
    /// There is no folder of the user's.
    pub fn models(&self) -> Outcome<PathBuf> {
        self.data("models")
    }

    /// Fetched models: the given folder, else [`Places::models`].
    ///
    /// # Errors
    /// There is no folder of the user's.
    pub fn models_or(&self, given: Option<&Path>) -> Outcome<PathBuf> {
        given.map_or_else(|| self.models(), |given| Ok(given.to_owned()))
    }

    /// A folder of the checkout's, else of the user's data.
    fn data(&self, name: &str) -> Outcome<PathBuf> {
        match &self.checkout {
            Some(root) => Ok(root.join(name)),
            None => Ok(platform()?.data_dir().join(NAME).join(name)),
        }
    }

    /// Cargo's target folder, in a checkout.
    pub fn target(&self) -> Option<PathBuf> {
        let root = self.checkout.as_ref()?;
        let given = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        Some(given.unwrap_or_else(|| root.join("target")))
    }

    /// Signed modules: those that the checkout built, else those that were installed.
    ///
    /// # Errors
    /// There is no folder of the user's, and nothing was installed.
    pub fn policies(&self) -> Outcome<PathBuf> {
        match (self.target(), &self.share) {
            (Some(target), _) => Ok(target.join("policies")),
            (None, Some(share)) => Ok(share.join("policies")),
            (None, None) => self.data("policies"),
        }
    }

    /// The module with which browsers check proofs: the one that the checkout built, else the installed one.
    /// It need not be there.
    pub fn verifier(&self) -> Option<PathBuf> {
        let folder = self.target().or_else(|| self.share.clone());
        Some(folder?.join("verifier.wasm"))
    }

    /// Keys that signed the installed modules, in `trusted.toml` beside them. Whoever can write that
    /// file can write the program, so they are trusted as it is, unless this machine's own trust file
    /// revokes them. None in a checkout, whose modules its developer signs.
    ///
    /// # Errors
    /// A file that is no trust file.
    pub fn installed_keys(&self) -> Outcome<TrustStore> {
        let file = match (&self.checkout, &self.share) {
            (None, Some(share)) => share.join("trusted.toml"),
            _ => return Ok(TrustStore::default()),
        };
        match file.exists() {
            true => Ok(TrustStore::load(&file)?),
            false => Ok(TrustStore::default()),
        }
    }

    /// Shipped experiments as files: the checkout's, else the installed ones.
    pub fn experiments(&self) -> Option<PathBuf> {
        let folder = self.checkout.as_ref().or(self.share.as_ref())?;
        Some(folder.join("experiments"))
    }

    /// Compiled modules: beside the keys in a checkout and where `FEDSEAL_HOME` names their folder,
    /// else in the user's cache.
    ///
    /// # Errors
    /// There is no folder of the user's.
    pub fn compiled(&self) -> Outcome<PathBuf> {
        let folder = match self.checkout.is_some() || set("FEDSEAL_HOME").is_some() {
            true => home()?,
            false => platform()?.cache_dir().join(NAME),
        };
        Ok(folder.join("compiled"))
    }

    /// Tools for guests in other languages: `FEDSEAL_GUEST_TOOLS`, else below target, where
    /// `cargo xtask` installs them.
    pub fn guest_tools(&self) -> Option<PathBuf> {
        set("FEDSEAL_GUEST_TOOLS").or_else(|| Some(self.target()?.join("guest-tools")))
    }

    /// Measured figures, which a checkout keeps.
    pub fn figures(&self) -> Option<PathBuf> {
        Some(self.target()?.join("figures"))
    }
}

/// The checkout around a folder.
fn checkout(here: &Path) -> Option<&Path> {
    here.ancestors()
        .find(|folder| CHECKOUT.iter().all(|name| folder.join(name).is_dir()))
}

/// Folder that was installed with a program: `PREFIX/share/fedseal` of `PREFIX/bin/PROGRAM`. Beside a
/// program elsewhere anybody may have made such a folder, and its keys are trusted.
fn beside(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    let installed = ["bin", "Scripts"].iter().any(|name| bin.ends_with(name));
    let share = bin.parent()?.join("share").join(NAME);
    (installed && share.is_dir() && same_owner(program, &share)).then_some(share)
}

/// Whether a folder belongs to whom the program belongs to, or to the system's administrator.
#[cfg(unix)]
fn same_owner(program: &Path, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: &Path| path.metadata().map(|it| it.uid());
    match (owner(program), owner(folder)) {
        (_, Ok(0)) => true,
        (Ok(program), Ok(folder)) => program == folder,
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_owner(_program: &Path, _folder: &Path) -> bool {
    true
}

/// A variable that is set to something.
fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The platform's folders of this user.
fn platform() -> Outcome<impl BaseStrategy> {
    etcetera::choose_base_strategy().map_err(|_| {
        Failure::usage("this user has no home folder")
            .hint("Set HOME, or name the folder by an option.")
    })
}

/// The folder of the registry of submitted modules, next to the keys.
pub fn registry(home: &Path) -> PathBuf {
    home.join("registry")
}

/// The run whose folder holds this path, at any depth, if one does. The path need not exist.
pub fn run_around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    // Links are resolved as far as there is something.
    let there = path.ancestors().find_map(|part| part.canonicalize().ok())?;
    let run = |folder: &&Path| folder.join("run.json").is_file();
    there.ancestors().find(run).map(Path::to_owned)
}

/// The folder of keys: `FEDSEAL_HOME`, else `fedseal` in the user's configuration folder. It is
/// made at first use, for its owner alone.
pub fn home() -> Outcome<PathBuf> {
    let home = match set("FEDSEAL_HOME") {
        Some(home) => home,
        None => platform()?.config_dir().join(NAME),
    };
    if !home.is_dir() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&home).map_err(|error| {
            Failure::io(&home, &error).hint("FEDSEAL_HOME names another folder.")
        })?;
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::keys::SigningKey;

    fn folders(root: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir_all(root.join(name)).unwrap();
        }
    }

    #[test]
    fn a_checkout_is_found_from_below_and_keeps_its_own_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("fedseal");
        folders(&root, &["experiments", "policies", "guest", "docs/figures"]);
        assert_eq!(checkout(&root.join("docs/figures")), Some(root.as_path()));
        assert_eq!(checkout(dir.path()), None);
        // Somebody's project may have folders of such names.
        folders(dir.path(), &["mine/experiments", "mine/policies"]);
        assert_eq!(checkout(&dir.path().join("mine")), None);
        let places = Places {
            checkout: Some(root.clone()),
            share: Some(dir.path().join("share")),
        };
        assert_eq!(places.runs().unwrap(), root.join("runs"));
        assert_eq!(places.models().unwrap(), root.join("models"));
        assert_eq!(places.experiments(), Some(root.join("experiments")));
        assert!(places.policies().unwrap().ends_with("policies"));
        assert!(
            !places
                .policies()
                .unwrap()
                .starts_with(dir.path().join("share"))
        );
        assert!(places.installed_keys().unwrap().keys.is_empty());
        assert!(places.figures().is_some());
    }

    #[test]
    fn what_was_installed_lies_beside_the_program() {
        let prefix = tempfile::tempdir().unwrap();
        let (prefix, program) = (prefix.path(), prefix.path().join("bin/fedseal"));
        assert_eq!(beside(&program), None);
        folders(prefix, &["bin", "share/fedseal/policies"]);
        std::fs::write(&program, "").unwrap();
        // Only where programs are installed: `/tmp/x/fedseal` has no `/tmp/share`.
        assert_eq!(beside(&prefix.join("x/fedseal")), None);
        let share = prefix.join("share/fedseal");
        assert_eq!(beside(&program), Some(share.clone()));
        let places = Places {
            checkout: None,
            share: Some(share.clone()),
        };
        assert_eq!(places.policies().unwrap(), share.join("policies"));
        assert!(places.figures().is_none() && places.target().is_none());
        assert!(places.needed_checkout().is_err());
        // Runs and models are the user's, and never lie in what was installed.
        for folder in [places.runs().unwrap(), places.models().unwrap()] {
            assert!(!folder.starts_with(prefix), "{}", folder.display());
        }
        assert!(places.installed_keys().unwrap().keys.is_empty());
        let mut builder = TrustStore::default();
        builder.add("builder", SigningKey::from_seed([6; 32]).public());
        builder.save(share.join("trusted.toml")).unwrap();
        assert_eq!(places.installed_keys().unwrap(), builder);
    }
}

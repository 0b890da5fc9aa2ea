//! Default locations of files, unless an argument gives another.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The folders of this machine and this checkout.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Looks upwards from the current folder for a checkout (a folder that holds `experiments`
    /// and `policies`); without one the current folder itself is used.
    pub fn find() -> Self {
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let root = here
            .ancestors()
            .find(|folder| folder.join("experiments").is_dir() && folder.join("policies").is_dir())
            .unwrap_or(&here);
        Places {
            root: root.to_owned(),
        }
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs, one folder each.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Fetched models.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Cargo's target folder.
    pub fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// Built and signed modules.
    pub fn policies(&self) -> PathBuf {
        self.target().join("policies")
    }

    /// Tools for guests in other languages: `FEDSEAL_GUEST_TOOLS`, else below target, where
    /// `cargo xtask` installs them.
    pub fn guest_tools(&self) -> PathBuf {
        env::var_os("FEDSEAL_GUEST_TOOLS")
            .map_or_else(|| self.target().join("guest-tools"), PathBuf::from)
    }

    /// Measured figures.
    pub fn figures(&self) -> PathBuf {
        self.target().join("figures")
    }
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
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("FEDSEAL_HOME")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("fedseal")))
        .or_else(|| set("HOME").map(|folder| folder.join(".config/fedseal")))
        .ok_or_else(|| {
            Failure::usage("there is no folder for keys: neither FEDSEAL_HOME nor HOME is set")
        })?;
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

//! The folder of an adapter while it is made: one training's alone, and nobody else's files in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::commands::base;
use crate::failure::{Failure, Outcome};

/// The checkpoint's name in the folder of the adapter.
const CHECKPOINT: &str = "checkpoint.bin";
/// The record of how an adapter was made.
pub(super) const RECORD: &str = "tune.json";
/// Files that only a training which did not end leaves.
const LEFT: [&str; 6] = [
    CHECKPOINT,
    "checkpoint.tmp",
    "tune.tmp",
    "README.tmp",
    "adapter_model.tmp",
    "adapter_config.tmp",
];
/// Files of an adapter: a training's own beside one of [`LEFT`], else somebody's.
const ADAPTER: [&str; 4] = [
    "adapter_model.safetensors",
    "adapter_config.json",
    base::CARD,
    base::FOLDER,
];

/// The folder, which no other training writes into as long as this lives.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // They go only while they are empty.
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Folder {
    /// Makes the folder and keeps other trainings out of it. One that was made for nothing goes when the
    /// lock does.
    pub(super) fn lock(path: &Path) -> Outcome<Self> {
        let failed = |error: io::Error| Failure::io(path, &error);
        let missing = path.ancestors().take_while(|path| {
            let named = !path.as_os_str().is_empty();
            named && path.symlink_metadata().is_err()
        });
        let made = missing.map(Path::to_owned).collect();
        fs::create_dir_all(path).map_err(failed)?;
        let folder = File::open(path).map_err(failed)?;
        match folder.try_lock() {
            Ok(()) if is_still(&folder, path) => Ok(Self {
                path: path.to_owned(),
                _lock: folder,
                made,
            }),
            Ok(()) | Err(TryLockError::WouldBlock) => {
                let name = path.display();
                let failure = Failure::new(format!("{name}: another training is writing into it"));
                Err(failure.hint("Wait for it, or name another folder with --out."))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file of this name.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Path of the checkpoint.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Refuses a folder with an adapter or a checkpoint in it, which nobody writes over by accident, and one
    /// that holds anything else.
    pub(super) fn check(&self, resume: bool) -> Outcome {
        let name = self.path.display();
        if self.file(RECORD).exists() {
            let failure = Failure::usage(format!("{name}: there is a finished adapter already"));
            return Err(failure.hint("Name another folder with --out."));
        }
        let checkpoint = self.checkpoint().exists();
        if checkpoint && !resume {
            let failure = Failure::usage(format!("{name}: there is an unfinished training"));
            return Err(
                failure.hint("--resume goes on with it; or name another folder with --out.")
            );
        }
        // Whoever resumes has the folder of the training, with whatever was put beside it.
        if checkpoint {
            return Ok(());
        }
        let failed = |error: io::Error| Failure::io(&self.path, &error);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let begun = LEFT.iter().any(|left| self.file(left).exists());
        for entry in entries {
            let other = entry.map_err(failed)?.file_name();
            let is = |names: &[&str]| names.iter().any(|own| other == *own);
            let own = is(&LEFT) || (begun && is(&ADAPTER));
            if !own {
                let other = other.to_string_lossy();
                let failure = Failure::usage(format!(
                    "{name}: holds {other}, which no unfinished training left"
                ));
                return Err(failure.hint("Name a new or an empty folder with --out."));
            }
        }
        Ok(())
    }

    /// Removes the files of an adapter: nobody is to take half of one for it.
    pub(super) fn clear(&self) {
        for file in ADAPTER {
            let _ = fs::remove_file(self.file(file));
        }
        let _ = fs::remove_dir_all(self.file(base::FOLDER));
    }

    /// Adds to the failure of a write into the folder what there is to go on from.
    pub(super) fn unwritten(&self, failure: Failure) -> Failure {
        failure.hint(match self.checkpoint().exists() {
            true => "Make room, then --resume goes on from the last checkpoint.",
            false => "Make room, then run it again; there is no checkpoint yet.",
        })
    }
}

/// Whether an open folder is still the one at this path.
fn is_still(folder: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let place = |it: fs::Metadata| (it.dev(), it.ino());
        let here = path.metadata().map(place).ok();
        here.is_some() && folder.metadata().map(place).ok() == here
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        path.is_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn one_training_holds_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/out");
        let folder = Folder::lock(&path).unwrap();
        let second = Folder::lock(&path).err().unwrap().to_string();
        assert!(
            second.contains("another training is writing into it"),
            "{second}"
        );
        drop(folder);
        assert!(
            names(dir.path()).is_empty(),
            "folders that were made for nothing"
        );
        let folder = Folder::lock(&path).unwrap();
        fs::write(folder.file("kept"), "").unwrap();
        drop(folder);
        assert_eq!(names(&path), ["kept"]);
    }

    #[test]
    fn a_folder_is_taken_for_what_is_in_it() {
        let check = |files: &[&str], resume: bool| {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::lock(dir.path()).unwrap();
            for file in files {
                fs::write(folder.file(file), "").unwrap();
            }
            folder.check(resume).map_err(|failure| failure.to_string())
        };
        assert_eq!(check(&[], false), Ok(()));
        // A training that ended before its first checkpoint leaves these.
        assert_eq!(check(&["checkpoint.tmp"], false), Ok(()));
        assert_eq!(
            check(&["tune.tmp", "adapter_config.json", "README.md"], false),
            Ok(())
        );
        assert_eq!(check(&["checkpoint.bin", "thesis.txt"], true), Ok(()));
        for (files, resume, said) in [
            (&["tune.json"][..], false, "a finished adapter"),
            (&["tune.json"], true, "a finished adapter"),
            (&["checkpoint.bin"], false, "--resume"),
            (&["thesis.txt"], true, "holds thesis.txt"),
            (&["adapter_config.json"], false, "holds adapter_config.json"),
            (&["checkpoint.tmp", "other"], false, "holds other"),
        ] {
            let refused = check(files, resume).unwrap_err();
            assert!(refused.contains(said), "{files:?}: {refused}");
        }
    }

    #[test]
    fn the_hint_of_a_full_disk_is_true() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        fs::create_dir(folder.file(base::FOLDER)).unwrap();
        for file in ["adapter_model.safetensors", "base/config.json"] {
            fs::write(folder.file(file), "half").unwrap();
        }
        folder.clear();
        assert!(names(dir.path()).is_empty());
        let said = || folder.unwritten(Failure::new("full")).to_string();
        assert!(said().contains("no checkpoint yet"), "{}", said());
        fs::write(folder.checkpoint(), "").unwrap();
        assert!(said().contains("--resume goes on"), "{}", said());
    }
}

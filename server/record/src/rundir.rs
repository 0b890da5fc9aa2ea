//! A run's folder: its files, how they are written, and `run.json`, the plan that the log's first
//! entry pins.
//!
//! ```text
//! run.json          the plan (also a blob; its digest is in the first log entry)
//! experiment.toml   the experiment, every key (also a blob; its digest is in run.json)
//! log/              the Merkle log: checkpoint, tiles, entries
//! blobs/aa/SHA256   adapters, envelopes, transcripts, shards, modules, answers, report
//! report.json       the report; at the end equal to its blob
//! events.jsonl      the live feed; its digest is in the final report
//! ```
//!
//! A run's folder may come from anybody: its files are read through [`RunDir::read`],
//! [`RunDir::digest`] and the ledger's readers, which open regular files only, follow no link and read
//! no more than the bounds here.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Seed};
use fedseal_client_sdk::keys::{Moment, PublicKey, TrustStore};
use fedseal_client_sdk::outside;
use fedseal_rules::formulas::Versions;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Version of the folder's layout.
pub const FORMAT: u32 = 1;

/// Version of how a run is counted and named. Since version 1 its report counts failures apart and says
/// what changed nothing, and its log's origin names its node's key. An older run is checked by the
/// rules of its time.
pub const FORMULAS: u32 = 1;

/// Longest name of a run, bytes.
pub const MAX_NAME: usize = 128;
/// Longest run.json that is read, bytes: 50,000 clients.
pub const MAX_PLAN: u64 = 32 << 20;

/// Longest report.json, bytes.
pub const MAX_REPORT: u64 = 256 << 20;

/// Longest events.jsonl, bytes. It is hashed in pieces.
pub const MAX_EVENTS: u64 = 1 << 30;

/// Names in a run's own folder, at most.
const MOST_NAMES: usize = 1000;

/// A registered module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModule {
    /// Its name.
    pub name: String,
    /// Its Wasm bytes, a blob.
    pub digest: Digest,
    /// Its signature, a blob.
    pub envelope: Digest,
    /// Its author.
    pub signer: PublicKey,
}

/// A client's module and the data that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The module.
    pub module: Digest,
    /// The registered shard, a blob.
    pub shard: Digest,
    /// Examples in the shard.
    pub examples: u32,
    /// Literal examples handed in next to the module, a blob.
    pub attachment: Option<Digest>,
}

/// One client of the experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedClient {
    /// Its name.
    pub client: ClientId,
    /// Its key.
    pub key: PublicKey,
    /// `benign`, or the kind of its attack. The experimenter's knowledge, which no check sees.
    pub kind: String,
    /// Its assignment in the clean arm.
    pub honest: Assignment,
    /// Its assignment in the attacked arms; equal to `honest` for a benign client.
    pub attacked: Assignment,
}

/// Plan of a run, fixed when the run is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// [`FORMULAS`] when it was made; 0, and not written, before there was more than one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub formulas: u32,
    /// The name of the folder it was made in.
    pub run: String,
    /// When, RFC 3339, UTC.
    pub created: String,
    /// The seed.
    pub seed: Seed,
    /// The log's origin line.
    pub origin: String,
    /// The node's key: signs attestations and checkpoints.
    pub node: PublicKey,
    /// Module authors that the node trusts.
    pub authors: TrustStore,
    /// experiment.toml.
    pub experiment: Digest,
    /// The base.
    pub base: Digest,
    /// Its name.
    pub base_name: String,
    /// Fingerprint of the engine, on which every adapter's bits depend.
    pub engine: String,
    /// The first global adapter, a blob.
    pub initial: Digest,
    /// The modules.
    pub modules: Vec<PlannedModule>,
    /// The clients, by index.
    pub clients: Vec<PlannedClient>,
    /// Versions of the formulas that it uses; left out in runs from before they were recorded.
    #[serde(default, skip_serializing_if = "Versions::is_empty")]
    pub versions: Versions,
    /// The sealed canaries; a blob once they are opened.
    pub canaries: Digest,
    /// The evaluation prompts, a blob.
    pub evaluation: Digest,
}

fn is_first(formulas: &u32) -> bool {
    *formulas == 0
}

impl Plan {
    /// Whether its report counts failures apart and says what changed nothing, and its log's origin
    /// names its key.
    pub fn counts_failures(&self) -> bool {
        self.formulas > 0
    }

    /// The client of that name, with its index.
    pub fn client(&self, name: &ClientId) -> Option<(usize, &PlannedClient)> {
        self.clients
            .iter()
            .enumerate()
            .find(|(_, client)| client.client == *name)
    }

    /// The name of a module.
    pub fn module_name(&self, digest: &Digest) -> Option<&str> {
        self.modules
            .iter()
            .find(|module| module.digest == *digest)
            .map(|module| module.name.as_str())
    }

    /// The authors whose modules could be registered when the run was made.
    pub fn trusted_authors(&self) -> Vec<PublicKey> {
        self.authors.keys_at(&Moment {
            time: &self.created,
            entry: None,
        })
    }

    /// Who signed a module.
    pub fn signer(&self, digest: &Digest) -> Result<PublicKey> {
        self.modules
            .iter()
            .find(|module| module.digest == *digest)
            .map(|module| module.signer)
            .ok_or_else(|| {
                Error::tampered(format!("module {digest}"), "is not registered in this run")
            })
    }

    /// Assignment of a client in an arm.
    pub fn assignment(client: &PlannedClient, attacked: bool) -> &Assignment {
        if attacked {
            &client.attacked
        } else {
            &client.honest
        }
    }

    /// Kind of a client in an arm, or `benign` where it is honest.
    pub fn kind(client: &PlannedClient, attacked: bool) -> &str {
        if attacked { &client.kind } else { "benign" }
    }
}

/// Paths of a run's folder.
#[derive(Debug, Clone)]
pub struct RunDir {
    /// The folder.
    pub root: PathBuf,
}

impl RunDir {
    /// The paths of `root`; nothing is read.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        RunDir { root: root.into() }
    }

    /// `run.json`.
    pub fn plan(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// `experiment.toml`.
    pub fn experiment(&self) -> PathBuf {
        self.root.join("experiment.toml")
    }

    /// The log's folder.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The blobs' folder.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// `report.json`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// `events.jsonl`.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

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

    /// Locks the folder itself for as long as the file is open, so that nothing has to be written before
    /// this process owns the folder. Two processes never write one folder.
    ///
    /// # Errors
    /// [`Error::RunDir`] when another process holds it.
    pub fn lock(&self) -> Result<File> {
        lock(&self.root, &self.root)
    }

    /// Locks `run.json`, where servers look for whether somebody works on the run.
    ///
    /// # Errors
    /// As [`RunDir::lock`].
    pub fn lock_plan(&self) -> Result<File> {
        lock(&self.plan(), &self.root)
    }

    /// Reads a file of the folder: a regular one, of at most so many bytes.
    ///
    /// # Errors
    /// [`Error::Io`] with its path.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        outside::read(&self.root, name, most)
            .map_err(|source| Error::io(self.root.join(name), source))
    }

    /// The digest of a file of the folder, as [`RunDir::read`] finds it. It is not held in memory.
    ///
    /// # Errors
    /// [`Error::Io`] with its path.
    pub fn digest(&self, name: &str, most: u64) -> Result<Digest> {
        outside::digest(&self.root, name, most)
            .map_err(|source| Error::io(self.root.join(name), source))
    }

    /// Every name in the folder, in order.
    ///
    /// # Errors
    /// [`Error::Io`], also for more names than any run has.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = outside::names(&self.root, MOST_NAMES)
            .map_err(|source| Error::io(&self.root, source))?;
        let names = names.iter().map(|entry| entry.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    /// Reads the plan, and checks that log and blobs are in the folder, not elsewhere.
    ///
    /// # Errors
    /// [`Error::RunDir`] where no run is; [`Error::Io`] for a file or folder that is something else.
    pub fn read_plan(&self) -> Result<Plan> {
        let bytes = match self.read("run.json", MAX_PLAN) {
            Ok(bytes) => bytes,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::RunDir {
                    dir: self.root.clone(),
                    problem: "no run is here (run.json is missing)".into(),
                });
            }
            Err(other) => return Err(other),
        };
        for name in ["log", "blobs"] {
            if let Err(source) = outside::folder(&self.root, name)
                && outside::is_unfit(&source)
            {
                return Err(Error::io(self.root.join(name), source));
            }
        }
        let plan: Plan = canonical::from_slice(&bytes)?;
        if plan.format != FORMAT {
            return Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!("format {} of run.json is not {FORMAT}", plan.format),
            });
        }
        if plan.formulas > FORMULAS {
            return Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!(
                    "made by a newer fedseal (formulas {} of run.json, known here up to {FORMULAS})",
                    plan.formulas
                ),
            });
        }
        Ok(plan)
    }
}

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

fn lock(path: &Path, dir: &Path) -> Result<File> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::RunDir {
            dir: dir.to_owned(),
            problem: "another process is working on this run".into(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(Error::io(path, source)),
    }
}

/// Writes a file so that a reader (and a restart after a crash) sees the old bytes or the new ones,
/// never a part: temporary file, fsync, rename, fsync of the folder.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            // A bare file name has the empty path as its parent.
            let here = folder.as_os_str().is_empty();
            File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|source| {
        // A file that a full disk cut short is of no use to anybody.
        let _ = fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// Removes what an interrupted [`write_atomically`] left.
pub fn remove_temporaries(root: &Path) -> Result<()> {
    let entries = fs::read_dir(root).map_err(|source| Error::io(root, source))?;
    for entry in entries {
        let path = entry.map_err(|source| Error::io(root, source))?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

/// Seconds since 1970 as RFC 3339, UTC. Days to dates after H. Hinnant, "chrono-compatible
/// low-level date algorithms".
pub fn rfc3339(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64;
    let rest = seconds % 86_400;
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Now, as [`rfc3339`].
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    rfc3339(since.map_or(0, |d| d.as_secs()))
}

/// Largest resident memory of this process so far, MiB; 0 where the system does not say.
pub fn peak_mb() -> f64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        })
        .map_or(0.0, |kib| kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

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

    #[test]
    fn atomic_write_replaces_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::write(dir.path().join("run.tmp"), b"torn").unwrap();
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

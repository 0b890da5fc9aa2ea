//! Runs to copy, and what is looked at of a folder before and after.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_federation::Error;
use fedseal_ledger::{Blobs, Log, LogReader, PACK_FROM};
use fedseal_record::events::Event;
use fedseal_rules::experiment::Experiment;

use super::double::{Double, create_from, experiment, options, resume};

/// Small runs of two nodes; each is made once and only ever copied.
pub(crate) struct World {
    dir: tempfile::TempDir,
    /// The key of the node that made all but the stranger's run.
    pub node: SigningKey,
    /// The records of the finished run.
    pub records: Vec<Record>,
}

/// Which run a case begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Finished.
    Tiny,
    /// Another experiment of the same node, finished.
    Other,
    /// This experiment on another node, finished.
    Strangers,
    /// Stopped in the middle.
    Half,
    /// Stopped before its first round.
    Begun,
    /// Stopped in the middle, gone on with and finished.
    Resumed,
}

impl Run {
    fn name(self) -> &'static str {
        match self {
            Run::Tiny => "tiny",
            Run::Other => "other",
            Run::Strangers => "strangers",
            Run::Half => "half",
            Run::Begun => "begun",
            Run::Resumed => "resumed",
        }
    }
}

fn small(seed: u64) -> Experiment {
    let mut small = experiment();
    small.seeds = vec![seed];
    small.federation.rounds = 2;
    small.arms = ["clean", "provenance"].map(String::from).to_vec();
    small
}

/// The runs, while any test has them.
static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());

impl World {
    /// The runs, made by the first test that asks.
    pub(crate) fn shared() -> Arc<World> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let made = Arc::new(World::new());
            *shared = Arc::downgrade(&made);
            made
        })
    }

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (own, foreign) = (options(dir.path()), options(&dir.path().join("elsewhere")));
        let place = |run: Run| dir.path().join(run.name());
        let on = &mut |_: &Event| ControlFlow::Continue(());
        let at_a_round = &mut |event: &Event| match event {
            Event::Round { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        for (run, seed, options) in [
            (Run::Tiny, 3, &own),
            (Run::Other, 4, &own),
            (Run::Strangers, 3, &foreign),
            (Run::Half, 3, &own),
            (Run::Begun, 3, &own),
            (Run::Resumed, 3, &own),
        ] {
            let mut made = create_from(&place(run), options, Double::new(), small(seed)).unwrap();
            match run {
                Run::Begun => {}
                Run::Half | Run::Resumed => {
                    let stopped = made.execute(at_a_round);
                    assert!(matches!(stopped, Err(Error::Interrupted)));
                }
                _ => drop(made.execute(on).unwrap()),
            }
        }
        let again = resume(&place(Run::Resumed), &own, Double::new());
        again.unwrap().execute(on).unwrap();
        store_anew(&place(Run::Tiny).join("blobs"));
        let node = SigningKey::load(own.keys.join("node.pem")).unwrap();
        let log = LogReader::open(place(Run::Tiny).join("log"), &node.public()).unwrap();
        let entries = log.entries().unwrap();
        let records = entries
            .iter()
            .map(|entry| Record::from_bytes(entry).unwrap());
        World {
            records: records.collect(),
            node,
            dir,
        }
    }

    pub(crate) fn folder(&self, run: Run) -> PathBuf {
        self.dir.path().join(run.name())
    }

    /// Writes a log of the finished run's first records anew, signed by its node.
    pub(crate) fn log_of(&self, records: &[Record], at: &Path) {
        let reader = LogReader::open(self.folder(Run::Tiny).join("log"), &self.node.public());
        let origin = reader.unwrap().checkpoint().origin.clone();
        let mut log = Log::create(at, &origin, self.node.clone()).unwrap();
        for record in records {
            log.append(&record.to_bytes().unwrap()).unwrap();
        }
        log.publish().unwrap();
    }
}

/// Stores the same blobs so that some share a file and some have their own, as it may have come.
fn store_anew(folder: &Path) {
    let old = folder.with_file_name("old");
    fs::rename(folder, &old).unwrap();
    let (from, to) = (Blobs::existing(&old).unwrap(), Blobs::open(folder).unwrap());
    let all: Vec<Vec<u8>> = from
        .iter()
        .unwrap()
        .map(|blob| from.get(&blob).unwrap())
        .collect();
    let (together, alone) = all.split_at(2 * PACK_FROM);
    for part in [together].into_iter().chain(alone.chunks(PACK_FROM - 1)) {
        to.put_many(part.iter().map(Vec::as_slice)).unwrap();
    }
    fs::remove_dir_all(old).unwrap();
}

/// Every path below a folder, in order; links are not followed.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        all.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            all.extend(below(&entry.path()));
        }
    }
    all.sort();
    all
}

/// The first file below a part of a folder.
pub(crate) fn first(folder: &Path, part: &str) -> PathBuf {
    let all = below(&folder.join(part));
    all.into_iter().find(|path| path.is_file()).unwrap()
}

/// A blob with a file of its own.
pub(crate) fn loose(run: &Path) -> PathBuf {
    let packs = run.join("blobs/packs");
    let blobs = below(&run.join("blobs"));
    let mut alone = blobs
        .into_iter()
        .filter(|path| path.is_file() && !path.starts_with(&packs));
    alone.next().unwrap()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in below(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        match path.is_dir() {
            true => fs::create_dir_all(to).unwrap(),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
}

/// Takes the right to write from a folder and all in it, or gives it back.
pub(crate) fn writable(folder: &Path, yes: bool) {
    let set = |path: &Path| {
        let mut mode = fs::metadata(path).unwrap().permissions();
        let bits = if yes {
            mode.mode() | 0o200
        } else {
            mode.mode() & !0o222
        };
        mode.set_mode(bits);
        fs::set_permissions(path, mode).unwrap();
    };
    set(folder);
    below(folder).iter().for_each(|path| set(path));
}

/// Longest file whose bytes are looked at; longer ones here are holes.
const LOOKED_AT: u64 = 1 << 20;

/// A folder's digest: names, kinds, modes, sizes, times, bytes, and where links lead.
pub(crate) fn tree(folder: &Path) -> Digest {
    let mut all = below(folder);
    all.push(folder.to_owned());
    let mut text = String::new();
    for path in all {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let holds = if kind.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if kind.is_file() && meta.len() <= LOOKED_AT {
            Digest::of(&fs::read(&path).unwrap()).to_string()
        } else {
            format!("{kind:?}")
        };
        text.push_str(&format!(
            "{path:?} {:o} {} {} {}.{} {holds}\n",
            meta.mode(),
            meta.len(),
            meta.blocks(),
            meta.mtime(),
            meta.mtime_nsec(),
        ));
    }
    Digest::of(text.as_bytes())
}

//! Writes during which something fails, and what must hold afterwards.

use std::path::Path;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_ledger::{Blobs, Log, LogReader, fsck};

use super::disk::Faulty;

const ORIGIN: &str = "fedseal.example/faults";
/// Entries there before, so that the appends reach over the end of a tile.
const BEFORE: u64 = 250;
/// Entries of each publish of a scene.
const PUBLISHES: [u64; 4] = [3, 7, 300, 1];
/// How often a step is tried again after a failure. One fault needs one more.
const TRIES: usize = 3;

fn key() -> SigningKey {
    SigningKey::from_seed([9; 32])
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}", "x".repeat((index % 17) as usize)).into_bytes()
}

fn blob(index: u64) -> Vec<u8> {
    format!("blob {index}").into_bytes()
}

/// One story, played from its beginning whatever is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A log is made and written to.
    Create,
    /// A log is opened and written to.
    Append,
    /// Blobs are stored, some a second time.
    Store,
}

impl Scene {
    pub(crate) const ALL: &'static [Scene] = &[Scene::Create, Scene::Append, Scene::Store];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scene::Create => "create",
            Scene::Append => "append",
            Scene::Store => "store",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        *Self::ALL.iter().find(|scene| scene.name() == name).unwrap()
    }

    /// Makes what is there before the scene.
    pub(crate) fn prepare(self, folder: &Path) {
        if self == Scene::Append {
            let mut log = Log::create(folder.join("log"), ORIGIN, key()).unwrap();
            for index in 0..BEFORE {
                log.append(&entry(index)).unwrap();
            }
            log.publish().unwrap();
        }
    }

    /// Plays it; `acknowledge` hears what is durable now.
    ///
    /// # Errors
    /// Any failure that occurs more often than one fault explains.
    pub(crate) fn play(
        self,
        folder: &Path,
        disk: &Arc<Faulty>,
        acknowledge: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        match self {
            Scene::Store => {
                let place = folder.join("blobs");
                let blobs = again(|| Blobs::open_injected(disk.clone(), &place))?;
                for index in [0, 1, 2, 1, 0, 3] {
                    let digest = again(|| blobs.put(&blob(index)))?;
                    disk.acknowledge();
                    acknowledge(&format!("blob {digest}"));
                }
                // A pack, the second time found.
                for _ in 0..2 {
                    for digest in again(|| put_many(&blobs, 2))? {
                        acknowledge(&format!("blob {digest}"));
                    }
                    disk.acknowledge();
                }
            }
            Scene::Create | Scene::Append => {
                let place = folder.join("log");
                let mut log = again(|| {
                    if place.join("checkpoint").exists() {
                        Log::open_injected(disk.clone(), &place, ORIGIN, key())
                    } else {
                        Log::create_injected(disk.clone(), &place, ORIGIN, key())
                    }
                })?;
                for count in PUBLISHES {
                    for _ in 0..count {
                        let next = log.size();
                        log.append(&entry(next)).map_err(|e| e.to_string())?;
                    }
                    let size = again(|| log.publish())?.size;
                    disk.acknowledge();
                    acknowledge(&format!("log {size}"));
                }
            }
        }
        Ok(())
    }
}

/// Stores so many blobs at once that they are packed.
fn put_many(blobs: &Blobs, first: u64) -> fedseal_ledger::Result<Vec<Digest>> {
    let all: Vec<Vec<u8>> = (0..20).map(|n| blob(1_000 * (first + 1) + n)).collect();
    blobs.put_many(all.iter().map(Vec::as_slice))
}

/// Tries a few times.
fn again<T>(mut attempt: impl FnMut() -> fedseal_ledger::Result<T>) -> Result<T, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Writes until it is killed: a blob, an entry, a checkpoint, the acknowledgement of both.
pub(crate) fn endless(folder: &Path, acknowledge: impl Fn(&str)) -> ! {
    let blobs = Blobs::open(folder.join("blobs")).unwrap();
    let mut log = Log::open(folder.join("log"), ORIGIN, key()).unwrap();
    loop {
        let digest = blobs.put(&blob(log.size())).unwrap();
        acknowledge(&format!("blob {digest}"));
        let packed = put_many(&blobs, log.size()).unwrap();
        acknowledge(&format!("blob {}", packed[7]));
        for _ in 0..1 + log.size() % 5 {
            let next = log.size();
            log.append(&entry(next)).unwrap();
        }
        let size = log.publish().unwrap().size;
        acknowledge(&format!("log {size}"));
    }
}

/// State on disk.
pub(crate) struct Ledger;

impl Ledger {
    /// How many entries the published checkpoint covers.
    pub(crate) fn size(folder: &Path) -> Result<u64, String> {
        let reader = LogReader::open(folder.join("log"), &key().public());
        Ok(reader.map_err(|e| e.to_string())?.size())
    }

    /// Everything that was acknowledged is there, the whole is in order, and a writer finds itself
    /// where the published checkpoint is, or ahead of it.
    pub(crate) fn check(folder: &Path, acknowledged: &[String]) -> Result<(), String> {
        let text = |error: fedseal_ledger::Error| error.to_string();
        let log = folder.join("log");
        let blobs = match folder.join("blobs") {
            place if place.exists() => Some(Blobs::open(place).map_err(text)?),
            _ => None,
        };
        if let Some(blobs) = &blobs {
            blobs.verify_all().map_err(text)?;
        }
        let mut least = 0;
        for line in acknowledged {
            match line.split_once(' ') {
                Some(("log", size)) => least = least.max(size.parse().unwrap()),
                Some(("blob", digest)) => {
                    let digest: Digest = digest.parse().unwrap();
                    let blobs = blobs.as_ref().ok_or("the blobs are gone")?;
                    blobs.get(&digest).map_err(text)?;
                }
                _ => return Err(format!("it said {line:?}")),
            }
        }
        if !log.join("checkpoint").exists() {
            return match least {
                0 => Ok(()),
                _ => Err("the log is gone".into()),
            };
        }
        let before = fsck(&log, &key().public()).map_err(text)?;
        let published = before.checkpoint;
        if published.size < least {
            let size = published.size;
            return Err(format!("{size} entries, {least} were acknowledged"));
        }
        let prepared = log.join("checkpoint.next").exists();
        let writer = Log::open(&log, ORIGIN, key()).map_err(text)?;
        // What was about to be shown is shown; without it the writer is where readers are.
        let place = writer.checkpoint();
        if *place != published && (!prepared || place.size <= published.size) {
            return Err("the writer is elsewhere than the published checkpoint".into());
        }
        for (index, found) in (0..).zip(writer.entries().map_err(text)?) {
            if found != entry(index) {
                return Err(format!("entry {index} is another"));
            }
        }
        drop(writer);
        let after = fsck(&log, &key().public()).map_err(text)?;
        match after.extra.as_slice() {
            [] => Ok(()),
            extra => Err(format!("left behind: {extra:?}")),
        }
    }
}

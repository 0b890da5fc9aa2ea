//! Nonces that were used: each counts once for its key.

use std::collections::{BTreeMap, HashSet};

use super::{MOST_AGE, MOST_AHEAD, Refusal};
use crate::digest::Digest;

/// Memory of nonces.
pub trait Nonces {
    /// Takes a nonce of a verified signature.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] for one that was taken, [`Refusal::BeforeStart`] for a signature that this
    /// memory cannot know of, [`Refusal::Busy`] when it is full.
    fn take(&mut self, keyid: &str, nonce: &str, created: i64, now: i64) -> Result<(), Refusal>;
}

/// Nonces in memory, until no signature that holds them would be taken. Signatures from before the start
/// are refused, so that a restart lets nothing pass twice.
#[derive(Debug)]
pub struct RecentNonces {
    start: i64,
    most: usize,
    taken: HashSet<Name>,
    /// Names by the time at which they are forgotten.
    ends: BTreeMap<i64, Vec<Name>>,
}

/// First half of the SHA-256 of key and nonce: a server of many nodes remembers hundreds of thousands.
type Name = [u8; 16];

fn name(keyid: &str, nonce: &str) -> Name {
    let digest = Digest::of_parts(&[keyid.as_bytes(), b"\0", nonce.as_bytes()]);
    let mut name = Name::default();
    for (half, byte) in name.iter_mut().zip(digest.0) {
        *half = byte;
    }
    name
}

impl RecentNonces {
    /// An empty memory of at most `most` nonces, from `start` on (Unix time, seconds).
    pub fn new(start: i64, most: usize) -> Self {
        RecentNonces {
            start,
            most,
            taken: HashSet::new(),
            ends: BTreeMap::new(),
        }
    }

    fn forget(&mut self, now: i64) {
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() < now) {
            for name in first.remove() {
                self.taken.remove(&name);
            }
        }
    }
}

impl Nonces for RecentNonces {
    fn take(&mut self, keyid: &str, nonce: &str, created: i64, now: i64) -> Result<(), Refusal> {
        self.forget(now);
        if created < self.start {
            return Err(Refusal::BeforeStart {
                created,
                start: self.start,
            });
        }
        let name = name(keyid, nonce);
        if self.taken.contains(&name) {
            return Err(Refusal::Replayed);
        }
        if self.taken.len() >= self.most {
            return Err(Refusal::Busy { most: self.most });
        }
        self.taken.insert(name);
        let end = created + MOST_AGE + MOST_AHEAD;
        self.ends.entry(end).or_default().push(name);
        Ok(())
    }
}

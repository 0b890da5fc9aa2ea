//! Nonces that were used: each counts once for its key.

use std::collections::{BTreeSet, HashMap};

use super::{MOST_AGE, MOST_AHEAD, Refusal};

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
    /// Ends by key and nonce.
    taken: HashMap<(String, String), i64>,
    /// Key and nonce by their ends.
    ends: BTreeSet<(i64, String, String)>,
}

impl RecentNonces {
    /// An empty memory of at most `most` nonces, from `start` on (Unix time, seconds).
    pub fn new(start: i64, most: usize) -> Self {
        RecentNonces {
            start,
            most,
            taken: HashMap::new(),
            ends: BTreeSet::new(),
        }
    }

    fn forget(&mut self, now: i64) {
        while self.ends.first().is_some_and(|(end, ..)| *end < now) {
            if let Some((_, keyid, nonce)) = self.ends.pop_first() {
                self.taken.remove(&(keyid, nonce));
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
        let name = (keyid.to_owned(), nonce.to_owned());
        if self.taken.contains_key(&name) {
            return Err(Refusal::Replayed);
        }
        if self.taken.len() >= self.most {
            return Err(Refusal::Busy { most: self.most });
        }
        let end = created + MOST_AGE + MOST_AHEAD;
        self.ends.insert((end, name.0.clone(), name.1.clone()));
        self.taken.insert(name, end);
        Ok(())
    }
}

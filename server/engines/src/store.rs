//! The contract of a store of blobs.

use fedseal_client_sdk::digest::Digest;

use crate::{Result, error};

/// Longest claim, bytes.
pub const MAX_CLAIM: usize = 16 << 10;

/// Refuses a claim that is longer than [`MAX_CLAIM`].
pub(crate) fn bounded(engine: &str, value: &[u8]) -> Result<()> {
    error::bounded(engine, "a claim", value, MAX_CLAIM)
}

/// Blobs by their digests, and claims: small values by names, each of which the first writer sets for good.
///
/// What was written is read by everybody at once (strong consistency) and survives the engine's death. Calls are
/// safe from several threads.
pub trait Store: Send + Sync {
    /// Keeps bytes under their digest. To keep the same again is no error.
    ///
    /// # Errors
    /// The store cannot be written.
    fn put(&self, bytes: &[u8]) -> Result<Digest>;

    /// The bytes of a digest, verified; none where there are none.
    ///
    /// # Errors
    /// The store cannot be read; [`Error::Corrupt`](crate::Error::Corrupt) for other bytes than the digest's.
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>>;

    /// Sets a claim, where nobody has; the value that stands, which is the first writer's. Of several at once
    /// one wins, and all get its value.
    ///
    /// # Errors
    /// The store cannot be written; a value longer than [`MAX_CLAIM`].
    fn claim(&self, name: &Name, value: &[u8]) -> Result<Vec<u8>>;

    /// The value of a claim; none where nobody has set it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn claimed(&self, name: &Name) -> Result<Option<Vec<u8>>>;
}

/// A claim's name: what it is about, and a number where there may be several. No name is the beginning of a
/// path to another: some stores take a key for a folder as soon as another key is below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// The claim of a `kind` (letters and `-`) about a digest.
    pub fn new(kind: &'static str, about: &Digest, number: u32) -> Self {
        debug_assert!(kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        Name(format!("{kind}-{about}-{number}"))
    }

    /// A name that came from another process.
    pub fn read(text: &str) -> Option<Name> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=160).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Name(text.to_owned()))
    }

    /// The name as text: `a-z`, `0-9` and `-`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

//! Evidence that a log showed two histories, which anybody checks offline with the log's key.

use serde::{Deserialize, Serialize};

use super::{Checkpoint, verify_consistency};
use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::{Error, Result};

/// Longest evidence, bytes.
pub const MAX_FORK: usize = 256 << 10;

const BOUNDS: Bounds = Bounds {
    bytes: MAX_FORK,
    structure: 4 << 20,
};

/// Two checkpoints of one log of which the later does not continue the earlier. That there is no proof of
/// consistency cannot be shown; that the later tree begins with another tree can: with its root at the size
/// of the earlier checkpoint, and the proof (RFC 6962, section 2.1.2) that leads from there to the later
/// root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The earlier checkpoint, a signed note.
    pub earlier: String,
    /// The later one, or another of the same size.
    pub later: String,
    /// Root of the later tree's first entries, as many as the earlier checkpoint has.
    pub root: Digest,
    /// Proof that the later tree begins with the tree of that root.
    pub proof: Vec<Digest>,
}

/// A fork that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forked {
    /// The log.
    pub origin: String,
    /// Entries that the earlier checkpoint covers.
    pub size: u64,
    /// Roots of so many entries: the earlier checkpoint's, and that of the later tree.
    pub roots: [Digest; 2],
    /// Entries of the later checkpoint.
    pub later: u64,
}

impl Fork {
    /// The evidence as a file: JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings always has a form.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads the bytes of a file; nothing is verified yet.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Invalid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Fork> {
        bounded::from_slice("evidence of a fork", bytes, &BOUNDS)
    }

    /// Checks that the holder of this key signed two histories of one log.
    ///
    /// # Errors
    /// [`Error::Invalid`] for two checkpoints that agree, or are of two logs; an error of a signature or
    /// of the proof.
    pub fn verify(&self, key: &PublicKey) -> Result<Forked> {
        let invalid = |detail: String| Error::Invalid {
            what: "evidence of a fork",
            detail,
        };
        let signed = |note: &str| {
            let origin = Checkpoint::parse(note)?.origin;
            Checkpoint::verify(note, &origin, key)
        };
        let (earlier, later) = (signed(&self.earlier)?, signed(&self.later)?);
        if earlier.origin != later.origin {
            return Err(invalid(format!(
                "its checkpoints are of two logs, {:?} and {:?}",
                earlier.origin, later.origin
            )));
        }
        if earlier.size > later.size {
            return Err(invalid(format!(
                "its earlier checkpoint has {} entries, the later one {}",
                earlier.size, later.size
            )));
        }
        let (size, root) = (earlier.size, self.root);
        verify_consistency(size, root, later.size, later.root, &self.proof)?;
        if root == earlier.root {
            return Err(invalid(
                "its later checkpoint continues the earlier one: that is one history".into(),
            ));
        }
        Ok(Forked {
            origin: later.origin,
            size,
            roots: [earlier.root, root],
            later: later.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::tlog::{leaf_hash, node_hash};

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn note(size: u64, root: Digest) -> String {
        let checkpoint = Checkpoint {
            origin: "example.com/log".into(),
            size,
            root,
        };
        checkpoint.sign(&key()).unwrap()
    }

    /// A log of one entry, and another of two that begins otherwise.
    fn fork() -> Fork {
        let [a, b, c] = [b"a", b"b", b"c"].map(|entry| leaf_hash(entry));
        Fork {
            earlier: note(1, a),
            later: note(2, node_hash(&b, &c)),
            root: b,
            proof: vec![c],
        }
    }

    #[test]
    fn two_histories_are_proved() {
        let found = Fork::from_bytes(&fork().to_bytes()).unwrap();
        assert_eq!(found, fork());
        let forked = found.verify(&key().public()).unwrap();
        assert_eq!((forked.size, forked.later), (1, 2));
        assert_eq!(forked.roots, [leaf_hash(b"a"), leaf_hash(b"b")]);
        // Of one size the roots alone say it.
        let same = Fork {
            earlier: note(1, leaf_hash(b"a")),
            later: note(1, leaf_hash(b"b")),
            root: leaf_hash(b"b"),
            proof: Vec::new(),
        };
        same.verify(&key().public()).unwrap();
    }

    #[test]
    fn nobody_is_accused_wrongly() {
        let [a, c] = [b"a", b"c"].map(|entry| leaf_hash(entry));
        let honest = Fork {
            earlier: note(1, a),
            later: note(2, node_hash(&a, &c)),
            root: a,
            proof: vec![c],
        };
        let said = |fork: &Fork| fork.verify(&key().public()).unwrap_err().to_string();
        assert!(said(&honest).contains("one history"), "{}", said(&honest));
        // A root that the later tree does not have.
        let invented = Fork {
            root: leaf_hash(b"x"),
            ..honest
        };
        assert!(said(&invented).contains("leads to"), "{}", said(&invented));
        let turned = Fork {
            earlier: fork().later,
            later: fork().earlier,
            ..fork()
        };
        assert!(said(&turned).contains("2 entries"), "{}", said(&turned));
        let stranger = SigningKey::from_seed([2; 32]).public();
        assert!(fork().verify(&stranger).is_err());
        let other = Fork {
            later: fork()
                .later
                .replacen("example.com/log", "example.com/lag", 1),
            ..fork()
        };
        assert!(other.verify(&key().public()).is_err());
    }
}

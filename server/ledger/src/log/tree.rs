//! The small Merkle tree over a tile's hashes: hashed once, asked for any of its nodes.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::tlog::node_hash;

/// `levels[0]` are the tile's hashes, `levels[l]` those of the complete subtrees over `2^l` of
/// them.
#[derive(Debug)]
pub(super) struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    pub(super) fn new(hashes: Vec<Digest>) -> Tree {
        let mut levels = vec![hashes];
        while let Some(below) = levels.last()
            && below.len() > 1
        {
            let (pairs, _) = below.as_chunks::<2>();
            levels.push(pairs.iter().map(|[l, r]| node_hash(l, r)).collect());
        }
        Tree { levels }
    }

    /// Node `n` of those over `2^level` hashes.
    pub(super) fn node(&self, level: u8, n: u64) -> Option<Digest> {
        let level = self.levels.get(usize::from(level))?;
        level.get(usize::try_from(n).ok()?).copied()
    }
}

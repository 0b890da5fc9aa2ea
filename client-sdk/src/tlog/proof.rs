//! RFC 6962 Merkle trees: hashes (section 2.1), proofs (2.1.1, 2.1.2) and their verification
//! (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use crate::digest::Digest;
use crate::{Error, Result};

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_parts(&[&[0x00], entry])
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    // In one piece: hashing three is slower.
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Digest::of(&bytes)
}

/// The root of a tree without leaves: `SHA-256("")`.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// Gives the hash of the complete subtree `(level, n)` over leaves
/// `n << level .. (n + 1) << level`.
pub(super) type Fetch<'a, E> = dyn FnMut(u8, u64) -> Result<Digest, E> + 'a;

/// The root of the tree over the first `size` leaves.
///
/// # Errors
/// Any error that `fetch` returns.
pub fn root_of<E>(size: u64, fetch: &mut Fetch<'_, E>) -> Result<Digest, E> {
    if size == 0 {
        return Ok(empty_root());
    }
    range_root(0, size, fetch)
}

/// `MTH(D[low:high])` for a range that RFC 6962's splitting yields: `low` is a multiple of the
/// largest power of two in `high - low`.
fn range_root<E>(low: u64, high: u64, fetch: &mut Fetch<'_, E>) -> Result<Digest, E> {
    let mut parts = Vec::new();
    let mut at = low;
    while at < high {
        let level = (high - at).ilog2();
        parts.push(fetch(level as u8, at >> level)?);
        at += 1 << level;
    }
    let mut parts = parts.into_iter().rev();
    let last = parts.next().unwrap_or_else(empty_root);
    Ok(parts.fold(last, |right, left| node_hash(&left, &right)))
}

/// The largest power of two below `n`, for `n > 1`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The proof that leaf `index` is in the tree of `size` leaves: siblings from the leaf upwards.
/// Empty when `index >= size`; the caller checks that.
///
/// # Errors
/// Any error that `fetch` returns.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    fetch: &mut Fetch<'_, E>,
) -> Result<Vec<Digest>, E> {
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    if index >= size {
        return Ok(proof);
    }
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range_root(middle, high, fetch)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, fetch)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves. Empty when
/// `old` is 0 or not smaller than `new`.
///
/// # Errors
/// Any error that `fetch` returns.
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    fetch: &mut Fetch<'_, E>,
) -> Result<Vec<Digest>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new);
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(range_root(middle, high, fetch)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, fetch)?);
            low = middle;
        }
    }
    // The old tree is a subtree of its own only when no left part was cut off; then the verifier
    // knows its hash.
    if low != 0 {
        proof.push(range_root(low, high, fetch)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the entry with this leaf hash is number `index` of the `size` under `root`.
///
/// # Errors
/// [`Error::Proof`].
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: Digest,
) -> Result<()> {
    let fail = |detail: String| Error::Proof {
        what: "inclusion proof",
        detail,
    };
    if index >= size {
        return Err(fail(format!("entry {index} cannot be among {size}")));
    }
    let too_long = || {
        fail(format!(
            "{} hashes are too many for entry {index} of {size}",
            proof.len()
        ))
    };
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(too_long());
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(fail(format!(
            "{} hashes are too few for entry {index} of {size}",
            proof.len()
        )));
    }
    if hash != root {
        return Err(fail(format!(
            "entry {index} of {size}: expected root {root}, the proof leads to {hash}"
        )));
    }
    Ok(())
}

/// Checks that the log of `new_size` entries under `new_root` begins with the log of `old_size`
/// entries under `old_root`.
///
/// # Errors
/// [`Error::Proof`].
pub fn verify_consistency(
    old_size: u64,
    old_root: Digest,
    new_size: u64,
    new_root: Digest,
    proof: &[Digest],
) -> Result<()> {
    let fail = |detail: String| Error::Proof {
        what: "consistency proof",
        detail: format!("{old_size} to {new_size} entries: {detail}"),
    };
    if old_size > new_size {
        return Err(fail("the log has shrunk".into()));
    }
    if old_size == 0 && old_root != empty_root() {
        return Err(fail(format!(
            "expected the empty root {}, got {old_root}",
            empty_root()
        )));
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(fail(format!(
                "expected an empty proof, got {} hashes",
                proof.len()
            )));
        }
        if old_size == new_size && old_root != new_root {
            return Err(fail(format!(
                "two roots for one size: {old_root} and {new_root}"
            )));
        }
        return Ok(());
    }
    // RFC 9162, 2.1.4.2: a proof for a power of two leaves out the old root itself.
    let mut path = proof.iter();
    let first = if old_size.is_power_of_two() {
        old_root
    } else {
        *path
            .next()
            .ok_or_else(|| fail("the proof is empty".into()))?
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in path {
        if last == 0 {
            return Err(fail(format!("{} hashes are too many", proof.len())));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(fail(format!("{} hashes are too few", proof.len())));
    }
    if old_hash != old_root {
        return Err(fail(format!(
            "expected old root {old_root}, the proof leads to {old_hash}"
        )));
    }
    if new_hash != new_root {
        return Err(fail(format!(
            "expected new root {new_root}, the proof leads to {new_hash}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// The definition of RFC 6962, section 2.1, word for word.
fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node_hash(&mth(left), &mth(right))
        }
    }
}

fn fetcher(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, Infallible> + '_ {
    |level, n| {
        let low = (n << level) as usize;
        Ok(mth(&leaves[low..low + (1 << level)]))
    }
}

fn leaves(n: usize) -> Vec<Digest> {
    (0..n)
        .map(|i| leaf_hash(format!("entry {i}").as_bytes()))
        .collect()
}

/// The eight inputs of the reference tree in the certificate-transparency sources
/// (`merkle_tree_test`), and the roots of its prefixes.
const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn known_trees() {
    assert_eq!(
        empty_root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let leaves: Vec<Digest> = INPUTS
        .iter()
        .map(|i| leaf_hash(&hex::decode(i).unwrap()))
        .collect();
    for (i, root) in ROOTS.iter().enumerate() {
        let size = i as u64 + 1;
        assert_eq!(
            root_of(size, &mut fetcher(&leaves)).unwrap().to_string(),
            *root,
            "size {size}"
        );
    }
}

#[test]
fn all_small_trees() {
    let all = leaves(40);
    let fetch = &mut fetcher(&all);
    for size in 1..=40u64 {
        let root = mth(&all[..size as usize]);
        assert_eq!(root_of(size, fetch).unwrap(), root);
        for index in 0..size {
            let proof = inclusion_proof(index, size, fetch).unwrap();
            verify_inclusion(all[index as usize], index, size, &proof, root).unwrap();
            let other = (index + 1) % size;
            assert!(
                other == index
                    || verify_inclusion(all[index as usize], other, size, &proof, root).is_err()
            );
        }
        for old in 0..=size {
            let old_root = mth(&all[..old as usize]);
            let proof = consistency_proof(old, size, fetch).unwrap();
            verify_consistency(old, old_root, size, root, &proof).unwrap();
            // An empty proof, or one hash more or less, is no success.
            if old != 0 && old != size {
                assert!(verify_consistency(old, old_root, size, root, &[]).is_err());
                assert!(verify_consistency(old, old_root, size, root, &proof[1..]).is_err());
            }
            let longer = [proof.as_slice(), &[root]].concat();
            assert!(verify_consistency(old, old_root, size, root, &longer).is_err());
        }
    }
}

#[test]
fn degenerate_claims_are_refused() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    assert!(verify_inclusion(a, 0, 0, &[], empty_root()).is_err());
    assert!(verify_inclusion(a, 1, 1, &[], a).is_err());
    verify_inclusion(a, 0, 1, &[], a).unwrap();
    assert!(verify_inclusion(a, 0, 1, &[b], node_hash(&a, &b)).is_err());
    assert!(verify_consistency(2, a, 1, b, &[]).is_err());
    assert!(verify_consistency(1, a, 1, b, &[]).is_err(), "equivocation");
    assert!(verify_consistency(0, a, 1, b, &[]).is_err());
    assert!(verify_inclusion(a, u64::MAX - 1, u64::MAX, &vec![b; 70], a).is_err());
    assert!(verify_consistency(u64::MAX - 1, a, u64::MAX, b, &vec![b; 70]).is_err());
}

proptest! {
    #[test]
    fn any_flip_in_an_inclusion_proof_fails(size in 1usize..600, at in any::<prop::sample::Index>(),
                                            byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let all = leaves(size);
        let (index, size) = (at.index(size), size as u64);
        let root = mth(&all);
        let proof = inclusion_proof(index as u64, size, &mut fetcher(&all)).unwrap();
        verify_inclusion(all[index], index as u64, size, &proof, root).unwrap();
        let mut bytes: Vec<u8> = proof.iter().flat_map(|d| d.0).chain(all[index].0).chain(root.0).collect();
        let flipped = byte.index(bytes.len());
        bytes[flipped] ^= 1 << bit;
        let mut parts: Vec<Digest> = bytes.chunks_exact(32).map(|c| Digest(c.try_into().unwrap())).collect();
        let bad_root = parts.pop().unwrap();
        let bad_leaf = parts.pop().unwrap();
        prop_assert!(verify_inclusion(bad_leaf, index as u64, size, &parts, bad_root).is_err());
    }

    #[test]
    fn any_flip_in_a_consistency_proof_fails(new in 1usize..600, at in any::<prop::sample::Index>(),
                                             byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let all = leaves(new);
        let old = at.index(new) + 1;
        let (old_root, new_root) = (mth(&all[..old]), mth(&all));
        let (old, new) = (old as u64, new as u64);
        let proof = consistency_proof(old, new, &mut fetcher(&all)).unwrap();
        verify_consistency(old, old_root, new, new_root, &proof).unwrap();
        let mut bytes: Vec<u8> = proof.iter().flat_map(|d| d.0).chain(old_root.0).chain(new_root.0).collect();
        let flipped = byte.index(bytes.len());
        bytes[flipped] ^= 1 << bit;
        let mut parts: Vec<Digest> = bytes.chunks_exact(32).map(|c| Digest(c.try_into().unwrap())).collect();
        let bad_new = parts.pop().unwrap();
        let bad_old = parts.pop().unwrap();
        prop_assert!(verify_consistency(old, bad_old, new, bad_new, &parts).is_err());
    }
}

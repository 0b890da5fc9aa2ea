//! Costs of evidence: canonical JSON of a lineage, and proofs that an entry is in a log of a million.
//!
//!     cargo bench -p fedseal-client-sdk

use std::collections::BTreeMap;
use std::convert::Infallible;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use fedseal_client_sdk::tlog::{inclusion_proof, leaf_hash, node_hash, root_of, verify_inclusion};

/// Entries of the log.
const SIZE: u64 = 1_000_000;
/// The entry that is proved.
const INDEX: u64 = 333_333;

fn main() {
    divan::main();
}

/// A module that cuts its shard into `parts` and trains on each.
fn lineage(parts: u32) -> Lineage {
    let mut lineage = Lineage::default();
    let none = BTreeMap::new;
    let mut adapter = lineage.push(
        Kind::Global,
        vec![],
        Some(Digest::of(b"global")),
        None,
        none(),
    );
    let shard = lineage.push(
        Kind::Shard,
        vec![],
        Some(Digest::of(b"shard")),
        Some(8 * parts),
        none(),
    );
    for part in 0..parts {
        let slice = BTreeMap::from([
            ("offset".to_owned(), (8 * part).into()),
            ("count".to_owned(), 8.into()),
        ]);
        let data = lineage.push(Kind::Take, vec![shard], None, Some(8), slice);
        adapter = lineage.push(Kind::Train, vec![adapter, data], None, None, none());
    }
    lineage.output = Some(adapter);
    lineage
}

#[divan::bench(args = [10, 1_000])]
fn canonical_written(bencher: Bencher<'_, '_>, parts: u32) {
    let lineage = lineage(parts);
    let bytes = canonical::to_vec(&lineage).expect("a lineage is JSON");
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| canonical::to_vec(black_box(&lineage)));
}

#[divan::bench(args = [10, 1_000])]
fn canonical_read(bencher: Bencher<'_, '_>, parts: u32) {
    let bytes = canonical::to_vec(&lineage(parts)).expect("a lineage is JSON");
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| canonical::from_slice::<Lineage>(black_box(&bytes)));
}

/// Hash of a complete subtree in a log whose subtrees are known, as tiles on disk have them: here a
/// function of its place.
fn known(level: u8, number: u64) -> Result<Digest, Infallible> {
    let mut place = [level; 9];
    place[1..].copy_from_slice(&number.to_le_bytes());
    Ok(match level {
        0 => leaf_hash(&place),
        _ => Digest::of(&place),
    })
}

#[divan::bench]
fn inclusion_proved(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| inclusion_proof(black_box(INDEX), SIZE, &mut known));
}

#[divan::bench]
fn inclusion_verified(bencher: Bencher<'_, '_>) {
    // A small log whose hashes are true, so that the proof holds.
    let size = 1 << 14;
    let mut levels = vec![
        (0..size)
            .map(|n: u64| leaf_hash(&n.to_le_bytes()))
            .collect::<Vec<_>>(),
    ];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let pairs = below.as_chunks::<2>().0.iter();
        let above: Vec<Digest> = pairs.map(|[left, right]| node_hash(left, right)).collect();
        levels.push(above);
    }
    let mut fetch = |level: u8, number: u64| {
        let found = levels
            .get(usize::from(level))
            .and_then(|l| l.get(number as usize));
        Ok::<_, Infallible>(*found.expect("a complete tree"))
    };
    let Ok(proof) = inclusion_proof(1_234, size, &mut fetch);
    let Ok(root) = root_of(size, &mut fetch);
    let leaf = leaf_hash(&1_234_u64.to_le_bytes());
    verify_inclusion(leaf, 1_234, size, &proof, root).expect("the proof holds");
    bencher.bench_local(|| verify_inclusion(black_box(leaf), 1_234, size, &proof, root));
}

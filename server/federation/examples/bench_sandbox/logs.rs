//! The log on this disk: durable appends, time to a published checkpoint, proofs, the check of
//! everything.

use std::time::Instant;

use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::{leaf_hash, verify_inclusion};
use fedseal_ledger::{Log, LogReader, fsck};

use super::{Options, Outcome, figure, median, seconds};

/// Bytes of an entry: about those of a record of an update.
const ENTRY: usize = 300;
/// Entries of one batch that is made durable together.
const BATCH: u64 = 1_000;
/// Batches of one measurement.
const BATCHES: u64 = 20;
/// Entries of a batch while the large log is made.
const FILL: u64 = 200_000;
/// Single entries a round whose time to a published checkpoint is measured.
const SINGLE: usize = 5;
/// Proofs a round.
const PROOFS: u64 = 200;

const ORIGIN: &str = "fedseal.bench/log";

fn entry(index: u64) -> [u8; ENTRY] {
    let mut entry = [b'.'; ENTRY];
    entry[..8].copy_from_slice(&index.to_le_bytes());
    entry
}

fn append(log: &mut Log, count: u64) -> Outcome {
    for _ in 0..count {
        log.append(&entry(log.size()))?;
    }
    Ok(())
}

pub(crate) fn bench(options: &Options) -> Outcome {
    let folder = options.folder.join("log");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let key = SigningKey::from_seed([9; 32]);
    let mut log = Log::create(&folder, ORIGIN, key.clone())?;
    let mut rates = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..options.rounds {
        let spent = seconds(|| {
            for _ in 0..BATCHES {
                append(&mut log, BATCH)?;
                log.publish()?;
            }
            Ok(())
        })?;
        rates.push((BATCH * BATCHES) as f64 / spent);
        for _ in 0..SINGLE {
            let spent = seconds(|| {
                append(&mut log, 1)?;
                log.publish()?;
                Ok(())
            })?;
            waits.push(spent * 1e3);
        }
    }
    figure("log.appends_per_second", median(rates), "1/s");
    figure("log.publish_ms", median(waits), "ms");

    while log.size() < options.entries {
        let left = options.entries - log.size();
        append(&mut log, FILL.min(left))?;
        log.publish()?;
    }
    let size = log.size();
    drop(log);
    let public = key.public();
    let reader = LogReader::open(&folder, &public)?;
    let root = reader.checkpoint().root;
    let mut proofs = Vec::new();
    // A fixed walk over the whole log.
    let mut index = size / 3;
    for _ in 0..options.rounds as u64 * PROOFS {
        index = index
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1)
            % size;
        let begun = Instant::now();
        let proof = reader.prove_inclusion(index, size)?;
        proofs.push(begun.elapsed().as_secs_f64() * 1e6);
        verify_inclusion(leaf_hash(&entry(index)), index, size, &proof, root)?;
    }
    figure("log.proof_us", median(proofs), "us");
    let mut checks = Vec::new();
    for _ in 0..options.rounds {
        checks.push(seconds(|| {
            let report = fsck(&folder, &public)?;
            if report.entries != size {
                return Err(format!("{} entries instead of {size}", report.entries).into());
            }
            Ok(())
        })?);
    }
    figure("log.fsck_seconds", median(checks), "s");
    figure("log.entries", size as f64, "entries");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

//! SHA-256 beside openssl's on this machine.

use std::process::Command;
use std::time::Instant;

use fedseal_client_sdk::digest::Digest;

use super::{Options, Outcome, beside, median};

/// Bytes of a message: openssl's longest.
const BYTES: usize = 16_384;

pub(crate) fn bench(options: &Options) -> Outcome {
    let message = vec![7_u8; BYTES];
    let [mut ours, mut theirs] = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        let begun = Instant::now();
        let mut count = 0_usize;
        while begun.elapsed().as_secs_f64() < 1.0 {
            for _ in 0..64 {
                std::hint::black_box(Digest::of(std::hint::black_box(&message)));
            }
            count += 64;
        }
        ours.push((count * BYTES) as f64 / begun.elapsed().as_secs_f64());
        match openssl() {
            Some(rate) => theirs.push(rate),
            None => {
                eprintln!("openssl is not here: sha256.ratio is left out");
                return Ok(());
            }
        }
    }
    let [ours, theirs] = [median(ours), median(theirs)];
    beside(
        "sha256.mb_per_second",
        ours / 1e6,
        "MB/s",
        &format!("openssl {:.0}", theirs / 1e6),
        ours / theirs,
    );
    super::figure("sha256.ratio", ours / theirs, "x");
    Ok(())
}

/// Bytes a second, from the table that `openssl speed -mr` prints: `+F:N:sha256:RATE`.
fn openssl() -> Option<f64> {
    let bytes = BYTES.to_string();
    let done = Command::new("openssl")
        .args([
            "speed", "-mr", "-elapsed", "-seconds", "1", "-bytes", &bytes,
        ])
        .args(["-evp", "sha256"])
        .output()
        .ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

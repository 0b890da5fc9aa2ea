//! Evidence about one update in one file: made of a run, and checked by somebody who has the file and two
//! keys, and nothing else. Also what a changed byte of it is worth.
//!
//!     cargo run -p fedseal-audit --example verify_bundle -- [RUN_DIR [UPDATE]]
//!
//! Left out, a run of an early version that the tests keep, and its first update.

use std::error::Error;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::bundle::{Bundle, Trust};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_record::bundle::bundle;
use fedseal_record::opened::OpenRun;

const KEPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../federation/tests/old_run.tar"
);

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let folder = tempfile::tempdir()?;
    let run = match words.next() {
        Some(run) => PathBuf::from(run),
        None => kept(folder.path())?,
    };
    let file = folder.path().join("update.bundle");
    let (node, author) = write(&run, words.next(), &file)?;

    // The file's reader: it has no run, and the keys came by another way.
    let bytes = std::fs::read(&file)?;
    let verified = check(&bytes, node, author)?;
    let update = &verified.update.predicate;
    println!("update  {}", verified.update.digest);
    println!(
        "module  {} by {}",
        verified.module.predicate.name, verified.module.signer
    );
    println!("client  {} in round {}", update.client, update.round);
    println!(
        "log     entry {} of {}",
        verified.index, verified.checkpoint.size
    );

    let mut changed = Bundle::from_bytes(&bytes)?;
    changed.entry.push(' ');
    match check(&changed.to_bytes()?, node, author) {
        Ok(_) => Err("a changed bundle holds".into()),
        Err(error) => {
            println!("changed {error}");
            Ok(())
        }
    }
}

/// Writes the bundle of an update; the keys that vouch for it.
fn write(
    run: &Path,
    update: Option<String>,
    file: &Path,
) -> Result<(PublicKey, PublicKey), Box<dyn Error>> {
    let mut run = OpenRun::read(run)?;
    let first = run.state.updates.values().min_by_key(|update| update.entry);
    let first = first.ok_or("the run has no update")?.attestation;
    let id = update.unwrap_or_else(|| first.to_string());
    let (update, attested) = run.update(&id)?;
    let made = bundle(&run, &update, false)?;
    std::fs::write(file, made.to_bytes()?)?;
    Ok((run.plan.node, attested.module_signer))
}

/// Reads and verifies a bundle.
fn check(
    bytes: &[u8],
    node: PublicKey,
    author: PublicKey,
) -> fedseal_client_sdk::Result<fedseal_client_sdk::bundle::VerifiedBundle> {
    Bundle::from_bytes(bytes)?.verify(&Trust {
        node,
        authors: &[author],
        origin: None,
        policy: None,
    })
}

fn kept(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let packed = std::fs::read(KEPT)?;
    tar::Archive::new(packed.as_slice()).unpack(folder)?;
    Ok(folder.join("run"))
}

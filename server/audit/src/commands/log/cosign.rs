//! `fedseal log cosign RUN_DIR --policy FILE`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::remote::{self, Answer};
use fedseal_client_sdk::tlog::{AddCheckpoint, Party, Policy, add_signatures};
use fedseal_ledger::LogReader;

use super::{folder, log_key, policy, verifier};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Shows a log's checkpoint to every witness of a policy that has a URL and stores their
/// cosignatures in the log's checkpoint file.
#[derive(Args)]
pub struct Cosign {
    /// The run's folder, or a log's.
    dir: PathBuf,
    /// The witnesses, with their URLs (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The key that signed the log: hex or a verifier key; by default the one in run.json.
    #[arg(long)]
    key: Option<String>,
}

impl Cosign {
    /// Asks; fails when the quorum is not reached.
    pub fn execute(self) -> Outcome {
        let key = log_key(&self.dir, self.key.as_deref())?;
        let policy = policy(&self.policy)?;
        let (entries, cosignatures) = collect(&folder(&self.dir)?, &key, &policy)?;
        output::line(format!(
            "the checkpoint of {entries} entries has its quorum ({cosignatures} cosignatures)"
        ));
        Ok(())
    }
}

/// Collects and stores cosignatures of a log's current checkpoint, also when the quorum is not reached.
/// Returns the checkpoint's size and the number of known witnesses that cosigned.
pub fn collect(log: &Path, key: &PublicKey, policy: &Policy) -> Outcome<(u64, usize)> {
    let reader = LogReader::open(log, key)?;
    let mut lines = String::new();
    for unread in &policy.unread_witnesses {
        output::note(format_args!(
            "fedseal: {} is not asked: its key has signature type {:#04x}, which is not read here",
            unread.name, unread.algorithm
        ));
    }
    for party in &policy.witnesses {
        let Some(url) = &party.url else {
            continue;
        };
        match ask(&reader, party, url) {
            Ok(cosigned) => {
                output::note(format_args!("fedseal: cosigned by {}", party.key.name));
                lines.push_str(&cosigned);
            }
            // One witness that is away must not keep the others from being asked.
            Err(error) => output::note(format_args!("fedseal: {}: {error}", party.key.name)),
        }
    }
    let note = if lines.is_empty() {
        reader.note().to_owned()
    } else {
        fedseal_ledger::add_cosignatures(log, key, reader.note(), &lines)?
    };
    let log_key = verifier(&key.to_string(), &note)?;
    let witnessed = policy.verify(&note, Some(&log_key)).map_err(|error| {
        Failure::from(error).hint("Ask again when the missing witnesses answer; what came is kept.")
    })?;
    Ok((witnessed.checkpoint.size, witnessed.cosignatures.len()))
}

/// "If a client doesn't have information on the latest cosigned checkpoint, it MAY initially make
/// a request with a old size of zero to obtain it."
fn ask(log: &LogReader, party: &Party, url: &str) -> Outcome<String> {
    let mut old = 0;
    // The second answer can be another conflict only when somebody else asks at the same time.
    for _ in 0..4 {
        if old > log.size() {
            return Err(Failure::new(format!(
                "it has cosigned {old} entries, this log has {}",
                log.size()
            ))
            .hint("Entries were lost or another copy of the log has grown: do not append to it."));
        }
        let request = AddCheckpoint {
            old,
            proof: log.prove_consistency(old, log.size())?,
            note: log.note().to_owned(),
        };
        match remote::add_checkpoint(url, &party.key, &request)? {
            Answer::Cosigned(lines) => {
                // Whole and well-formed before it goes near the log's own file.
                add_signatures(log.note(), &lines)?;
                return Ok(lines);
            }
            Answer::Conflict { size } => old = size,
        }
    }
    Err(Failure::new(
        "the witness's size changes with every request",
    ))
}

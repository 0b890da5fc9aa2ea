//! `fedseal log check FILE`: a `.tlog-proof`, or the evidence of a fork.

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::record;
use fedseal_client_sdk::tlog::{Fork, MAX_FORK, MAX_PROOF_FILE, ProofFile};

use super::{parse_key, policy, verifier};
use crate::failure::{Failure, Outcome};
use crate::{files, output};

/// Checks a proof file offline: the entry is in the log that this key signs, and, with a policy,
/// under a checkpoint that enough witnesses have cosigned. Of the evidence that a witness kept (a `.fork`
/// file): whether the holder of this key signed two histories of one log.
#[derive(Args)]
pub struct Check {
    /// The proof file, or the evidence of a fork.
    proof: PathBuf,
    /// The log's key: hex or a verifier key. Needed unless the policy names the log.
    #[arg(long)]
    key: Option<String>,
    /// The entry's bytes; by default those that the file carries as its extra data.
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// Witnesses that must have cosigned (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Check {
    /// Checks; prints the entry.
    pub fn execute(self) -> Outcome {
        let bytes = files::read(&self.proof, MAX_FORK.max(MAX_PROOF_FILE))?;
        if bytes.starts_with(b"{") {
            return self.fork(&bytes);
        }
        let text = files::text(&self.proof, MAX_PROOF_FILE)?;
        let proof = ProofFile::parse(&text)?;
        let entry = match &self.entry {
            Some(path) => files::read(path, record::MAX_BYTES)?,
            None => proof.extra.clone().ok_or_else(|| {
                Failure::usage("the proof file carries no entry")
                    .hint("Give the entry's bytes: --entry FILE")
            })?,
        };
        let key = self
            .key
            .as_deref()
            .map(|key| verifier(key, &proof.checkpoint))
            .transpose()?;
        let checkpoint = match (&self.policy, &key) {
            (Some(file), key) => {
                let witnessed = proof.verify_witnessed(&entry, &policy(file)?, key.as_ref())?;
                for (witness, at) in &witnessed.cosignatures {
                    output::line(format!(
                        "cosigned by {witness} at {}",
                        fedseal_record::rundir::rfc3339(*at)
                    ));
                }
                witnessed.checkpoint
            }
            (None, Some(key)) => proof.verify(&entry, &key.name, &key.key)?,
            (None, None) => {
                return Err(Failure::usage("whose log it must be in is not said")
                    .hint("Give --key, or a --policy that names the log."));
            }
        };
        output::line(format!(
            "entry {} of {} in {}",
            proof.index, checkpoint.size, checkpoint.origin
        ));
        output::line(String::from_utf8_lossy(&entry));
        Ok(())
    }

    /// Checks evidence that a log showed two histories.
    fn fork(&self, bytes: &[u8]) -> Outcome {
        let fork = Fork::from_bytes(bytes)?;
        let Some(key) = &self.key else {
            return Err(Failure::usage("whose log it is of is not said")
                .hint("Give the key of whoever signed both checkpoints: --key HEX"));
        };
        let forked = fork.verify(&parse_key(key)?.1)?;
        output::line(format!(
            "the holder of this key signed two histories of log {}: its first {} entries have root {} in \
             one checkpoint, and root {} under another of {} entries",
            forked.origin, forked.size, forked.roots[0], forked.roots[1], forked.later
        ));
        Ok(())
    }
}

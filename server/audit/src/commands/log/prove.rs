//! `fedseal log prove DIR`

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::LogReader;
use fedseal_record::rundir::write_atomically;

use super::{folder, log_key};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Writes a proof file (C2SP tlog-proof) that an entry is in a log: index, inclusion proof and
/// checkpoint, with the entry's bytes as its extra data.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["update", "entry"])))]
pub struct Prove {
    /// The run's folder, or a log's.
    dir: PathBuf,
    /// The update whose id begins so.
    #[arg(long, value_name = "ID")]
    update: Option<String>,
    /// The entry of this number.
    #[arg(long, value_name = "N")]
    entry: Option<u64>,
    /// The file; by default ENTRY.tlog-proof.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The key that signed the log: hex or a verifier key; by default the one in run.json.
    #[arg(long)]
    key: Option<String>,
}

impl Prove {
    /// Writes it.
    pub fn execute(self) -> Outcome {
        let key = log_key(&self.dir, self.key.as_deref())?;
        let log = LogReader::open(folder(&self.dir)?, &key)?;
        let index = match (&self.update, self.entry) {
            (Some(prefix), _) => find(&log, prefix)?,
            (None, entry) => entry.unwrap_or_default(),
        };
        let entry = log.entry(index)?;
        let mut proof = log.proof_file(index)?;
        proof.extra = Some(entry);
        let out = self
            .out
            .unwrap_or_else(|| format!("{index}.tlog-proof").into());
        write_atomically(&out, proof.to_text().as_bytes())?;
        output::line(format!(
            "{}: entry {index} of {} in {}",
            out.display(),
            log.size(),
            log.checkpoint().origin
        ));
        Ok(())
    }
}

/// The entry of the one update whose id begins so.
fn find(log: &LogReader, prefix: &str) -> Outcome<u64> {
    let prefix = prefix.to_lowercase();
    let mut found = Vec::new();
    for (index, bytes) in (0..).zip(log.entries()?) {
        if let Record::Update { attestation, .. } = Record::from_bytes(&bytes)?
            && !prefix.is_empty()
            && attestation.to_string().starts_with(&prefix)
        {
            found.push(index);
        }
    }
    match found.as_slice() {
        [index] => Ok(*index),
        [] => Err(
            Failure::usage(format!("no update has an id that begins with `{prefix}`"))
                .hint("The report lists the ids."),
        ),
        many => Err(Failure::usage(format!(
            "{} ids begin with `{prefix}`; give more digits",
            many.len()
        ))),
    }
}

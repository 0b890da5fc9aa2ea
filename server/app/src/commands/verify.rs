//! `fedseal verify RUN_DIR`

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::tlog::{KeyKind, VerifierKey};
use fedseal_federation::rundir::{RunDir, rfc3339};
use fedseal_federation::verify;
use fedseal_ledger::LogReader;

use super::log;
use crate::failure::Outcome;
use crate::output;

/// Checks a run from its files alone, without a network and without a model.
#[derive(Args)]
pub struct Verify {
    /// The run's folder.
    run: PathBuf,
    /// Witnesses that must have cosigned the log's checkpoint (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print what was verified as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies; fails on the first bad item.
    pub fn execute(self) -> Outcome {
        let report = verify::verify(&self.run)?;
        let mut cosignatures = Vec::new();
        if let Some(file) = &self.policy {
            let dir = RunDir::new(&self.run);
            let plan = dir.read_plan()?;
            let log = LogReader::open(dir.log(), &plan.node)?;
            let key = VerifierKey::new(&plan.origin, KeyKind::Log, plan.node)?;
            cosignatures = log::policy(file)?
                .verify(log.note(), Some(&key))?
                .cosignatures;
        }
        if self.json {
            output::json(&report);
            return Ok(());
        }
        output::line(format!(
            "{} holds: {} log entries under root {}\n\
             {} updates (signatures, digests, transcripts, lineage), {} verdicts, {} aggregations \
             computed again,\n{} evaluations counted again, {} blobs hashed again",
            report.run,
            report.entries,
            report.root.short(),
            report.updates,
            report.verdicts,
            report.aggregations,
            report.evaluations,
            report.blobs,
        ));
        for (witness, at) in cosignatures {
            output::line(format!("cosigned by {witness} at {}", rfc3339(at)));
        }
        Ok(())
    }
}

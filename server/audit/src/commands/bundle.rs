//! `fedseal bundle RUN_DIR --update ID --out FILE`

use std::path::PathBuf;

use clap::Args;
use fedseal_record::bundle::bundle;
use fedseal_record::opened::OpenRun;
use fedseal_record::rundir::write_atomically;

use crate::failure::Outcome;
use crate::output;

/// Writes one file that shows where an update came from, for `fedseal verify FILE` on a machine
/// that has nothing else: attestation, module signature, log entry, proof and checkpoint.
#[derive(Args)]
pub struct BundleCommand {
    /// The run's folder.
    run: PathBuf,
    /// The update whose id begins so.
    #[arg(long, value_name = "ID")]
    update: String,
    /// The file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put the module's bytes in as well, not its digest alone.
    #[arg(long)]
    with_module: bool,
}

impl BundleCommand {
    /// Writes it, after it has been verified as a reader would.
    pub fn execute(self) -> Outcome {
        let mut run = OpenRun::read(&self.run)?;
        let (update, attested) = run.update(&self.update)?;
        let bundle = bundle(&run, &update, self.with_module)?;
        write_atomically(&self.out, &bundle.to_bytes()?)?;
        output::line(format!(
            "{}: update {} of {} in round {}",
            self.out.display(),
            update.attestation.short(),
            update.client,
            update.round
        ));
        output::line(format!(
            "check it: fedseal verify {} --node {} --author {}",
            self.out.display(),
            run.plan.node,
            attested.module_signer
        ));
        Ok(())
    }
}

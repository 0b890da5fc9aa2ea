//! `fedseal bundle RUN_DIR --update ID --out FILE`

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::bundle::{Bundle, Trust};
use fedseal_client_sdk::dsse::Envelope;
use fedseal_federation::explain::Opened;
use fedseal_federation::rundir::write_atomically;

use crate::failure::{Failure, Outcome};
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
        let mut run = Opened::read(&self.run)?;
        let (update, attested) = run.update(&self.update)?;
        let planned = run
            .plan
            .modules
            .iter()
            .find(|module| module.digest == attested.module)
            .ok_or_else(|| Failure::new("the update's module is not one of the run's"))?;
        let read = |digest| run.blobs.get(digest);
        let bytes = match self.with_module {
            true => Some(read(&planned.digest)?),
            false => None,
        };
        let bundle = Bundle::new(
            Envelope::from_bytes(&read(&update.attestation)?)?,
            planned.digest,
            Envelope::from_bytes(&read(&planned.envelope)?)?,
            bytes.as_deref(),
            &run.log.entry(update.entry)?,
            &run.log.proof_file(update.entry)?,
        );
        bundle.verify(&Trust {
            node: run.plan.node,
            authors: &run.plan.trusted_authors(),
            origin: Some(&run.plan.origin),
            policy: None,
        })?;
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
            planned.signer
        ));
        Ok(())
    }
}

//! Checks every attestation's claims ([`crate::claims`]).

use crate::claims::{Claims, Scores};
use crate::error::{Error, Result};
use crate::opened::OpenRun;
use fedseal_data::check::DataCheck;
use fedseal_rules::formulas::Others;

impl OpenRun {
    /// Every transcript hashes to the root that its attestation binds.
    pub(super) fn transcripts(&mut self) -> Result<()> {
        for id in self.state.attestations.keys() {
            let attested = self.evidence.attested(&self.blobs, id, &self.plan)?;
            let claims = Claims {
                plan: &self.plan,
                experiment: &self.experiment,
                held: &self.blobs,
            };
            claims.transcript(id, &attested)?;
        }
        Ok(())
    }

    /// Checks every attestation's claims.
    pub(super) fn claims(&mut self, others: &Others) -> Result<()> {
        // The data check learns from the data source, which is at hand only where it is built in.
        let judge = DataCheck::built_in(&self.experiment.data.source);
        let judge = judge.filter(|_| !others.score());
        let mut scores = Scores::new();
        for id in self.state.attestations.keys() {
            let attested = self.evidence.attested(&self.blobs, id, &self.plan)?;
            let claims = Claims {
                plan: &self.plan,
                experiment: &self.experiment,
                held: &self.blobs,
            };
            if let Some(problem) = claims.problem(&attested, judge, &mut scores)? {
                return Err(Error::tampered(format!("attestation {id}"), problem));
            }
        }
        Ok(())
    }
}

//! Site rules, decided again as far as the files allow: executions, and the data that left or stayed.

use crate::basis::Basis;
use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::site;

impl OpenRun {
    /// Checks that the data holder's rules allowed each update, and that the data that left kept to their
    /// bounds.
    pub(super) fn site(&mut self) -> Result<()> {
        if self.experiment.site.is_none() && !self.plan.has_nodes() {
            return Ok(());
        }
        let arms = self.experiment.all_arms()?;
        for update in self.state.updates.values() {
            let id = &update.attestation;
            let attested = self.evidence.attested(&self.blobs, id, &self.plan)?;
            let Some(rules) = self.plan.site(&self.experiment, &attested.client) else {
                continue;
            };
            // The coordinator has no site.
            if Basis::of(&self.plan, &attested) == Basis::Absent {
                continue;
            }
            let bad = |problem: String| Err(Error::tampered(format!("update {id}"), problem));
            let Some((_, planned)) = self.plan.client(&attested.client) else {
                return bad("is of a client that the run does not have".into());
            };
            // The arms that judged it say in which part of the client it was made: their memo keys, which
            // bind module and shard, were compared.
            let judging = self.state.verdicts(update).find_map(|(name, _, _)| {
                let arm = arms.iter().find(|arm| arm.id == name)?;
                Some(planned.assignment(arm))
            });
            let Some(assignment) = judging.filter(|a| a.module == attested.module) else {
                return bad("was judged by no arm that has its module".into());
            };
            let ruled = site::Ruled {
                rules,
                plan: &self.plan,
                own: &self.experiment.limits,
                held: &self.blobs,
            };
            if let Some(problem) = ruled.problem(id, &attested, assignment.shard)? {
                return bad(problem);
            }
        }
        Ok(())
    }
}

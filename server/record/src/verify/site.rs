//! Site rules, decided again as far as the files allow: executions, and the data that left or stayed.

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::transcript::Transcript;

use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::rundir::Assignment;
use crate::site;

impl OpenRun {
    /// Checks that the data holder's rules allowed each update, and that the data that left kept to their
    /// bounds.
    pub(super) fn site(&mut self) -> Result<()> {
        let Some(rules) = self.experiment.site.clone() else {
            return Ok(());
        };
        let own = &self.experiment.limits;
        for id in self.state.attestations.keys() {
            let attested = self.evidence.attested(&self.blobs, id, self.plan.node)?;
            let bad = |problem: String| Err(Error::tampered(format!("update {id}"), problem));
            // One module has one shard for a client in this plan, honest or attacking. The honest one is
            // asked last.
            let Some(assignment) = self.plan.client(&attested.client).and_then(|(_, planned)| {
                let assignments: Vec<_> = planned.assignments().collect();
                let mut attacking_first = assignments.into_iter().rev();
                attacking_first
                    .find(|a| a.module == attested.module && self.used_shard(a, &attested))
            }) else {
                return bad("was made by a module that its client does not have".into());
            };
            if let Err(problem) = site::audit(&rules, &self.plan, own, &attested, assignment.shard)
            {
                return bad(problem);
            }
            let Some(facts) = site::facts(
                &self.plan,
                own,
                attested.module,
                &attested.client,
                assignment.shard,
            ) else {
                continue;
            };
            let Ok(rule) = rules.before(&facts) else {
                continue;
            };
            let transcript = Transcript::from_bytes(&self.blobs.get(&attested.transcript.blob)?)
                .map_err(|error| Error::tampered(format!("update {id}"), error))?;
            if let Err(problem) = fedseal_rules::site::audit_record(rule, &attested, &transcript) {
                return bad(problem);
            }
            // Noise comes on top of the bound, so only an update without noise is checked against it.
            let Some(update) = attested.update.filter(|_| rule.leave.noise_std.is_none()) else {
                continue;
            };
            let local = read_adapter(&self.blobs, &update)?;
            let global = read_adapter(&self.blobs, &attested.global)?;
            let norm = local.sub(&global).map_err(Error::model)?.norm_l2();
            let within = rule
                .norm_leaves(norm)
                .map_err(|denial| denial.words)
                .and_then(|()| match rule.leave.clip_norm {
                    // In f32 a clipped change may be longer by a rounding error.
                    Some(most) if norm > most * (1.0 + 1e-5) => Err(format!(
                        "its change has norm {norm}, clipped to {most} by `{}`",
                        rule.name
                    )),
                    _ => Ok(()),
                });
            if let Err(problem) = within {
                return bad(problem);
            }
        }
        Ok(())
    }

    /// Whether an update was trained on the assignment's shard, where the attestation says so. For part of
    /// a shard only the size is known.
    fn used_shard(&self, assignment: &Assignment, attested: &UpdatePredicate) -> bool {
        attested
            .data
            .iter()
            .filter(|used| used.origin == "shard")
            .all(|used| used.digest == assignment.shard || used.examples < assignment.examples)
    }
}

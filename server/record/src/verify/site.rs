//! Site rules, decided again as far as the files allow: executions, and the data that left or stayed.

use fedseal_client_sdk::transcript::Transcript;

use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::site;

impl OpenRun {
    /// Checks that the data holder's rules allowed each update, and that the data that left kept to their
    /// bounds.
    pub(super) fn site(&mut self) -> Result<()> {
        let Some(rules) = self.experiment.site.clone() else {
            return Ok(());
        };
        let own = &self.experiment.limits;
        let arms = self.experiment.all_arms()?;
        for update in self.state.updates.values() {
            let id = &update.attestation;
            let attested = self.evidence.attested(&self.blobs, id, self.plan.node)?;
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
}

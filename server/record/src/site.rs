//! Site rules applied to a run: the facts from its plan, and the check of an attested execution.

use fedseal_client_sdk::attestation::{Limits, UpdatePredicate};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_rules::site::{Before, REASON, SiteRules, audit_record};

use crate::error::{Error, Result};
use crate::read::{Held, adapter_of};
use crate::rundir::Plan;

/// The facts before an execution, from a run's plan.
pub fn facts<'a>(
    plan: &'a Plan,
    limits: &'a Limits,
    module: Digest,
    client: &'a ClientId,
    shard: Digest,
) -> Option<Before<'a>> {
    let planned = plan.modules.iter().find(|m| m.digest == module)?;
    // A node's rules name keys: the names in a plan are the coordinator's.
    let named = plan.node_of(client).is_none();
    Some(Before {
        module,
        module_name: &planned.name,
        signer: planned.signer,
        signer_name: plan.authors.name_of(&planned.signer).filter(|_| named),
        client,
        shard,
        limits,
    })
}

/// Checks as an auditor that the rules allowed an attested execution, or that it failed because they
/// did not, and that it ran under the right limits. `own` are the node's limits.
///
/// # Errors
/// The part that disagrees.
pub fn audit(
    rules: &SiteRules,
    plan: &Plan,
    own: &Limits,
    attested: &UpdatePredicate,
    shard: Digest,
) -> std::result::Result<(), String> {
    let facts = facts(plan, own, attested.module, &attested.client, shard)
        .ok_or_else(|| "its module is not in the plan".to_owned())?;
    let refused = attested
        .failure
        .as_ref()
        .is_some_and(|failure| failure.reason == REASON);
    let rule = rules.before(&facts);
    let limits = rule.as_ref().map_or(*own, |rule| rule.limits(own));
    if attested.limits != limits {
        return Err("it ran under other limits than the site's rules give".into());
    }
    let allowed = rule.and_then(|rule| match attested.update {
        Some(_) => rule
            .leaves(&attested.lineage, &attested.used)
            .map_err(|denial| denial.words),
        None => Ok(()),
    });
    match allowed {
        Err(reason) if !refused => Err(format!("the site's rules deny it: {reason}")),
        _ => Ok(()),
    }
}

/// Rules of a site over the executions of a run.
pub struct Ruled<'a> {
    /// The rules.
    pub rules: &'a SiteRules,
    /// The plan.
    pub plan: &'a Plan,
    /// The run's limits of a module.
    pub own: &'a Limits,
    /// Transcripts and adapters.
    pub held: &'a dyn Held,
}

impl Ruled<'_> {
    /// The first thing in which an attested execution on this shard, or what left of it, does not keep to
    /// the rules. `id` is the attestation's.
    ///
    /// # Errors
    /// A transcript or an adapter that is missing or damaged.
    pub fn problem(
        &self,
        id: &Digest,
        attested: &UpdatePredicate,
        shard: Digest,
    ) -> Result<Option<String>> {
        let Ruled {
            rules,
            plan,
            own,
            held,
        } = *self;
        if let Err(problem) = audit(rules, plan, own, attested, shard) {
            return Ok(Some(problem));
        }
        let Some(facts) = facts(plan, own, attested.module, &attested.client, shard) else {
            return Ok(None);
        };
        let Ok(rule) = rules.before(&facts) else {
            return Ok(None);
        };
        let transcript = Transcript::from_bytes(&held.bytes(&attested.transcript.blob)?)
            .map_err(|error| Error::tampered(format!("update {id}"), error))?;
        if let Err(problem) = audit_record(rule, attested, &transcript) {
            return Ok(Some(problem));
        }
        // Noise comes on top of the bound, so only an update without noise is checked against it.
        let Some(update) = attested.update.filter(|_| rule.leave.noise_std.is_none()) else {
            return Ok(None);
        };
        let local = adapter_of(&held.bytes(&update)?, &update)?;
        let global = adapter_of(&held.bytes(&attested.global)?, &attested.global)?;
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
        Ok(within.err())
    }
}

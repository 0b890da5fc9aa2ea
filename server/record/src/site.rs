//! Site rules applied to a run: the facts from its plan, and the check of an attested execution.

use fedseal_client_sdk::attestation::{Limits, UpdatePredicate};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_rules::site::{Before, REASON, SiteRules};

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
    Some(Before {
        module,
        module_name: &planned.name,
        signer: planned.signer,
        signer_name: plan.authors.name_of(&planned.signer),
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
) -> Result<(), String> {
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

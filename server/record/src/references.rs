//! The blobs that a run refers to: all of them must be there, and no others.

use std::collections::BTreeMap;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;

use crate::controls::Controls;
use crate::rundir::Plan;
use crate::state::{AggregatedRef, RunState};

/// Every referenced blob with the thing that refers to it. `attested` are the attestations of the
/// log's updates, `controls` the control variates of its rounds.
pub fn references<'a>(
    plan_digest: Digest,
    plan: &Plan,
    state: &RunState,
    attested: impl IntoIterator<Item = &'a UpdatePredicate>,
    controls: &BTreeMap<Digest, Controls>,
) -> BTreeMap<Digest, String> {
    let mut all = BTreeMap::new();
    let mut add = |digest: Digest, what: &dyn Fn() -> String| {
        all.entry(digest).or_insert_with(what);
    };
    add(plan_digest, &|| "run.json".into());
    add(plan.experiment, &|| "experiment.toml".into());
    add(plan.initial, &|| "the first global adapter".into());
    add(plan.evaluation, &|| "the evaluation prompts".into());
    for module in &plan.modules {
        add(module.digest, &|| format!("module {}", module.name));
        add(module.envelope, &|| {
            format!("signature of module {}", module.name)
        });
    }
    for client in &plan.clients {
        for assignment in [&client.honest, &client.attacked] {
            add(assignment.shard, &|| format!("shard of {}", client.client));
            if let Some(attachment) = assignment.attachment {
                add(attachment, &|| format!("attachment of {}", client.client));
            }
        }
    }
    for rotation in &state.rotations {
        add(rotation.statement, &|| {
            format!("rotation of node key {}", rotation.old)
        });
    }
    for update in state.updates.values() {
        add(update.attestation, &|| {
            format!("attestation of {} in round {}", update.client, update.round)
        });
        if let Some(adapter) = update.update {
            add(adapter, &|| {
                format!("update of {} in round {}", update.client, update.round)
            });
        }
    }
    for predicate in attested {
        add(predicate.transcript.blob, &|| {
            format!(
                "transcript of {} in round {}",
                predicate.client, predicate.round
            )
        });
        // Part of a shard, which the plan names, stays on the node.
        for used in predicate.data.iter().filter(|d| d.origin != "shard") {
            add(used.digest, &|| {
                format!(
                    "{} data of {} in round {}",
                    used.origin, predicate.client, predicate.round
                )
            });
        }
    }
    for (arm, rounds) in &state.arms {
        for (round, state) in rounds.iter().enumerate() {
            if let Some(AggregatedRef { global, .. }) = &state.aggregated {
                add(*global, &|| {
                    format!("global adapter of arm {arm} after round {round}")
                });
            }
        }
    }
    for (digest, controls) in controls {
        add(*digest, &|| "control variates of a round".into());
        add(controls.server, &|| "the server's control variate".into());
        for (client, digest) in &controls.clients {
            add(*digest, &|| format!("the control variate of {client}"));
        }
    }
    for ((arm, round), evaluated) in &state.evaluated {
        add(evaluated.result, &|| {
            format!("answers of arm {arm} after round {round}")
        });
    }
    for (arm, (adapter, data)) in &state.defended {
        add(*adapter, &|| format!("adapter of arm {arm}"));
        add(*data, &|| format!("defence data of arm {arm}"));
    }
    if state.canaries_open
        && let Some(canaries) = state.canaries
    {
        add(canaries, &|| "the opened canaries".into());
    }
    if let Some(report) = state.report {
        add(report, &|| "the report".into());
    }
    all
}

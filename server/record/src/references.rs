//! The blobs that a run refers to: all of them must be there, and no others.

use std::collections::BTreeMap;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::DeviceAggregate;

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
    let mut all = References::default();
    all.add(plan_digest, || "run.json".into());
    all.of_plan(plan);
    for rotation in &state.rotations {
        all.add(rotation.statement, || {
            format!("rotation of node key {}", rotation.old)
        });
    }
    all.of_updates(state);
    for predicate in attested {
        all.of_attestation(predicate);
    }
    all.of_rounds(state);
    for (digest, controls) in controls {
        all.of_controls(*digest, controls);
    }
    all.of_results(state);
    all.0
}

/// Blobs, each with the first thing that refers to it.
#[derive(Default)]
struct References(BTreeMap<Digest, String>);

impl References {
    fn add(&mut self, digest: Digest, what: impl FnOnce() -> String) {
        self.0.entry(digest).or_insert_with(what);
    }

    fn of_plan(&mut self, plan: &Plan) {
        self.add(plan.experiment, || "experiment.toml".into());
        self.add(plan.initial, || "the first global adapter".into());
        self.add(plan.evaluation, || "the evaluation prompts".into());
        for module in &plan.modules {
            self.add(module.digest, || format!("module {}", module.name));
            self.add(module.envelope, || {
                format!("signature of module {}", module.name)
            });
        }
        for client in &plan.clients {
            for assignment in client.assignments() {
                // A node keeps its shard.
                if !client.node {
                    self.add(assignment.shard, || format!("shard of {}", client.client));
                }
                if let Some(attachment) = assignment.attachment {
                    self.add(attachment, || format!("attachment of {}", client.client));
                }
            }
        }
    }

    fn of_updates(&mut self, state: &RunState) {
        for update in state.updates.values() {
            let of = || format!("of {} in round {}", update.client, update.round);
            self.add(update.attestation, || format!("attestation {}", of()));
            if let Some(adapter) = update.update {
                self.add(adapter, || format!("update {}", of()));
            }
        }
    }

    fn of_attestation(&mut self, predicate: &UpdatePredicate) {
        let of = || format!("of {} in round {}", predicate.client, predicate.round);
        self.add(predicate.transcript.blob, || format!("transcript {}", of()));
        // Part of a shard, which the plan names, stays on the node.
        for used in predicate.data.iter().filter(|d| d.origin != "shard") {
            self.add(used.digest, || format!("{} data {}", used.origin, of()));
        }
    }

    fn of_rounds(&mut self, state: &RunState) {
        for (arm, rounds) in &state.arms {
            for (round, state) in rounds.iter().enumerate() {
                if let Some(AggregatedRef { global, device, .. }) = &state.aggregated {
                    self.add(*global, || {
                        format!("global adapter of arm {arm} after round {round}")
                    });
                    if let Some(DeviceAggregate { delta, .. }) = device {
                        self.add(*delta, || {
                            format!("aggregate of arm {arm} in round {round}")
                        });
                    }
                }
                if let Some((data, adapter)) = state.input {
                    let of = || format!("server's input to round {round} of arm {arm}");
                    self.add(data, of);
                    if let Some(adapter) = adapter {
                        self.add(adapter, || format!("adapter of the {}", of()));
                    }
                }
                if let Some((adapter, data)) = state.tuned {
                    let of = || format!("of arm {arm} after round {round}");
                    self.add(adapter, || format!("tuned adapter {}", of()));
                    self.add(data, || format!("tuning data {}", of()));
                }
            }
        }
    }

    fn of_controls(&mut self, digest: Digest, controls: &Controls) {
        self.add(digest, || "control variates of a round".into());
        self.add(controls.server, || "the server's control variate".into());
        for (client, digest) in &controls.clients {
            self.add(*digest, || format!("the control variate of {client}"));
        }
    }

    fn of_results(&mut self, state: &RunState) {
        for ((arm, round), evaluated) in &state.evaluated {
            self.add(evaluated.result, || {
                format!("answers of arm {arm} after round {round}")
            });
        }
        for (arm, (adapter, data)) in &state.begun {
            self.add(*adapter, || format!("first adapter of arm {arm}"));
            self.add(*data, || format!("tuning data of arm {arm}"));
        }
        for (arm, (adapter, data)) in &state.defended {
            self.add(*adapter, || format!("adapter of arm {arm}"));
            self.add(*data, || format!("defence data of arm {arm}"));
        }
        if let Some(canaries) = state.canaries.filter(|_| state.canaries_open) {
            self.add(canaries, || "the opened canaries".into());
        }
        if let Some(report) = state.report {
            self.add(report, || "the report".into());
        }
    }
}

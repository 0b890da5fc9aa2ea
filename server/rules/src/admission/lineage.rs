//! The update must be trained from the round's global adapter, on the registered shard alone.

use fedseal_client_sdk::lineage::{Kind, Lineage, Node};

use super::definition::Definition;
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "lineage",
    help: "the update was trained from the round's global adapter on the registered shard alone",
    version: 1,
    numbers: &[],
    names: None,
    make: |_| Box::new(TrainedFromGlobalOnShard),
};

/// `train` (once or chained) from the current global adapter, over the registered shard or parts
/// of it; nothing else on the way.
pub struct TrainedFromGlobalOnShard;

impl Check for TrainedFromGlobalOnShard {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let lineage = &facts.attested.lineage;
        let Some(output) = lineage.output else {
            return Finding::fail("the lineage has no output");
        };
        let mut trains = 0;
        let mut current = output;
        // A chain of trainings can be no longer than the graph, which bounds this loop on graphs
        // that lie about their order.
        for _ in 0..=lineage.nodes.len() {
            let Some(node) = lineage.node(current) else {
                return Finding::fail(format!("node {current} is not in the lineage"));
            };
            match node.kind {
                Kind::Train => {
                    trains += 1;
                    // Control variates, where there are any, were held against the round's own
                    // before any check is asked.
                    let ([start, data] | [start, data, _, _]) = node.inputs.as_slice() else {
                        return Finding::fail(format!(
                            "train (node {current}) has {} inputs, not a start adapter and data",
                            node.inputs.len()
                        ));
                    };
                    if let Err(fact) = shard_only(lineage, *data, facts) {
                        return Finding::fail(fact);
                    }
                    current = *start;
                }
                Kind::Global => {
                    if node.digest != Some(facts.expected.global) {
                        return Finding::fail(format!(
                            "trained from adapter {}, not from this round's global {}",
                            short(node),
                            facts.expected.global.short()
                        ));
                    }
                    return if trains == 0 {
                        Finding::fail(
                            "the update is the global adapter itself, nothing was trained",
                        )
                    } else {
                        Finding::pass(format!(
                            "trained {trains} time(s) from the global adapter on shard {} alone",
                            facts.expected.shard.short()
                        ))
                    };
                }
                // The node's own step by its data holder's rules, which no guest can write.
                Kind::Clip | Kind::Noise if node.by_site() => {
                    let [start] = node.inputs.as_slice() else {
                        return Finding::fail(format!("node {current} has no one input"));
                    };
                    current = *start;
                }
                other => {
                    return Finding::fail(format!(
                        "node {current} on the way from the global adapter is `{}`, not `train`",
                        name(other)
                    ));
                }
            }
        }
        Finding::fail("the lineage turns in a circle")
    }
}

/// Whether a data node is the registered shard or made of it alone.
fn shard_only(lineage: &Lineage, id: u32, facts: &Facts<'_>) -> Result<(), String> {
    // Every dataset among its ancestors, each once: no recursion over a depth from outside.
    for ancestor in lineage.ancestors(id) {
        let Some(node) = lineage.node(ancestor) else {
            continue;
        };
        match node.kind {
            Kind::Shard if node.digest == Some(facts.expected.shard) => {}
            Kind::Shard => {
                return Err(format!(
                    "trained on shard {}, the registered one is {}",
                    short(node),
                    facts.expected.shard.short()
                ));
            }
            Kind::Concat | Kind::Take if !node.inputs.is_empty() => {}
            other => {
                return Err(format!(
                    "trained on `{}` data (node {ancestor}, {} examples), not on the registered shard alone",
                    name(other),
                    node.count.unwrap_or_default()
                ));
            }
        }
    }
    if lineage.node(id).is_none() {
        return Err(format!("node {id} is not in the lineage"));
    }
    Ok(())
}

fn short(node: &Node) -> String {
    node.digest
        .map_or_else(|| "without digest".into(), |d| d.short())
}

/// The kind as records spell it.
pub(super) fn name(kind: Kind) -> String {
    serde_json::to_value(kind)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

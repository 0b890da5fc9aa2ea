//! The lineage: the graph of host objects from which an update was derived.
//!
//! A node's inputs come before it, so the graph has no cycle by construction. The host writes it
//! while it serves calls; [`Lineage::validate`] checks one that was read from outside.
//!
//! **Datasets.** `shard`, `literal` and `generated` nodes are sources with a `count` of
//! examples. An `examples` call that mixes literal and generated examples is written as one
//! source a run of equal origin, joined by a `concat`. `take` reads `params.offset` and
//! `params.count` examples of its one input. **Adapters.** `global` is the start; `train` has an
//! adapter and a dataset as inputs, and two `control` variates where it was corrected by them; the
//! others are arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::{Error, Result};

/// The graph of one execution.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The nodes; `nodes[i].id == i`, and every input of a node has a smaller id.
    pub nodes: Vec<Node>,
    /// The submitted adapter's node, when there was a submission.
    pub output: Option<u32>,
}

/// One host object, made by one host call.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its position in [`Lineage::nodes`].
    pub id: u32,
    /// How it was made.
    pub kind: Kind,
    /// The nodes it was made from.
    pub inputs: Vec<u32>,
    /// The digest of its content, where it has bytes.
    pub digest: Option<Digest>,
    /// Datasets: how many examples. Others: none.
    pub count: Option<u32>,
    /// The call's parameters, for example `factor` of a `scale`.
    pub params: BTreeMap<String, Value>,
}

impl Node {
    /// Parameter of a node that the data holder's site made, not the module.
    pub const BY: &'static str = "by";

    /// Whether the site made this node by its data holder's rules; no guest can write such a node.
    pub fn by_site(&self) -> bool {
        self.params.get(Self::BY).and_then(Value::as_str) == Some("site")
    }
}

/// How a host object came to be.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The frozen base model.
    Base,
    /// The global adapter at the round's start.
    Global,
    /// The client's registered shard.
    Shard,
    /// Examples that the guest brought along.
    Literal,
    /// Examples whose text a model wrote during this execution.
    Generated,
    /// Datasets, one after the other.
    Concat,
    /// A slice of a dataset.
    Take,
    /// A control variate of SCAFFOLD, the server's or this client's (`params.of`), as the host keeps
    /// it over the rounds; without a digest while it is zero.
    Control,
    /// LoRA training of an adapter on a dataset; corrected by two control variates, the server's and
    /// the client's, where those are inputs too.
    Train,
    /// An adapter times `params.factor`.
    Scale,
    /// A linear combination of two adapters.
    Add,
    /// An adapter plus Gaussian noise.
    Noise,
    /// An adapter clipped to a norm.
    Clip,
    /// An adapter's tensors handed to the guest.
    RawRead,
    /// Tensors written by the guest: whatever it wants.
    RawWrite,
}

impl Kind {
    /// Whether a node of this kind is a dataset.
    pub fn is_dataset(self) -> bool {
        matches!(
            self,
            Kind::Shard | Kind::Literal | Kind::Generated | Kind::Concat | Kind::Take
        )
    }
}

/// How many examples of each origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCounts {
    /// From the registered shard.
    pub shard: u64,
    /// Brought along by the guest.
    pub literal: u64,
    /// Written by a model during the execution.
    pub generated: u64,
}

impl DataCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.shard
            .saturating_add(self.literal)
            .saturating_add(self.generated)
    }

    /// The share that is not from the shard, in [0, 1]; 0 when there is no example.
    pub fn foreign_share(&self) -> f64 {
        let total = self.total();
        if total == 0 {
            return 0.0;
        }
        self.literal.saturating_add(self.generated) as f64 / total as f64
    }

    fn add(&mut self, kind: Kind, count: u64) {
        let slot = match kind {
            Kind::Shard => &mut self.shard,
            Kind::Literal => &mut self.literal,
            _ => &mut self.generated,
        };
        *slot = slot.saturating_add(count);
    }

    fn plus(self, other: DataCounts) -> DataCounts {
        DataCounts {
            shard: self.shard.saturating_add(other.shard),
            literal: self.literal.saturating_add(other.literal),
            generated: self.generated.saturating_add(other.generated),
        }
    }
}

/// A run of examples of one origin inside a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    kind: Kind,
    count: u64,
}

/// More runs than this, in all datasets together, are refused: `concat` can double them at every
/// step.
const MAX_RUNS: usize = 1 << 20;

impl Lineage {
    /// Appends a node and returns its id.
    pub fn push(
        &mut self,
        kind: Kind,
        inputs: Vec<u32>,
        digest: Option<Digest>,
        count: Option<u32>,
        params: BTreeMap<String, Value>,
    ) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            id,
            kind,
            inputs,
            digest,
            count,
            params,
        });
        id
    }

    /// The node of this id.
    pub fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    /// Checks the rules of the type: ids count from 0, inputs come before the node, the output
    /// exists and is an adapter, kinds have the inputs they need, counts agree.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the node and the rule.
    pub fn validate(&self) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            let bad = |detail: String| invalid(format!("node {i} ({:?}): {detail}", node.kind));
            if usize::try_from(node.id) != Ok(i) {
                return Err(bad(format!("it says it is node {}", node.id)));
            }
            if let Some(input) = node.inputs.iter().find(|input| **input >= node.id) {
                return Err(bad(format!("its input {input} does not come before it")));
            }
            let inputs: Vec<Kind> = node
                .inputs
                .iter()
                .filter_map(|id| self.node(*id))
                .map(|n| n.kind)
                .collect();
            let datasets = inputs.iter().filter(|k| k.is_dataset()).count();
            let fits = match node.kind {
                Kind::Base | Kind::Global | Kind::Shard | Kind::Literal | Kind::Control => true,
                Kind::Generated => datasets == 0,
                Kind::Concat => datasets == inputs.len(),
                Kind::Take => datasets == 1 && inputs.len() == 1,
                Kind::Train => {
                    datasets == 1
                        && match inputs.get(2..).unwrap_or_default() {
                            [] => inputs.len() == 2,
                            control => *control == [Kind::Control; 2],
                        }
                }
                Kind::Add => datasets == 0 && inputs.len() == 2,
                Kind::Scale | Kind::Noise | Kind::Clip | Kind::RawRead => {
                    datasets == 0 && inputs.len() == 1
                }
                Kind::RawWrite => datasets == 0,
            };
            if !fits {
                return Err(bad(format!("inputs of kinds {inputs:?} do not fit")));
            }
            if node.kind.is_dataset() != node.count.is_some() {
                return Err(bad("a dataset, and nothing else, has a count".into()));
            }
        }
        if let Some(output) = self.output {
            match self.node(output) {
                Some(n)
                    if !n.kind.is_dataset()
                        && !matches!(n.kind, Kind::Base | Kind::RawRead | Kind::Control) => {}
                Some(n) => return Err(invalid(format!("the output {output} is a {:?}", n.kind))),
                None => return Err(invalid(format!("the output {output} does not exist"))),
            }
        }
        Ok(())
    }

    /// The node itself and everything it was derived from. Ids that do not exist are left out.
    pub fn ancestors(&self, id: u32) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if let Some(node) = self.node(id)
                && seen.insert(id)
            {
                open.extend(&node.inputs);
            }
        }
        seen
    }

    /// Whether any of these kinds is among the output's ancestors, and which node.
    pub fn find_ancestor(&self, output: u32, kinds: &[Kind]) -> Option<&Node> {
        self.ancestors(output)
            .into_iter()
            .filter_map(|id| self.node(id))
            .find(|n| kinds.contains(&n.kind))
    }

    /// The `train` nodes from which a node was derived, each with what its dataset holds.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a dataset is malformed (see [`Lineage::validate`]) or a `take`
    /// reads past its input's end.
    pub fn trainings(&self, output: u32) -> Result<Vec<(u32, DataCounts)>> {
        let mut datasets: BTreeMap<u32, Vec<Run>> = BTreeMap::new();
        let mut kept = 0;
        let mut out = Vec::new();
        // One pass in order of ids: inputs are done before the nodes that read them.
        for id in self.ancestors(output) {
            let Some(node) = self.node(id) else { continue };
            if node.kind == Kind::Train {
                let mut counts = DataCounts::default();
                let parts = node.inputs.iter().filter_map(|input| datasets.get(input));
                for run in parts.flatten() {
                    counts.add(run.kind, run.count);
                }
                out.push((id, counts));
            } else if node.kind.is_dataset() {
                let runs = runs_of(node, &datasets, MAX_RUNS - kept)?;
                kept += runs.len();
                datasets.insert(id, runs);
            }
        }
        Ok(out)
    }

    /// Numbers of the examples that a node was trained on: the sum over its [`Lineage::trainings`].
    /// An example that occurs twice in a dataset, or in two trainings, counts twice. A check
    /// against dilution should also look at the trainings one by one.
    ///
    /// # Errors
    /// As [`Lineage::trainings`].
    pub fn data_counts(&self, output: u32) -> Result<DataCounts> {
        Ok(self
            .trainings(output)?
            .into_iter()
            .fold(DataCounts::default(), |sum, (_, counts)| sum.plus(counts)))
    }
}

/// Runs of equal origin in a dataset, in order, from the runs of earlier nodes; at most `most` runs.
fn runs_of(node: &Node, before: &BTreeMap<u32, Vec<Run>>, most: usize) -> Result<Vec<Run>> {
    let bad = |detail: &str| invalid(format!("node {} ({:?}): {detail}", node.id, node.kind));
    let mut runs = Vec::new();
    let mut inputs = node.inputs.iter().map(|input| {
        before
            .get(input)
            .ok_or_else(|| bad("an input is no dataset before it"))
    });
    match node.kind {
        Kind::Concat => {
            for input in inputs {
                for run in input? {
                    push_run(&mut runs, *run);
                }
                if runs.len() > most {
                    return Err(bad(&format!(
                        "more than {MAX_RUNS} runs in all datasets together"
                    )));
                }
            }
        }
        Kind::Take => {
            let number = |key: &str| node.params.get(key).and_then(Value::as_u64);
            let (Some(offset), Some(count)) = (number("offset"), number("count")) else {
                return Err(bad("it needs whole numbers offset and count"));
            };
            let input = inputs.next().ok_or_else(|| bad("it has no input"))??;
            runs = slice(input, offset, count).ok_or_else(|| bad("past its input's end"))?;
        }
        kind => push_run(
            &mut runs,
            Run {
                kind,
                count: node.count.unwrap_or(0).into(),
            },
        ),
    }
    if runs.len() > most {
        return Err(bad(&format!(
            "more than {MAX_RUNS} runs in all datasets together"
        )));
    }
    let total = runs
        .iter()
        .fold(0_u64, |sum, run| sum.saturating_add(run.count));
    if node.count.map(u64::from) != Some(total) {
        return Err(bad(&format!(
            "its count is {:?}, its parts sum to {total}",
            node.count
        )));
    }
    Ok(runs)
}

fn push_run(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.kind == run.kind => last.count = last.count.saturating_add(run.count),
        _ if run.count == 0 => {}
        _ => runs.push(run),
    }
}

/// `count` examples from `offset`; none when there are fewer.
fn slice(runs: &[Run], mut offset: u64, mut count: u64) -> Option<Vec<Run>> {
    let mut out = Vec::new();
    for run in runs {
        let skip = offset.min(run.count);
        offset -= skip;
        let taken = count.min(run.count - skip);
        count -= taken;
        push_run(
            &mut out,
            Run {
                kind: run.kind,
                count: taken,
            },
        );
    }
    (offset == 0 && count == 0).then_some(out)
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "lineage",
        detail,
    }
}

#[cfg(test)]
mod tests;

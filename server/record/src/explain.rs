//! Where an update came from, in sentences. Everything is read from the attestation and the log. The
//! sentences also say on whose word each fact rests.

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::{Kind, Lineage, Node};
use fedseal_client_sdk::record::Effect;
use fedseal_client_sdk::tlog::{leaf_hash, verify_inclusion};
use serde::Serialize;
use serde_json::Value;

use crate::basis::Basis;
use crate::error::Result;
use crate::opened::OpenRun;
use crate::rundir::Plan;
use crate::state::{RunState, UpdateRef};
use fedseal_rules::admission::binding::EXECUTION;
use fedseal_rules::evaluation::percent;

/// An update explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Its id.
    pub update: Digest,
    /// Its entry in the log.
    pub entry: u64,
    /// The sentences, in order.
    pub sentences: Vec<String>,
}

/// Explains the update of a run whose id begins so.
///
/// # Errors
/// As [`OpenRun::read`] and [`OpenRun::update`]; the update's place in the log is proved on the way.
pub fn explain(dir: impl AsRef<std::path::Path>, prefix: &str) -> Result<Explanation> {
    let mut run = OpenRun::read(dir)?;
    let (update, attested) = run.update(prefix)?;
    let mut sentences = Vec::new();
    let head = run.log.checkpoint();
    let proof = run.log.prove_inclusion(update.entry, head.size)?;
    let leaf = leaf_hash(&run.log.entry(update.entry)?);
    verify_inclusion(leaf, update.entry, head.size, &proof, head.root)?;
    sentences.push(format!(
        "Update {} is what {} handed in for round {}; it is entry {} of the {} in log {}, under root {}.",
        update.attestation.short(),
        attested.client,
        attested.round,
        update.entry,
        head.size,
        head.origin,
        head.root
    ));
    sentences.extend(origin(&attested, &run.plan));
    sentences.extend(verdicts(&run.state, &update));
    sentences.push(match Basis::of(&run.plan, &attested) {
        Basis::Executed => "That these steps were taken is the node's signed word; `fedseal replay` \
                            takes them again and compares. That the shard holds what the client says \
                            is the client's word."
            .into(),
        Basis::Attested => format!(
            "That these steps were taken rests on the word of node {} alone, which owns its key and \
             keeps its shard; `fedseal replay --shard FILE` at its site takes them again and compares. \
             That the shard holds what the client says is the client's word.",
            attested.node.key_id()
        ),
        Basis::Absent => "That nothing was delivered in time is the coordinator's signed word; the \
                          node's own log says what it sent."
            .into(),
    });
    Ok(Explanation {
        update: update.attestation,
        entry: update.entry,
        sentences,
    })
}

/// Sentences that follow from the attestation alone; `plan` gives names to keys and modules.
pub fn origin(attested: &UpdatePredicate, plan: &Plan) -> Vec<String> {
    let name = plan
        .module_name(&attested.module)
        .unwrap_or("(not in the plan)");
    let author = plan
        .authors
        .name_of(&attested.module_signer)
        .unwrap_or("somebody who is not in the plan");
    let mut out = vec![
        format!(
            "The node with key {} executed module {name} ({}), signed by {author} with key {}.",
            attested.node,
            attested.module.short(),
            attested.module_signer
        ),
        format!(
            "It ran on base {} from global adapter {} with seed {}, on engine {}.",
            attested.base.short(),
            attested.global.short(),
            attested.seed,
            attested.engine
        ),
    ];
    if let Some(failure) = &attested.failure {
        out.push(format!(
            "It gave no update: {} ({}).",
            failure.reason, failure.detail
        ));
    }
    if let Some(output) = attested.lineage.output {
        let steps: Vec<String> = attested
            .lineage
            .ancestors(output)
            .into_iter()
            .filter_map(|id| attested.lineage.node(id))
            .map(step)
            .collect();
        out.push(format!("How it was made: {}.", steps.join("; ")));
        out.push(shares(&attested.lineage, output));
    }
    if let Some(score) = attested.data_score {
        out.push(format!(
            "The node's data check gives the examples a mean score of {score:.3}, of 0 to 1."
        ));
    }
    out.push(format!(
        "The module made {} host calls (transcript root {}), trained {} steps on {} tokens, had {} \
         tokens written, and used {} of {} fuel units.",
        attested.used.host_calls,
        attested.transcript.root.short(),
        attested.used.train_steps,
        attested.used.train_tokens,
        attested.used.generated_tokens,
        attested.used.fuel,
        attested.limits.fuel
    ));
    if attested.update.is_some() {
        out.push(format!(
            "It claims a weight of {} examples in the average.",
            attested.examples
        ));
    }
    out
}

/// One node of the lineage as a clause.
fn step(node: &Node) -> String {
    let digest = node
        .digest
        .map(|d| format!(" {}", d.short()))
        .unwrap_or_default();
    let count = node.count.unwrap_or_default();
    let number = |key: &str| {
        node.params
            .get(key)
            .map_or_else(|| "?".to_owned(), Value::to_string)
    };
    let input = |index: usize| {
        node.inputs
            .get(index)
            .map_or_else(|| "?".to_owned(), |id| format!("#{id}"))
    };
    let what = match node.kind {
        Kind::Base => format!("the base model{digest}"),
        Kind::Global => format!("the round's global adapter{digest}"),
        Kind::Shard => format!("{count} examples of the registered shard{digest}"),
        Kind::Literal => {
            format!("{count} examples{digest} that the module or its client brought along")
        }
        Kind::Generated => {
            format!("{count} examples{digest} whose text a model wrote during the execution")
        }
        Kind::Concat => format!(
            "{count} examples, datasets {} one after the other",
            list(node)
        ),
        Kind::Take => format!(
            "{count} examples of {} from number {} on",
            input(0),
            number("offset")
        ),
        Kind::Control => format!(
            "the {}'s control variate{}",
            node.params.get("of").and_then(Value::as_str).unwrap_or("?"),
            node.digest
                .map_or(", zero".into(), |d| format!(" {}", d.short()))
        ),
        Kind::Train => format!(
            "adapter{digest}, {} trained on {} for {} steps of {} examples at learning rate {}{}",
            input(0),
            input(1),
            number("steps"),
            number("batch-size"),
            number("learning-rate"),
            match node.inputs.get(2..).unwrap_or_default() {
                [] => String::new(),
                _ => format!(", corrected by {} and {}", input(2), input(3)),
            }
        ),
        Kind::Scale => format!("adapter{digest}, {} times {}", input(0), number("factor")),
        Kind::Add => format!(
            "adapter{digest}, {} times {} plus {} times {}",
            input(0),
            number("left-factor"),
            input(1),
            number("right-factor")
        ),
        Kind::Noise => format!(
            "adapter{digest}, {} plus Gaussian noise of {}",
            input(0),
            number("std")
        ),
        Kind::Clip => format!(
            "adapter{digest}, {} clipped to norm {}",
            input(0),
            number("norm")
        ),
        Kind::RawRead => format!("the raw tensors of {}, read by the module", input(0)),
        Kind::RawWrite => {
            format!("adapter{digest}, raw tensors that the module wrote: whatever it wanted")
        }
    };
    format!("#{} is {what}", node.id)
}

fn list(node: &Node) -> String {
    let all: Vec<String> = node.inputs.iter().map(|id| format!("#{id}")).collect();
    all.join(", ")
}

/// Sentence on the examples that it was trained on, by origin.
fn shares(lineage: &Lineage, output: u32) -> String {
    match lineage.data_counts(output) {
        Ok(counts) if counts.total() == 0 => "Nothing was trained.".into(),
        Ok(counts) => format!(
            "Of the {} examples it was trained on, {} are the registered shard's, {} were brought \
             along and {} were written by a model: {} % are not the shard's.",
            counts.total(),
            counts.shard,
            counts.literal,
            counts.generated,
            percent::of(
                counts.literal.saturating_add(counts.generated),
                counts.total()
            )
        ),
        Err(error) => format!("What it was trained on cannot be counted: {error}."),
    }
}

/// Sentences on each arm's verdict, and on how much the update counted there.
fn verdicts(state: &RunState, update: &UpdateRef) -> Vec<String> {
    let mut out = Vec::new();
    for (arm, round, verdict) in state.verdicts(update) {
        let word = match verdict.effect {
            Effect::Accept => "accepted it",
            Effect::DownWeight => "gave it a smaller weight",
            Effect::Quarantine => "put it aside",
            Effect::Reject if verdict.check == EXECUTION => "got no update",
            Effect::Reject => "refused it",
        };
        let weight = round.aggregated.as_ref().map_or_else(
            || "; the round is not aggregated yet".to_owned(),
            |aggregated| {
                let weight = round.weight(&update.client).unwrap_or_default();
                let device = round.device().map(|device| format!(" on device {device}"));
                format!(
                    "; its weight in the aggregate by {}{} is {weight:.4}",
                    aggregated.rule,
                    device.unwrap_or_default()
                )
            },
        );
        out.push(format!(
            "Arm {arm} {word} by check `{}` ({}), entry {}{weight}.",
            verdict.check, verdict.fact, verdict.entry
        ));
    }
    if out.is_empty() {
        out.push("No arm has decided about it yet.".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_kind_of_step_has_words() {
        let node = |kind, inputs: Vec<u32>, params: &[(&str, Value)]| Node {
            id: 7,
            kind,
            inputs,
            digest: Some(Digest::of(b"x")),
            count: Some(3),
            params: params
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        };
        for (kind, inputs, params, words) in [
            (
                Kind::Train,
                vec![0, 1],
                vec![("steps", 4.into())],
                "#0 trained on #1 for 4 steps",
            ),
            (
                Kind::Scale,
                vec![2],
                vec![("factor", 2.5.into())],
                "#2 times 2.5",
            ),
            (Kind::Concat, vec![1, 2], vec![], "datasets #1, #2"),
            (Kind::RawWrite, vec![], vec![], "whatever it wanted"),
            (Kind::Generated, vec![], vec![], "a model wrote"),
        ] {
            let text = step(&node(kind, inputs, &params));
            assert!(text.starts_with("#7 is ") && text.contains(words), "{text}");
        }
        // A lineage that lies about its inputs is still put into words.
        assert!(step(&node(Kind::Train, vec![], &[])).contains('?'));
    }

    #[test]
    fn foreign_data_are_counted() {
        let mut lineage = Lineage::default();
        let global = lineage.push(Kind::Global, vec![], None, None, BTreeMap::new());
        let shard = lineage.push(Kind::Shard, vec![], None, Some(100), BTreeMap::new());
        let train = lineage.push(
            Kind::Train,
            vec![global, shard],
            None,
            None,
            BTreeMap::new(),
        );
        let text = shares(&lineage, train);
        assert!(text.contains("0.0 % are not the shard's"), "{text}");
        let literal = lineage.push(Kind::Literal, vec![], None, Some(100), BTreeMap::new());
        let both = lineage.push(
            Kind::Concat,
            vec![shard, literal],
            None,
            Some(200),
            BTreeMap::new(),
        );
        let train = lineage.push(Kind::Train, vec![global, both], None, None, BTreeMap::new());
        let text = shares(&lineage, train);
        assert!(
            text.contains("Of the 200 examples") && text.contains("50.0 %"),
            "{text}"
        );
    }
}

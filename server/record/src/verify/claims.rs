//! Checks the numbers in an attestation against other evidence: claimed examples against the transcript,
//! sizes of data against their blobs and the registered shard, the data check's score against the check.

use std::collections::HashMap;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::transcript::Transcript;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::law::same_score;
use crate::opened::OpenRun;
use crate::read::read_examples;
use crate::rundir::Assignment;
use fedseal_data::check::DataCheck;
use fedseal_rules::formulas::Others;

/// Scores of data sets by digest: mean, number of examples.
type Scores = HashMap<Digest, (f64, usize)>;

impl OpenRun {
    /// Checks every attestation's claims.
    pub(super) fn claims(&mut self, others: &Others) -> Result<()> {
        // The data check learns from the data source, which is at hand only where it is built in.
        let judge = DataCheck::built_in(&self.experiment.data.source);
        let judge = judge.filter(|_| !others.score());
        let mut scores = Scores::new();
        for id in self.state.attestations.keys() {
            let attested = self.evidence.attested(&self.blobs, id, self.plan.node)?;
            let problem = match self.data_claims(&attested)? {
                None => self.weight_claim(&attested)?,
                problem => problem,
            };
            let problem = match (problem, judge) {
                (None, Some(judge)) => self.score_claim(&attested, judge, &mut scores)?,
                (problem, _) => problem,
            };
            if let Some(problem) = problem {
                return Err(Error::tampered(format!("attestation {id}"), problem));
            }
        }
        Ok(())
    }

    /// Checks that the claimed examples are those that the module submitted.
    fn weight_claim(&self, attested: &UpdatePredicate) -> Result<Option<String>> {
        if attested.update.is_none() {
            return Ok(match attested.examples {
                0 => None,
                n => Some(format!("claims {n} examples and no update")),
            });
        }
        let transcript = Transcript::from_bytes(&self.blobs.get(&attested.transcript.blob)?)?;
        let submitted: Vec<Option<u64>> = transcript
            .entries()?
            .iter()
            .filter(|entry| entry.call == "submit" && entry.result.get("error").is_none())
            .map(|entry| entry.args.get("examples").and_then(Value::as_u64))
            .collect();
        let claimed = u64::from(attested.examples);
        // Executors without a sandbox did not write their submission down before runs had formulas.
        if submitted.is_empty() && !self.plan.counts_failures() {
            return Ok(None);
        }
        Ok(match submitted.as_slice() {
            [Some(named)] if *named == claimed => None,
            _ => Some(format!(
                "claims {claimed} examples, its transcript does not submit an update with so many"
            )),
        })
    }

    /// Checks that data have as many examples as their blobs, and shards as many as were registered.
    fn data_claims(&self, attested: &UpdatePredicate) -> Result<Option<String>> {
        let shards: Vec<&Assignment> = match self.plan.client(&attested.client) {
            Some((_, planned)) => planned.assignments().collect(),
            None => return Ok(Some("is of a client that run.json does not have".into())),
        };
        for used in &attested.data {
            let fits = match used.origin.as_str() {
                // A part of a shard stays on the node: only its size is known.
                "shard" => shards.iter().any(|shard| match used.digest == shard.shard {
                    true => used.examples == shard.examples,
                    false => used.examples < shard.examples,
                }),
                _ => {
                    let held = read_examples(&self.blobs, &used.digest)?.len();
                    held as u64 == u64::from(used.examples)
                }
            };
            if !fits {
                return Ok(Some(format!(
                    "claims {} {} examples in {}, which are not so many",
                    used.examples, used.origin, used.digest
                )));
            }
        }
        let shard_nodes = attested.lineage.nodes.iter();
        for node in shard_nodes.filter(|node| node.kind == Kind::Shard) {
            let registered = shards.iter().any(|shard| {
                node.digest == Some(shard.shard) && node.count == Some(shard.examples)
            });
            if !registered {
                return Ok(Some(format!(
                    "names a shard (node {}) that is not the registered one, or of another size",
                    node.id
                )));
            }
        }
        Ok(None)
    }

    /// Computes the data check's score again where all of its data are at hand.
    fn score_claim(
        &self,
        attested: &UpdatePredicate,
        judge: &DataCheck,
        scores: &mut Scores,
    ) -> Result<Option<String>> {
        let (mut sum, mut count) = (0.0, 0);
        for used in &attested.data {
            if !self.blobs.contains(&used.digest) {
                return Ok(None);
            }
            let (score, examples) = match scores.get(&used.digest) {
                Some(known) => *known,
                None => {
                    let examples = read_examples(&self.blobs, &used.digest)?;
                    let known = (judge.score(&examples).score, examples.len());
                    scores.insert(used.digest, known);
                    known
                }
            };
            sum += score * examples as f64;
            count += examples;
        }
        let again = (count > 0).then(|| (sum / count as f64).clamp(0.0, 1.0));
        Ok(match same_score(attested.data_score, again) {
            true => None,
            false => Some(format!(
                "claims a data score of {:?}, the data check gives {again:?}",
                attested.data_score
            )),
        })
    }
}

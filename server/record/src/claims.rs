//! Claims of an attestation, held against the evidence that it names: the transcript's root, claimed examples
//! against the transcript, sizes of data against their blobs and the registered shard, the data check's score
//! against the check. An auditor asks about every logged update, a coordinator before it takes one of a node.

use std::collections::HashMap;

use fedseal_adapter::Example;
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_data::check::DataCheck;
use fedseal_rules::experiment::Experiment;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::law::same_score;
use crate::read::Held;
use crate::rundir::{Assignment, Plan};

/// Scores of data sets by digest: mean, number of examples.
pub type Scores = HashMap<Digest, (f64, usize)>;

/// A run's plan with the evidence that attestations are held against.
pub struct Claims<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The evidence.
    pub held: &'a dyn Held,
}

impl Claims<'_> {
    fn examples(&self, digest: &Digest) -> Result<Vec<Example>> {
        Ok(canonical::from_slice(&self.held.bytes(digest)?)?)
    }

    /// The transcript of the attestation `id`, which hashes to the root that it binds. Engine and limits are
    /// the run's, but where site rules may have tightened the limits: they are asked apart.
    ///
    /// # Errors
    /// [`Error::Tampered`] with the part that does not hold.
    pub fn transcript(&self, id: &Digest, attested: &UpdatePredicate) -> Result<Transcript> {
        let reference = &attested.transcript;
        let item = format!("transcript {}", reference.blob);
        let transcript = Transcript::from_bytes(&self.held.bytes(&reference.blob)?)
            .map_err(|error| Error::tampered(&item, error))?;
        let root = transcript.root();
        if root != reference.root {
            return Err(Error::mismatch(
                &item,
                format!("does not hash to the root in attestation {id}"),
                &reference.root,
                &root,
            ));
        }
        if transcript.len() as u64 != u64::from(reference.entries) {
            return Err(Error::tampered(
                &item,
                format!(
                    "has {} entries, the attestation says {}",
                    transcript.len(),
                    reference.entries
                ),
            ));
        }
        let ruled = self.plan.site(self.experiment, &attested.client).is_some();
        if attested.engine != self.plan.engine
            || (!ruled && attested.limits != self.experiment.limits)
        {
            return Err(Error::tampered(
                format!("attestation {id}"),
                "names another engine or other limits than the run's",
            ));
        }
        Ok(transcript)
    }

    /// The first claim about data, examples or score that does not hold. `judge` is the data check where it
    /// is at hand.
    ///
    /// # Errors
    /// Evidence that is missing or cannot be read.
    pub fn problem(
        &self,
        attested: &UpdatePredicate,
        judge: Option<&DataCheck>,
        scores: &mut Scores,
    ) -> Result<Option<String>> {
        let problem = match self.data(attested)? {
            None => self.weight(attested)?,
            problem => problem,
        };
        match (problem, judge) {
            (None, Some(judge)) => self.score(attested, judge, scores),
            (problem, _) => Ok(problem),
        }
    }

    /// Checks that the claimed examples are those that the module submitted.
    fn weight(&self, attested: &UpdatePredicate) -> Result<Option<String>> {
        if attested.update.is_none() {
            return Ok(match attested.examples {
                0 => None,
                n => Some(format!("claims {n} examples and no update")),
            });
        }
        let transcript = Transcript::from_bytes(&self.held.bytes(&attested.transcript.blob)?)?;
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
    fn data(&self, attested: &UpdatePredicate) -> Result<Option<String>> {
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
                    let held = self.examples(&used.digest)?.len();
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
    fn score(
        &self,
        attested: &UpdatePredicate,
        judge: &DataCheck,
        scores: &mut Scores,
    ) -> Result<Option<String>> {
        let (mut sum, mut count) = (0.0, 0);
        for used in &attested.data {
            if !self.held.has(&used.digest) {
                return Ok(None);
            }
            let (score, examples) = match scores.get(&used.digest) {
                Some(known) => *known,
                None => {
                    let examples = self.examples(&used.digest)?;
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

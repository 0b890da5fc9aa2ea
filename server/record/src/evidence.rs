//! Evidence that was read before, parsed: attestations, answers, counts of defences.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_ledger::Blobs;

use crate::basis;
use crate::blobs::{DefenceData, EvaluationSet, Measured};
use crate::error::{Error, Result};
use crate::rundir::Plan;
use fedseal_rules::evaluation::wilson::Share;

/// Blobs that were read before, parsed.
#[derive(Default)]
pub struct Cache {
    attested: HashMap<Digest, Arc<UpdatePredicate>>,
    measured: HashMap<Digest, Arc<Measured>>,
    defences: HashMap<Digest, DefenceCounts>,
    /// The evaluation set, and shares of a measure's answers by their digest.
    set: Option<Arc<EvaluationSet>>,
    shares: HashMap<Digest, BTreeMap<String, Share>>,
}

impl Cache {
    /// The verified statement of an attestation, by a key that may attest it in this run.
    pub fn attested(
        &mut self,
        blobs: &Blobs,
        id: &Digest,
        plan: &Plan,
    ) -> Result<Arc<UpdatePredicate>> {
        if let Some(predicate) = self.attested.get(id) {
            return Ok(predicate.clone());
        }
        let envelope = Envelope::from_bytes(&blobs.get(id)?)?;
        let verified = basis::verified(plan, &envelope)
            .map_err(|error| Error::tampered(format!("attestation {id}"), error))?;
        let predicate = Arc::new(verified);
        self.attested.insert(*id, predicate.clone());
        Ok(predicate)
    }

    /// Keeps a statement that was just signed.
    pub fn remember(&mut self, id: Digest, predicate: UpdatePredicate) {
        self.attested.insert(id, Arc::new(predicate));
    }

    /// The answers of a measure.
    pub fn measured(&mut self, blobs: &Blobs, result: &Digest) -> Result<Arc<Measured>> {
        if let Some(measured) = self.measured.get(result) {
            return Ok(measured.clone());
        }
        let measured: Arc<Measured> = Arc::new(canonical::from_slice(&blobs.get(result)?)?);
        self.measured.insert(*result, measured.clone());
        Ok(measured)
    }

    /// Safety and helpfulness of a measure.
    pub fn rates(&mut self, blobs: &Blobs, result: &Digest) -> Result<(Share, Share)> {
        let measured = self.measured(blobs, result)?;
        Ok((measured.safety(), measured.helpfulness()))
    }

    /// Shares of a measure's answers by every measure of the plan. `source` is the name of the data source.
    pub fn shares(
        &mut self,
        blobs: &Blobs,
        plan: &Plan,
        source: &str,
        result: &Digest,
    ) -> Result<BTreeMap<String, Share>> {
        if plan.measures.is_empty() {
            return Ok(BTreeMap::new());
        }
        if let Some(shares) = self.shares.get(result) {
            return Ok(shares.clone());
        }
        let set = match &self.set {
            Some(set) => set.clone(),
            None => Arc::new(canonical::from_slice(&blobs.get(&plan.evaluation)?)?),
        };
        self.set = Some(set.clone());
        let measured = self.measured(blobs, result)?;
        let mut shares = BTreeMap::new();
        for measure in &plan.measures {
            // One that only a later program knows is taken as it was written, see `verify`.
            if let Some(judge) = measure.judge() {
                let (_, hits) = measured.judged(judge, measure.template(), &set, source);
                shares.insert(measure.name.clone(), Share::of(hits));
            }
        }
        self.shares.insert(*result, shares.clone());
        Ok(shares)
    }

    /// The counts of a defence's data.
    pub fn defence(&mut self, blobs: &Blobs, digest: &Digest) -> Result<DefenceCounts> {
        if let Some(counts) = self.defences.get(digest) {
            return Ok(counts.clone());
        }
        let data = DefenceData::from_bytes(&blobs.get(digest)?)?;
        let counts = DefenceCounts {
            counts: data.shown(),
            defence: data.defence,
        };
        self.defences.insert(*digest, counts.clone());
        Ok(counts)
    }
}

/// A defence, and the numbers that its data count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefenceCounts {
    /// Name of the defence.
    pub defence: String,
    /// Its counts, and the lengths of its lists of examples.
    pub counts: BTreeMap<String, u64>,
}

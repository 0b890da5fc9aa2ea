//! From an execution to its evidence: transcript, adapter and data as blobs, the signed
//! attestation, the log's record.
//!
//! [`attest`] is a pure function and runs on the thread that executed. Elsewhere a worker makes the
//! statement ([`state`]) and the run signs it. [`store`] makes results durable, many at once: a disk takes a
//! hundred files in little more time than one.

use std::sync::Arc;

use fedseal_client_sdk::attestation::{self, TranscriptRef, UpdatePredicate};
use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_client_sdk::record::Record;
use fedseal_ledger::Blobs;
use fedseal_sandbox::{RunOutcome, examples_bytes};
use fedseal_tuning::Adapter;

use crate::{Error, Result};

/// Identity of an execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Memo key that determines it; see [`Record::Update`].
    pub key: Digest,
    /// Its client.
    pub client: ClientId,
    /// Its round.
    pub round: Round,
    /// The seed of its random numbers.
    pub seed: Seed,
    /// The module that ran, and who signed it.
    pub module: Digest,
    /// See [`UpdatePredicate::module_signer`].
    pub signer: PublicKey,
    /// The global adapter at the round's start. Its blob was stored before the round opened.
    pub global: Digest,
}

/// The attesting node, and the values that are equal for all executions of a run.
#[derive(Clone, Debug)]
pub struct Attester {
    /// The node's key.
    pub key: SigningKey,
    /// The base model.
    pub base: Digest,
    /// The engine's fingerprint.
    pub engine: String,
}

/// Evidence that an execution leaves for others.
#[derive(Debug)]
pub struct Evidence {
    /// Statement of the node.
    pub predicate: UpdatePredicate,
    /// See [`Execution::key`].
    pub key: Digest,
    /// The digest of its envelope: the update's id.
    pub attestation: Digest,
    /// The log's record of it.
    pub record: Record,
    /// The adapter, if there is an update.
    pub adapter: Option<(Digest, Arc<Adapter>)>,
    /// The guest's log lines.
    pub log: Vec<String>,
    /// Everything that the attestation names by digest and that is not stored yet, and the
    /// envelope itself.
    pub(crate) blobs: Vec<Hashed>,
}

/// Statement about an execution before it is signed, with everything that it names.
#[derive(Debug)]
pub struct Stated {
    /// The statement.
    pub predicate: UpdatePredicate,
    /// See [`Execution::key`].
    pub key: Digest,
    /// The adapter, if there is an update.
    pub adapter: Option<(Digest, Arc<Adapter>)>,
    /// The guest's log lines.
    pub log: Vec<String>,
    /// Blobs that the statement names and that are not stored yet.
    pub(crate) blobs: Vec<Hashed>,
}

impl Stated {
    /// Signs it, as the node that it names.
    ///
    /// # Errors
    /// As [`attestation::sign`].
    pub fn signed(mut self, key: &SigningKey) -> Result<Evidence> {
        let envelope = Hashed::of(attestation::sign(&self.predicate, key)?.to_bytes());
        let attestation = envelope.digest();
        self.blobs.push(envelope);
        Ok(self.attested(attestation))
    }

    /// As an attestation of this digest states it, which is among its blobs.
    pub(crate) fn attested(self, attestation: Digest) -> Evidence {
        let record = Record::Update {
            key: self.key,
            client: self.predicate.client.clone(),
            round: self.predicate.round,
            attestation,
            update: self.predicate.update,
        };
        Evidence {
            predicate: self.predicate,
            key: self.key,
            attestation,
            record,
            adapter: self.adapter,
            log: self.log,
            blobs: self.blobs,
        }
    }
}

/// The node that an execution is stated of, and the values that are equal for all executions of a run.
#[derive(Clone, Debug)]
pub struct Stating<'a> {
    /// The node's public key.
    pub node: PublicKey,
    /// The base model.
    pub base: Digest,
    /// The engine's fingerprint.
    pub engine: &'a str,
}

/// Attests an execution. `score` is the data check's, `seconds` the time that it took in all.
///
/// # Errors
/// As [`attestation::sign`] and [`state`].
pub fn attest(
    attester: &Attester,
    execution: Execution,
    outcome: RunOutcome,
    score: Option<f64>,
    seconds: f64,
) -> Result<Evidence> {
    let stating = Stating {
        node: attester.key.public(),
        base: attester.base,
        engine: &attester.engine,
    };
    state(&stating, execution, outcome, score, seconds)?.signed(&attester.key)
}

/// As [`attest`], without the signature.
///
/// # Errors
/// An object of the sandbox whose digest its bytes do not have.
pub fn state(
    stating: &Stating<'_>,
    execution: Execution,
    outcome: RunOutcome,
    score: Option<f64>,
    seconds: f64,
) -> Result<Stated> {
    let transcript = Hashed::of(outcome.transcript.to_bytes());
    let reference = TranscriptRef {
        root: outcome.transcript.root(),
        entries: u32::try_from(outcome.transcript.len()).unwrap_or(u32::MAX),
        blob: transcript.digest(),
    };
    let mut blobs = vec![transcript];
    for (digest, examples) in &outcome.datasets {
        blobs.push(named(digest, Hashed::of(examples_bytes(examples)))?);
    }
    let (adapter, examples, failure) = match outcome.submission {
        Ok(submission) => {
            if submission.digest != execution.global {
                let bytes = submission.bytes;
                let bytes = bytes.unwrap_or_else(|| Hashed::of(submission.adapter.to_bytes()));
                blobs.push(named(&submission.digest, bytes)?);
            }
            let adapter = (submission.digest, submission.adapter);
            (Some(adapter), submission.examples, None)
        }
        Err(failure) => (None, 0, Some(failure)),
    };
    let update = adapter.as_ref().map(|(digest, _)| *digest);
    let predicate = UpdatePredicate {
        client: execution.client,
        round: execution.round,
        seed: execution.seed,
        module: execution.module,
        module_signer: execution.signer,
        node: stating.node,
        base: stating.base,
        global: execution.global,
        update,
        examples,
        data: outcome.data,
        data_score: score,
        lineage: outcome.lineage,
        transcript: reference,
        limits: outcome.limits,
        used: outcome.used,
        failure,
        engine: stating.engine.to_owned(),
        seconds,
    };
    Ok(Stated {
        predicate,
        key: execution.key,
        adapter,
        log: outcome.log,
        blobs,
    })
}

/// Bytes that must have a digest.
fn named(expected: &Digest, bytes: Hashed) -> Result<Hashed> {
    match bytes.digest() {
        got if got == *expected => Ok(bytes),
        got => Err(Error::mismatch(
            "an object of the sandbox",
            "has another digest than it says",
            expected,
            &got,
        )),
    }
}

/// Stores the blobs of many executions durably. Only then may their records be published.
///
/// # Errors
/// [`Error::Ledger`] from the disk.
pub fn store(blobs: &Blobs, all: &[Evidence]) -> Result<()> {
    Ok(blobs.put_hashed(all.iter().flat_map(|evidence| &evidence.blobs))?)
}

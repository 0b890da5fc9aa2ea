//! The attestation: what a node says about one execution of a module, signed.
//!
//! It binds the module, its signer, the client, the round, the inputs, the lineage, the
//! transcript and the update. A failed execution is attested too, with its reason.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::ids::{ClientId, Round, Seed};
use crate::keys::{PublicKey, SigningKey};
use crate::lineage::Lineage;
use crate::statement::{Statement, Subject, expect};
use crate::{Error, Result};

mod limits;

pub use limits::{COMPILE_BYTES, FIXED_LIMITS, Limits, MODULE_BYTES, Usage};

/// The predicate type of an update statement.
pub const PREDICATE_TYPE: &str = "urn:fedseal:update:v1";

/// The subject name of the update adapter.
pub const SUBJECT_UPDATE: &str = "update";

/// The subject name of the transcript root.
pub const SUBJECT_TRANSCRIPT: &str = "transcript";

/// One execution: what went in, what happened, what came out.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdatePredicate {
    /// The client that it ran for.
    pub client: ClientId,
    /// The round that it ran in.
    pub round: Round,
    /// The seed of everything random in it.
    pub seed: Seed,
    /// The module's Wasm bytes.
    pub module: Digest,
    /// The module's signer.
    pub module_signer: PublicKey,
    /// The node that executed it and signs this.
    pub node: PublicKey,
    /// The base model.
    pub base: Digest,
    /// The global adapter at the round's start.
    pub global: Digest,
    /// The submitted adapter; none after a failure.
    pub update: Option<Digest>,
    /// How many examples the guest says it trained on: its weight in averages, a claim.
    pub examples: u32,
    /// The datasets that the submitted adapter was trained on, as the host saw them.
    pub data: Vec<DataUse>,
    /// A judge's mean score over the training examples, in [0, 1]; none when no judge ran.
    pub data_score: Option<f64>,
    /// How the update was derived.
    pub lineage: Lineage,
    /// Reference to the transcript, with its root.
    pub transcript: TranscriptRef,
    /// The bounds it ran under.
    pub limits: Limits,
    /// Resources that it used.
    pub used: Usage,
    /// Why there is no update.
    pub failure: Option<Failure>,
    /// Fingerprint of the training engine. Apart from the inputs, the update's bits depend on it.
    pub engine: String,
    /// Wall-clock time of the execution, seconds. Not reproducible.
    pub seconds: f64,
}

/// A dataset that was used in training.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataUse {
    /// `shard`, `literal` or `generated`.
    pub origin: String,
    /// The digest of its examples (canonical JSON), a blob for literal and generated data.
    pub digest: Digest,
    /// How many examples.
    pub examples: u32,
}

/// A transcript by reference.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptRef {
    /// [`crate::transcript::Transcript::root`].
    pub root: Digest,
    /// How many entries.
    pub entries: u32,
    /// The digest of [`crate::transcript::Transcript::to_bytes`].
    pub blob: Digest,
}

/// Why an execution gave no update.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// A stable id in kebab-case, for example `fuel`.
    pub reason: String,
    /// A description of the failure, for people.
    pub detail: String,
}

/// An attestation whose signature verified and whose parts agree.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedUpdate {
    /// The node's statement.
    pub predicate: UpdatePredicate,
    /// The trusted node key that signed; equals `predicate.node`.
    pub signer: PublicKey,
    /// The digest of the envelope's canonical bytes: the update's id.
    pub digest: Digest,
}

/// The statement about an execution: subjects are the update (when there is one) and the
/// transcript root.
pub fn statement(predicate: UpdatePredicate) -> Statement<UpdatePredicate> {
    let subjects = subjects(&predicate);
    Statement::new(subjects, PREDICATE_TYPE, predicate)
}

/// Signs an attestation with the node's key.
///
/// # Errors
/// [`Error::Mismatch`] when `predicate.node` is another key; [`Error::Invalid`] when the
/// predicate contradicts itself; [`Error::Encode`] for a number that is not finite.
pub fn sign(predicate: &UpdatePredicate, node: &SigningKey) -> Result<Envelope> {
    validate(predicate)?;
    same_key(&predicate.node, &node.public())?;
    Statement::new(subjects(predicate), PREDICATE_TYPE, predicate).sign(node)
}

fn same_key(named: &PublicKey, signer: &PublicKey) -> Result<()> {
    match named == signer {
        true => Ok(()),
        false => expect(
            "attestation node key",
            &named.to_string(),
            &signer.to_string(),
        ),
    }
}

/// Verifies an attestation by one of the trusted nodes: one signature, by the key that the
/// predicate names; subjects that match the predicate; a well-formed lineage.
///
/// # Errors
/// Any error of [`Statement::open`]; [`Error::Mismatch`] and [`Error::Invalid`] with the part that
/// disagrees.
pub fn verify(envelope: &Envelope, trusted: &[PublicKey]) -> Result<VerifiedUpdate> {
    // The envelope's digest is the update's id, so one statement must have one envelope: a
    // second signature or another keyid would make a second id for it.
    if envelope.signatures.len() != 1 {
        return Err(Error::Signature {
            what: "attestation",
            detail: format!(
                "{} signatures, it has exactly one",
                envelope.signatures.len()
            ),
        });
    }
    let opened = Statement::<UpdatePredicate>::open(envelope, trusted, PREDICATE_TYPE)?;
    let predicate = opened.statement.predicate;
    let keyid = envelope.signatures.first().map_or("", |s| s.keyid.as_str());
    expect("attestation keyid", &opened.signer.key_id().0, keyid)?;
    same_key(&predicate.node, &opened.signer)?;
    let expected = subjects(&predicate);
    if opened.statement.subject != expected {
        return Err(Error::Mismatch {
            what: "attestation subjects",
            expected: describe(&expected),
            got: describe(&opened.statement.subject),
        });
    }
    validate(&predicate)?;
    Ok(VerifiedUpdate {
        predicate,
        signer: opened.signer,
        digest: Digest::of(&envelope.to_bytes()),
    })
}

fn subjects(predicate: &UpdatePredicate) -> Vec<Subject> {
    let update = predicate.update.map(|d| Subject::new(SUBJECT_UPDATE, d));
    let transcript = Subject::new(SUBJECT_TRANSCRIPT, predicate.transcript.root);
    update.into_iter().chain([transcript]).collect()
}

fn describe(subjects: &[Subject]) -> String {
    let parts: Vec<String> = subjects
        .iter()
        .map(|s| format!("{} {}", s.name, s.digest.sha256))
        .collect();
    parts.join(", ")
}

/// Checks the rules that hold inside every predicate, whoever made it.
fn validate(predicate: &UpdatePredicate) -> Result<()> {
    let bad = |detail: &str| {
        Err(Error::Invalid {
            what: "attestation",
            detail: detail.to_owned(),
        })
    };
    predicate.lineage.validate()?;
    match (&predicate.update, &predicate.failure) {
        (Some(_), Some(_)) => return bad("it has an update and a failure"),
        (None, None) => return bad("it has neither an update nor a failure"),
        _ => {}
    }
    if predicate.update.is_some() && predicate.lineage.output.is_none() {
        return bad("it has an update, but its lineage has no output");
    }
    if let (Some(update), Some(output)) = (predicate.update, predicate.lineage.output) {
        let node = predicate.lineage.node(output).and_then(|n| n.digest);
        if node.is_some_and(|digest| digest != update) {
            return bad("the lineage's output has another digest than the update");
        }
    }
    for used in &predicate.data {
        if !["shard", "literal", "generated"].contains(&used.origin.as_str()) {
            return bad("a data origin is not shard, literal or generated");
        }
    }
    if predicate
        .data_score
        .is_some_and(|s| !(0.0..=1.0).contains(&s))
    {
        return bad("the data score is outside [0, 1]");
    }
    if !predicate.seconds.is_finite() || predicate.seconds < 0.0 {
        return bad("the seconds are negative or not finite");
    }
    Ok(())
}

#[cfg(test)]
mod schema;
#[cfg(test)]
pub(crate) mod tests;

//! Basis of trust of an update: on whose word it rests that the module and the data gave it.

use fedseal_client_sdk::attestation::{self, UpdatePredicate};
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::PublicKey;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::rundir::Plan;

/// Reason of the failure that a coordinator attests where a node delivered no update.
pub const NOT_DELIVERED: &str = "not-delivered";

/// Basis of trust of an update.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The run's own node executed the module, and anybody who has the run can replay it.
    Executed,
    /// The data holder's node attests it alone; only who has the shard can replay it.
    Attested,
    /// Nothing was delivered in time; the coordinator says so.
    Absent,
}

impl Basis {
    /// Basis of an attestation that [`verified`] gave.
    pub fn of(plan: &Plan, attested: &UpdatePredicate) -> Basis {
        match plan.node_of(&attested.client) {
            None => Basis::Executed,
            Some(planned) if planned.key == attested.node => Basis::Attested,
            Some(_) => Basis::Absent,
        }
    }

    /// The basis in words; `node` is the key that signed.
    pub fn words(self, node: &PublicKey) -> String {
        match self {
            Basis::Executed => "executed by the run's own node".into(),
            Basis::Attested => format!("attested by node {} alone", node.key_id()),
            Basis::Absent => "not delivered; the coordinator's word".into(),
        }
    }
}

/// The statement of an attestation by a key that may attest for its client in a run: the run's own, or that
/// of the client where it is a node. For a node the run's key may state only that nothing was delivered.
///
/// # Errors
/// As [`attestation::verify`]; [`Error::Tampered`] for a key that may not state this.
pub fn verified(plan: &Plan, envelope: &Envelope) -> Result<UpdatePredicate> {
    let named = envelope.signatures.first().map(|it| it.keyid.as_str());
    let nodes = plan.clients.iter().filter(|client| client.node);
    let signer = nodes
        .map(|client| client.key)
        .find(|key| Some(key.key_id().0.as_str()) == named);
    let trusted: Vec<PublicKey> = [plan.node].into_iter().chain(signer).collect();
    let predicate = attestation::verify(envelope, &trusted)?.predicate;
    let absent = predicate
        .failure
        .as_ref()
        .is_some_and(|failure| failure.reason == NOT_DELIVERED);
    let own = plan.attester(&predicate.client);
    let fits = match predicate.node == own {
        // A node cannot say so of itself: only the coordinator's word stands for an absence.
        true => !absent || own == plan.node,
        false => absent && predicate.node == plan.node,
    };
    match fits {
        true => Ok(predicate),
        false => Err(Error::tampered(
            format!("attestation of {}", predicate.client),
            format!("is by key {}, which may not state it", predicate.node),
        )),
    }
}

//! Input and outcome of one execution.

use std::sync::Arc;

use fedseal_client_sdk::attestation::{DataUse, Failure, Limits, Usage};
use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::lineage::Lineage;
use fedseal_client_sdk::recording::Recording;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_tuning::{Adapter, Example};

/// The round's settings of local training; the guest sees them in `context`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainDefaults {
    /// Optimiser steps a client trains in a round; the most that one `train` call may ask for.
    pub steps: u32,
    /// Examples a step; the most that one `train` call may ask for.
    pub batch_size: u32,
    /// The round's learning rate. A guest may choose another; it is recorded.
    pub learning_rate: f64,
    /// FedProx's mu; 0 is none.
    pub proximal_mu: f64,
}

/// Everything that an execution depends on, beside the module, the limits and the engine.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// The client that the module runs for.
    pub client: ClientId,
    /// The round, from 0.
    pub round: Round,
    /// How many rounds there are.
    pub rounds: u32,
    /// The seed of all of this execution's random numbers, together with client and round.
    pub seed: Seed,
    /// The client's registered data.
    pub shard: Arc<Vec<Example>>,
    /// Digest of the shard: canonical JSON of its examples.
    pub shard_digest: Digest,
    /// Examples that the client handed in beside its module; literal data. Often empty.
    pub attachment: Arc<Vec<Example>>,
    /// The global adapter at the round's start.
    pub global: Arc<Adapter>,
    /// Its digest ([`Adapter::digest`]). The caller has it already, and it is long to compute.
    pub global_digest: Digest,
    /// Digest of the base model.
    pub base: Digest,
    /// The round's training options.
    pub training: TrainDefaults,
    /// Control variates that `train-controlled` corrects by.
    pub control: Control,
    /// Limits of this execution alone; each holds where it is tighter than the sandbox's. None: the
    /// sandbox's. For [`FIXED_LIMITS`](crate::FIXED_LIMITS) the sandbox's own always hold.
    pub limits: Option<Limits>,
    /// How much is written down of what the guest chooses.
    pub recording: Recording,
}

/// SCAFFOLD's control variates at the round's start, of the global adapter's shapes; none is zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// The server's: the mean over all clients.
    pub server: Option<Arc<Adapter>>,
    /// This client's.
    pub client: Option<Arc<Adapter>>,
}

/// Update that the guest handed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The local adapter (not a difference): finite, of the global adapter's shapes.
    pub adapter: Arc<Adapter>,
    /// Its digest.
    pub digest: Digest,
    /// The weight in local examples that the guest claims.
    pub examples: u32,
    /// Its bytes, where they are at hand: those of the adapter that was made last.
    pub bytes: Option<Hashed>,
}

/// Everything that an execution leaves behind. It has all parts but the submission whether it
/// went well or not.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The update, or why there is none.
    pub submission: Result<Submission, Failure>,
    /// Every host call.
    pub transcript: Transcript,
    /// How every host object came to be.
    pub lineage: Lineage,
    /// The data that the submitted adapter was trained on, by origin: the different examples of
    /// all `train` calls it was derived from. Empty after a failure.
    pub data: Vec<DataUse>,
    /// The examples of [`RunOutcome::data`]'s literal and generated entries, by digest.
    pub datasets: Vec<(Digest, Vec<Example>)>,
    /// The examples of a shard entry of [`RunOutcome::data`] that is not the whole shard: for the
    /// node's data check, and for nobody else.
    pub shard_part: Option<(Digest, Vec<Example>)>,
    /// The limits that it ran under.
    pub limits: Limits,
    /// Resources that it used of the limits.
    pub used: Usage,
    /// The guest's log lines: printable, one line each.
    pub log: Vec<String>,
    /// Wall-clock time of the execution, seconds.
    pub seconds: f64,
}

/// The digest that names a list of examples: SHA-256 over its canonical JSON, an array of
/// `{"prompt":...,"response":...}`.
#[must_use]
pub fn examples_digest(examples: &[Example]) -> Digest {
    Digest::of(&examples_bytes(examples))
}

/// The canonical JSON of a list of examples.
#[must_use]
pub fn examples_bytes(examples: &[Example]) -> Vec<u8> {
    // Strings always have a canonical form, so there is no error to hand on.
    fedseal_client_sdk::canonical::to_vec(examples).unwrap_or_default()
}

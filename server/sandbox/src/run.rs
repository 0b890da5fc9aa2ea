//! What goes into one execution and what comes out.

use std::sync::Arc;

use fedseal_client_sdk::attestation::{DataUse, Failure, Limits, Usage};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::lineage::Lineage;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_tuning::{Adapter, Example};

/// What the round says about local training; the guest sees it in `context`.
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
    /// For whom the module runs.
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
    /// What `train-controlled` corrects by.
    pub control: Control,
    /// Limits of this execution alone; each holds where it is tighter than the sandbox's. None: the
    /// sandbox's. Of [`FIXED_LIMITS`] the sandbox's own hold in any case.
    pub limits: Option<Limits>,
    /// How much is written down of what the guest chooses.
    pub recording: Recording,
}

/// How much transcript and lineage say of what a guest chooses. By default all of it; whoever holds
/// the data may want less, since a guest that has read them chooses what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Sizes and digests of the log's lines and of what is written to the standard streams.
    pub log_lines: bool,
    /// The digest of the prompts of a `generate` call.
    pub prompts: bool,
    /// Significant decimal digits that numbers of the guest have, at least 1. They are rounded before
    /// they are used, so what is recorded is what was done: factors, deviations, norms, learning rates,
    /// temperatures, FedProx's mu and the inner products that the guest is told to the nearest, the
    /// submitted number of examples down. Offsets and counts are cut to what is there, and a seed of
    /// the guest's for `noise` is not taken. None: all as the guest gives it.
    pub digits: Option<u32>,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            log_lines: true,
            prompts: true,
            digits: None,
        }
    }
}

/// The number with so many significant decimal digits that is nearest; what is not finite stays.
#[must_use]
pub fn rounded(value: f64, digits: u32) -> f64 {
    // Both ways are exact in the standard library, so the bits are the same on every machine.
    let places = digits.saturating_sub(1).min(16) as usize;
    format!("{value:.places$e}").parse().unwrap_or(value)
}

/// The largest count of at most so many significant decimal digits, the rest zeros, that is not above
/// `count`.
#[must_use]
pub fn rounded_down(count: u32, digits: u32) -> u32 {
    let length = count.checked_ilog10().map_or(1, |log| log + 1);
    let unit = 10_u32.pow(length.saturating_sub(digits.max(1)));
    count - count % unit
}

/// Limits that are the same for all modules of a sandbox: what compiled them keeps them.
pub const FIXED_LIMITS: [&str; 4] = [
    "module_bytes",
    "compile_seconds",
    "compile_bytes",
    "stack_bytes",
];

/// SCAFFOLD's control variates at the round's start, of the global adapter's shapes; none is zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// The server's: the mean over all clients.
    pub server: Option<Arc<Adapter>>,
    /// This client's.
    pub client: Option<Arc<Adapter>>,
}

/// What the guest handed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The local adapter (not a difference): finite, of the global adapter's shapes.
    pub adapter: Arc<Adapter>,
    /// Its digest.
    pub digest: Digest,
    /// The weight in local examples that the guest claims.
    pub examples: u32,
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
    /// What it used of the limits.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_digits() {
        for (value, digits, expected) in [
            (1.2345, 2, 1.2),
            (-0.999, 2, -1.0),
            (2.4e-4, 1, 2e-4),
            (0.0, 3, 0.0),
            (123_456.0, 3, 123_000.0),
            (1.0 / 3.0, 17, 1.0 / 3.0),
            (f64::INFINITY, 2, f64::INFINITY),
            (f64::MAX, 1, f64::INFINITY),
        ] {
            assert_eq!(rounded(value, digits), expected, "{value}");
            assert_eq!(rounded(expected, digits), expected, "again");
        }
        assert!(rounded(f64::NAN, 2).is_nan());
        for (count, digits, expected) in [
            (0, 1, 0),
            (9, 1, 9),
            (137, 2, 130),
            (137, 9, 137),
            (u32::MAX, 1, 4_000_000_000),
        ] {
            assert_eq!(rounded_down(count, digits), expected, "{count}");
        }
    }
}

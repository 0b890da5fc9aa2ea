//! The records of the log. Every entry is the canonical JSON of one [`Record`], at most
//! [`MAX_BYTES`] long: digests and short facts. Payloads live among the blobs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{ClientId, Round, Seed};
use crate::keys::PublicKey;
use crate::{Error, Result, canonical};

/// The longest entry, bytes: its length is a `uint16` in the entry bundle (C2SP tlog-tiles).
pub const MAX_BYTES: usize = 65_535;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// The first entry: what this run is.
    RunOpened {
        /// The run's configuration, a blob.
        run_config: Digest,
        /// The base model.
        base: Digest,
        /// The node that executes and signs.
        node: PublicKey,
        /// The run's seed.
        seed: Seed,
        /// When, RFC 3339, UTC.
        created: String,
    },
    /// A module may be used from here on.
    ModuleRegistered {
        /// Its Wasm bytes, a blob.
        module: Digest,
        /// Its signature, a blob.
        envelope: Digest,
        /// Its name.
        name: String,
        /// Its author.
        signer: PublicKey,
    },
    /// A client takes part from here on.
    ClientRegistered {
        /// Its name.
        client: ClientId,
        /// Its key.
        key: PublicKey,
        /// Its shard.
        shard: Digest,
        /// How many examples the shard holds.
        examples: u32,
        /// Always none: whether a client is honest is not something the log knows.
        kind: Option<String>,
    },
    /// The canary prompts are fixed; nobody sees them yet.
    CanariesSealed {
        /// The sealed set.
        digest: Digest,
    },
    /// A round begins.
    RoundOpened {
        /// Arm of the experiment.
        arm: String,
        /// Number of the round.
        round: Round,
        /// The sampled clients.
        clients: Vec<ClientId>,
        /// The global adapter they start from, a blob.
        global: Digest,
        /// The round's seed.
        seed: Seed,
        /// The learning rate of local training.
        learning_rate: f64,
        /// SCAFFOLD's control variates at its start, a blob; none while all are zero.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        controls: Option<Digest>,
    },
    /// An execution ended; its attestation is the update's id.
    Update {
        /// Key of the execution: equal keys mean equal executions. Arms share executions by it.
        key: Digest,
        /// The client that it ran for.
        client: ClientId,
        /// The round that it ran in.
        round: Round,
        /// The attestation's envelope, a blob.
        attestation: Digest,
        /// The adapter, a blob; none after a failure.
        update: Option<Digest>,
    },
    /// Admission decided.
    Verdict {
        /// Arm of the experiment.
        arm: String,
        /// Number of the round.
        round: Round,
        /// The client whose update it is.
        client: ClientId,
        /// The update's attestation.
        attestation: Digest,
        /// Effect on the update.
        effect: Effect,
        /// Its factor in the aggregation, 0 to 1.
        weight: f64,
        /// The check that decided.
        check: String,
        /// The fact that it found.
        fact: String,
    },
    /// Input of the server's own to the rule of an arm's round.
    ServerInput {
        /// Arm of the experiment.
        arm: String,
        /// Number of the round.
        round: Round,
        /// An adapter that the server trained, a blob.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adapter: Option<Digest>,
        /// Numbers, a blob.
        data: Digest,
    },
    /// The next global adapter was made.
    Aggregated {
        /// Arm of the experiment.
        arm: String,
        /// Number of the round.
        round: Round,
        /// Name of the aggregation rule.
        rule: String,
        /// The clients that counted, with their weights.
        weights: Vec<(ClientId, f64)>,
        /// The result, a blob.
        global: Digest,
        /// The aggregate, where a device computed it; none: the rule's own code did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceAggregate>,
    },
    /// An adapter was evaluated.
    Evaluated {
        /// Key of the evaluation: equal keys mean equal results.
        key: Digest,
        /// Arm of the experiment.
        arm: String,
        /// The round after which it was evaluated.
        round: Round,
        /// The adapter that was evaluated.
        adapter: Digest,
        /// The result, a blob.
        result: Digest,
    },
    /// A post-hoc defence made a new adapter.
    Defended {
        /// Arm of the experiment.
        arm: String,
        /// The result, a blob.
        adapter: Digest,
        /// The defence data, a blob.
        data: Digest,
    },
    /// The server tuned an arm's global adapter: before its first round, or a round's result.
    Tuned {
        /// Arm of the experiment.
        arm: String,
        /// The round whose result was tuned; none: before the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<Round>,
        /// The tuned adapter, a blob; it is the arm's global adapter from here on.
        adapter: Digest,
        /// Data that it was tuned with, a blob.
        data: Digest,
    },
    /// A key was given up: updates that are logged after this do not count where it signed their module, or
    /// attested them as a data holder's node.
    KeyRevoked {
        /// The key.
        key: PublicKey,
        /// Why, for people.
        reason: String,
    },
    /// The node's key has a successor, or is one. The run itself stays with the key that it began with.
    NodeRotated {
        /// The key before.
        old: PublicKey,
        /// The key after.
        new: PublicKey,
        /// The statement that both keys signed, a blob.
        statement: Digest,
    },
    /// The canary prompts are open now; the digest equals the sealed one.
    CanariesOpened {
        /// The set, a blob.
        digest: Digest,
    },
    /// The report was written.
    Report {
        /// Its bytes, a blob.
        digest: Digest,
    },
    /// Nothing follows.
    Closed,
}

/// An aggregate that a device computed. It may differ from the rule's own by rounding, and what follows
/// from it follows from its bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceAggregate {
    /// Kind of the device: `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: String,
    /// The aggregated delta, which the server optimiser was given: a blob, in the form of an adapter.
    pub delta: Digest,
}

/// Effect of a verdict on an update.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It counts in full.
    Accept,
    /// It counts with a smaller weight.
    DownWeight,
    /// It is kept aside and does not count.
    Quarantine,
    /// It does not count.
    Reject,
}

impl Effect {
    /// The text used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Accept => "accept",
            Effect::DownWeight => "down-weight",
            Effect::Quarantine => "quarantine",
            Effect::Reject => "reject",
        }
    }

    /// Whether the update enters the aggregation.
    pub fn counts(self) -> bool {
        matches!(self, Effect::Accept | Effect::DownWeight)
    }
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// The entry's bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they are longer than [`MAX_BYTES`]; [`Error::Encode`] for a number
    /// that is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = canonical::to_vec(self)?;
        if bytes.len() > MAX_BYTES {
            return Err(Error::Invalid {
                what: "log record",
                detail: format!("{} bytes, an entry holds at most {MAX_BYTES}", bytes.len()),
            });
        }
        Ok(bytes)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::NotCanonical`], [`Error::Invalid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Record> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::Invalid {
                what: "log record",
                detail: format!("{} bytes, an entry holds at most {MAX_BYTES}", bytes.len()),
            });
        }
        canonical::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn d(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn one_of_each() -> Vec<Record> {
        let key = SigningKey::from_seed([1; 32]).public();
        let arm = || "clean".to_owned();
        let client = || ClientId::from("client-00");
        vec![
            Record::RunOpened {
                run_config: d("c"),
                base: d("b"),
                node: key,
                seed: Seed(u64::MAX),
                created: "2026-01-02T03:04:05Z".into(),
            },
            Record::ModuleRegistered {
                module: d("m"),
                envelope: d("e"),
                name: "plain".into(),
                signer: key,
            },
            Record::ClientRegistered {
                client: client(),
                key,
                shard: d("s"),
                examples: 500,
                kind: None,
            },
            Record::CanariesSealed { digest: d("x") },
            Record::RoundOpened {
                arm: arm(),
                round: Round(0),
                clients: vec![client()],
                global: d("g"),
                seed: Seed(3),
                learning_rate: 1e-3,
                controls: None,
            },
            Record::Update {
                key: d("k"),
                client: client(),
                round: Round(0),
                attestation: d("a"),
                update: None,
            },
            Record::Verdict {
                arm: arm(),
                round: Round(0),
                client: client(),
                attestation: d("a"),
                effect: Effect::DownWeight,
                weight: 0.5,
                check: "scale".into(),
                fact: "factor 2.0".into(),
            },
            Record::Aggregated {
                arm: arm(),
                round: Round(0),
                rule: "fedavg".into(),
                weights: vec![(client(), 1.0)],
                global: d("g2"),
                device: None,
            },
            Record::Aggregated {
                arm: arm(),
                round: Round(1),
                rule: "fedavg".into(),
                weights: vec![(client(), 1.0)],
                global: d("g2"),
                device: Some(DeviceAggregate {
                    device: "wgpu".into(),
                    delta: d("delta"),
                }),
            },
            Record::Evaluated {
                key: d("k"),
                arm: arm(),
                round: Round(0),
                adapter: d("g2"),
                result: d("r"),
            },
            Record::Defended {
                arm: arm(),
                adapter: d("g3"),
                data: d("d"),
            },
            Record::ServerInput {
                arm: arm(),
                round: Round(0),
                adapter: Some(d("own")),
                data: d("i"),
            },
            Record::Tuned {
                arm: arm(),
                round: Some(Round(0)),
                adapter: d("g4"),
                data: d("d"),
            },
            Record::KeyRevoked {
                key,
                reason: "lost".into(),
            },
            Record::NodeRotated {
                old: key,
                new: SigningKey::from_seed([2; 32]).public(),
                statement: d("s"),
            },
            Record::CanariesOpened { digest: d("x") },
            Record::Report { digest: d("p") },
            Record::Closed,
        ]
    }

    #[test]
    fn every_record_round_trips() {
        for record in one_of_each() {
            let bytes = record.to_bytes().unwrap();
            assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
            let mut more = bytes.clone();
            more.truncate(more.len() - 1);
            more.extend_from_slice(b",\"zzz\":1}");
            assert!(
                Record::from_bytes(&more).is_err(),
                "unknown field in {record:?}"
            );
        }
    }

    #[test]
    fn fixed_bytes() {
        assert_eq!(Record::Closed.to_bytes().unwrap(), br#"{"type":"closed"}"#);
        let text = String::from_utf8(one_of_each()[6].to_bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            format!(
                "{{\"arm\":\"clean\",\"attestation\":\"{}\",\"check\":\"scale\",\"client\":\"client-00\",\"effect\":\"down-weight\",\"fact\":\"factor 2.0\",\"round\":0,\"type\":\"verdict\",\"weight\":0.5}}",
                d("a")
            )
        );
    }

    #[test]
    fn too_long_and_not_finite() {
        let record = |fact: String, weight| Record::Verdict {
            arm: "a".into(),
            round: Round(0),
            client: "c".into(),
            attestation: d("a"),
            effect: Effect::Accept,
            weight,
            check: "k".into(),
            fact,
        };
        assert!(record("x".repeat(65_000), 1.0).to_bytes().is_ok());
        assert!(record("x".repeat(65_536), 1.0).to_bytes().is_err());
        assert!(record(String::new(), f64::NAN).to_bytes().is_err());
    }
}

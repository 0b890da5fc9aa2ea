//! An honest attested update to bend in tests.

use std::collections::BTreeMap;

use fedseal_client_sdk::attestation::{Limits, TranscriptRef, UpdatePredicate, Usage};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::lineage::{Kind, Lineage};

use super::{Behaviour, Expected, Facts};
use crate::site::Leave;

/// A lineage of the global adapter and the shard, whose output is `build`'s.
pub(crate) fn lineage(build: impl FnOnce(&mut Lineage, u32, u32) -> u32) -> Lineage {
    let mut lineage = Lineage::default();
    let mut source = |kind, name: &[u8], count| {
        let digest = Some(Digest::of(name));
        lineage.push(kind, vec![], digest, count, BTreeMap::new())
    };
    let global = source(Kind::Global, b"global", None);
    let shard = source(Kind::Shard, b"shard", Some(100));
    let output = build(&mut lineage, global, shard);
    lineage.output = Some(output);
    lineage
}

/// Everything that [`Facts`] borrow.
pub(crate) struct Case {
    pub attested: UpdatePredicate,
    pub expected: Expected,
    pub authors: TrustStore,
    pub behaviour: Option<(Behaviour, Behaviour)>,
    pub norm: f64,
}

impl Case {
    /// Trained from the global adapter on the shard, by a known author's module.
    pub(crate) fn honest() -> Case {
        let node = SigningKey::from_seed([1; 32]).public();
        let author = SigningKey::from_seed([2; 32]).public();
        let lineage = lineage(|lineage, global, shard| {
            lineage.push(
                Kind::Train,
                vec![global, shard],
                Some(Digest::of(b"update")),
                None,
                BTreeMap::new(),
            )
        });
        let expected = Expected {
            control: [None; 2],
            leave: Leave::default(),
            client: "client-01".into(),
            round: Round(3),
            seed: Seed(9),
            base: Digest::of(b"base"),
            global: Digest::of(b"global"),
            module: Digest::of(b"module"),
            shard: Digest::of(b"shard"),
            shard_examples: 100,
            effort: 8.0 * 0.5,
            node,
        };
        let mut authors = TrustStore::default();
        authors.add("alice", author);
        Case {
            attested: UpdatePredicate {
                client: expected.client.clone(),
                round: expected.round,
                seed: expected.seed,
                module: expected.module,
                module_signer: author,
                node,
                base: expected.base,
                global: expected.global,
                update: Some(Digest::of(b"update")),
                examples: 100,
                data: Vec::new(),
                data_score: Some(0.95),
                lineage,
                transcript: TranscriptRef {
                    root: Digest::of(b"root"),
                    entries: 3,
                    blob: Digest::of(b"blob"),
                },
                limits: Limits::default(),
                used: Usage::default(),
                failure: None,
                engine: "test".into(),
                seconds: 1.0,
            },
            expected,
            authors,
            behaviour: None,
            norm: 1.0,
        }
    }

    /// The facts; the round's median norm is 1.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            attested: &self.attested,
            expected: &self.expected,
            norm: self.norm,
            median_norm: 1.0,
            behaviour: self.behaviour,
            paired: None,
            past: &[],
            authors: &self.authors,
            revoked: None,
            replayed: None,
        }
    }
}

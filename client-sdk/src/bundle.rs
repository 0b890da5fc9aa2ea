//! One file that shows, offline, where an update came from: its attestation, the module's
//! signature, the log entry, and the proof that the entry is in the log.
//!
//! Nothing in the file is believed because it is there: keys come from whoever verifies.

use serde::{Deserialize, Serialize};

use crate::attestation::{self, VerifiedUpdate};
use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::{PublicKey, read_rotation};
use crate::module::{self, VerifiedModule};
use crate::record::Record;
use crate::statement::expect;
use crate::tlog::{Checkpoint, KeyKind, Policy, ProofFile, VerifierKey};
use crate::{Error, Result, base64};

/// The value of [`Bundle::format`].
pub const FORMAT: &str = "fedseal-bundle/v1";

/// Longer files (bytes) are refused unread: a module of 16 MiB in base64 and some more.
pub const MAX_BYTES: usize = 32 << 20;

/// More rotations of a node's key are refused unread.
pub const MAX_ROTATIONS: usize = 64;

/// Bounds on a bundle: strings, and the envelopes of its rotations.
const BOUNDS: Bounds = Bounds {
    bytes: MAX_BYTES,
    structure: 256 << 10,
};

/// Content of a bundle file. A field that is not known here is refused: it may matter.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: String,
    /// The node's statement about the execution.
    pub attestation: Envelope,
    /// The module that was executed.
    pub module: BundledModule,
    /// The log entry about the update, as text.
    pub entry: String,
    /// Proof that the entry is in the log: a C2SP tlog-proof file, as text.
    pub proof: String,
    /// The rotations that led to the node's key, oldest first, each signed by both of its keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<Envelope>,
}

/// A module by its signature, with or without its bytes.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledModule {
    /// The digest of its Wasm bytes.
    pub digest: Digest,
    /// Its author's statement.
    pub envelope: Envelope,
    /// The bytes, base64; null where the digest is enough.
    pub bytes: Option<String>,
}

/// Keys, origin and policy that a verifier trusts.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The node that signs attestations and the log, by this key or by one that it was rotated to.
    pub node: PublicKey,
    /// Module authors.
    pub authors: &'a [PublicKey],
    /// The log's origin, where it is known.
    pub origin: Option<&'a str>,
    /// Witnesses that must have cosigned.
    pub policy: Option<&'a Policy>,
}

/// A bundle whose parts all verified.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedBundle {
    /// The update.
    pub update: VerifiedUpdate,
    /// The module.
    pub module: VerifiedModule,
    /// The key that the node signed with: the trusted one, or one that it was rotated to.
    pub node: PublicKey,
    /// The entry's number.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
    /// Known witnesses that cosigned it, and when (seconds since 1970).
    pub cosignatures: Vec<(String, u64)>,
}

impl Bundle {
    /// A bundle of these parts; nothing is verified yet.
    pub fn new(
        attestation: Envelope,
        module_digest: Digest,
        module_envelope: Envelope,
        module_bytes: Option<&[u8]>,
        entry: &[u8],
        proof: &ProofFile,
    ) -> Self {
        Bundle {
            format: FORMAT.to_owned(),
            attestation,
            module: BundledModule {
                digest: module_digest,
                envelope: module_envelope,
                bytes: module_bytes.map(base64::encode),
            },
            entry: String::from_utf8_lossy(entry).into_owned(),
            proof: proof.to_text(),
            rotations: Vec::new(),
        }
    }

    /// This bundle with the rotations that led to the node's key, oldest first.
    pub fn with_rotations(mut self, rotations: Vec<Envelope>) -> Self {
        self.rotations = rotations;
        self
    }

    /// The file's bytes: indented JSON, ended by a newline.
    ///
    /// # Errors
    /// [`Error::Encode`], which does not occur for strings and digests.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::Encode(e.into()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a file. Nothing is verified yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or overlong file or another format; [`Error::Json`] for
    /// anything that is missing, unknown or malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Bundle> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(invalid("it is empty".into()));
        }
        let bundle: Bundle = bounded::from_slice("bundle", bytes, &BOUNDS)?;
        expect("bundle format", FORMAT, &bundle.format)?;
        Ok(bundle)
    }

    /// Verifies everything: the attestation by the node; the module's statement by a trusted
    /// author, about the module that the attestation names; the entry, about this attestation; its
    /// place in the node's log; cosignatures where a policy asks for them.
    ///
    /// # Errors
    /// The first part that does not hold. An empty list of authors is a missing key, not a
    /// success.
    pub fn verify(&self, trust: &Trust<'_>) -> Result<VerifiedBundle> {
        if trust.authors.is_empty() {
            return Err(Error::Key {
                what: "bundle".into(),
                detail: "no module author's key was given, so no module can be trusted".into(),
            });
        }
        let node = self.signer(trust.node)?;
        let update = attestation::verify(&self.attestation, &[node])?;
        let predicate = &update.predicate;

        let module =
            module::verify_digest(self.module.digest, &self.module.envelope, trust.authors)?;
        if let Some(bytes) = &self.module.bytes {
            let got = Digest::of(&base64::decode("bundled module", bytes)?);
            if got != self.module.digest {
                return Err(Error::DigestMismatch {
                    what: "bundled module".into(),
                    expected: self.module.digest,
                    got,
                });
            }
        }
        expect(
            "attested module",
            &module.digest.to_string(),
            &predicate.module.to_string(),
        )?;
        expect(
            "attested module signer",
            &module.signer.to_string(),
            &predicate.module_signer.to_string(),
        )?;

        let Record::Update {
            client,
            round,
            attestation,
            update: adapter,
            ..
        } = Record::from_bytes(self.entry.as_bytes())?
        else {
            return Err(invalid("the log entry is not about an update".into()));
        };
        expect(
            "update in the log entry",
            &update.digest.to_string(),
            &attestation.to_string(),
        )?;
        if client != predicate.client || round != predicate.round || adapter != predicate.update {
            return Err(invalid(
                "the log entry says something else than the attestation".into(),
            ));
        }

        let proof = ProofFile::parse(&self.proof)?;
        let named = Checkpoint::parse(&proof.checkpoint)?.origin;
        let log = VerifierKey::new(trust.origin.unwrap_or(&named), KeyKind::Log, node)?;
        let entry = self.entry.as_bytes();
        let (checkpoint, cosignatures) = match trust.policy {
            Some(policy) => {
                let witnessed = proof.verify_witnessed(entry, policy, Some(&log))?;
                (witnessed.checkpoint, witnessed.cosignatures)
            }
            None => (proof.verify(entry, &log.name, &log.key)?, Vec::new()),
        };
        Ok(VerifiedBundle {
            index: proof.index,
            update,
            module,
            node,
            checkpoint,
            cosignatures,
        })
    }

    /// The node's key that has to have signed attestation and log: the known one or, where
    /// rotations lead on from it, the last of them.
    ///
    /// # Errors
    /// Rotations that do not lead on from the known key, or more than [`MAX_ROTATIONS`].
    pub fn signer(&self, known: PublicKey) -> Result<PublicKey> {
        if self.rotations.len() > MAX_ROTATIONS {
            return Err(invalid(format!("more than {MAX_ROTATIONS} rotations")));
        }
        let mut keys: Vec<PublicKey> = Vec::new();
        for envelope in &self.rotations {
            let rotation = read_rotation(envelope)?;
            match keys.last() {
                Some(last) => expect("rotated key", &last.to_string(), &rotation.old.to_string())?,
                None => keys.push(rotation.old),
            }
            keys.push(rotation.new);
        }
        match keys.last() {
            None => Ok(known),
            Some(last) if keys.contains(&known) => Ok(*last),
            Some(last) => Err(Error::Key {
                what: "bundle".into(),
                detail: format!("no rotation in it leads from node key {known} to {last}").into(),
            }),
        }
    }
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "bundle",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::tests::predicate;
    use crate::keys::{SigningKey, rotate};
    use crate::module::ModulePredicate;
    use crate::tlog::{add_signatures, cosign, leaf_hash, node_hash};

    const WASM: &[u8] = b"wasm";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    fn entry(attestation: &Envelope, about: &attestation::UpdatePredicate) -> Vec<u8> {
        Record::Update {
            key: Digest::of(b"key"),
            client: about.client.clone(),
            round: about.round,
            attestation: Digest::of(&attestation.to_bytes()),
            update: about.update,
        }
        .to_bytes()
        .unwrap()
    }

    fn proof(entry: &[u8]) -> ProofFile {
        let first = leaf_hash(b"first");
        let checkpoint = Checkpoint {
            origin: "o".into(),
            size: 2,
            root: node_hash(&first, &leaf_hash(entry)),
        };
        ProofFile {
            extra: None,
            index: 1,
            proof: vec![first],
            checkpoint: checkpoint.sign(&key(1)).unwrap(),
        }
    }

    /// Node 1, author 2, both keys of `predicate()`'s fields set to them.
    fn sample() -> Bundle {
        let mut about = predicate();
        about.node = key(1).public();
        about.module = Digest::of(WASM);
        about.module_signer = key(2).public();
        let attestation = attestation::sign(&about, &key(1)).unwrap();
        let module = module::sign(WASM, &ModulePredicate::new("plain", "1"), &key(2)).unwrap();
        let entry = entry(&attestation, &about);
        let proof = proof(&entry);
        Bundle::new(
            attestation,
            Digest::of(WASM),
            module,
            Some(WASM),
            &entry,
            &proof,
        )
    }

    fn verify(bundle: &Bundle) -> Result<VerifiedBundle> {
        bundle.verify(&Trust {
            node: key(1).public(),
            authors: &[key(2).public()],
            origin: Some("o"),
            policy: None,
        })
    }

    #[test]
    fn round_trip_and_verify() {
        let bundle = sample();
        let bytes = bundle.to_bytes().unwrap();
        assert_eq!(Bundle::from_bytes(&bytes).unwrap(), bundle);
        let verified = verify(&bundle).unwrap();
        assert_eq!((verified.index, verified.checkpoint.size), (1, 2));
        assert_eq!(verified.module.predicate.name, "plain");
        let mut light = bundle;
        light.module.bytes = None;
        verify(&light).unwrap();
    }

    #[test]
    fn missing_and_other_keys() {
        let bundle = sample();
        let author = [key(2).public()];
        let trust = Trust {
            node: key(1).public(),
            authors: &author,
            origin: None,
            policy: None,
        };
        bundle.verify(&trust).unwrap();
        let other = [key(9).public()];
        for bad in [
            Trust {
                authors: &[],
                ..trust
            },
            Trust {
                authors: &other,
                ..trust
            },
            Trust {
                node: key(9).public(),
                ..trust
            },
            Trust {
                origin: Some("other"),
                ..trust
            },
        ] {
            assert!(bundle.verify(&bad).is_err(), "{bad:?}");
        }
        let w = VerifierKey::new("w", KeyKind::Witness, key(5).public()).unwrap();
        let policy = Policy::parse(&format!("witness w {w}\nquorum w\n")).unwrap();
        let witnessed = Trust {
            policy: Some(&policy),
            ..trust
        };
        assert!(bundle.verify(&witnessed).is_err(), "nobody cosigned");
        let mut cosigned = bundle;
        let mut proof = ProofFile::parse(&cosigned.proof).unwrap();
        let line = cosign(&proof.checkpoint, "w", &key(5), 7).unwrap();
        proof.checkpoint = add_signatures(&proof.checkpoint, &line).unwrap();
        cosigned.proof = proof.to_text();
        let verified = cosigned.verify(&witnessed).unwrap();
        assert_eq!(verified.cosignatures, [("w".to_owned(), 7)]);
    }

    #[test]
    fn rotated_node_keys() {
        let rotated = |old, new| {
            let times = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
            rotate(&key(old), &key(new), times.0, times.1).unwrap()
        };
        let known = |bundle: &Bundle, node| {
            bundle.verify(&Trust {
                node: key(node).public(),
                authors: &[key(2).public()],
                origin: Some("o"),
                policy: None,
            })
        };
        let bundle = sample().with_rotations(vec![rotated(7, 8), rotated(8, 1)]);
        assert_eq!(
            Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap(),
            bundle
        );
        // Any key of the node may be the known one; nobody else's may.
        for node in [7, 8, 1] {
            assert_eq!(known(&bundle, node).unwrap().node, key(1).public());
        }
        assert!(known(&bundle, 9).is_err());
        assert!(known(&sample(), 8).is_err(), "without the rotations");

        let mut unagreed = rotated(8, 1);
        unagreed.signatures.truncate(1);
        let one = rotated(8, 1);
        let many = std::iter::repeat_n(one.clone(), MAX_ROTATIONS + 1);
        for (bad, why) in [
            (vec![rotated(8, 1), rotated(7, 8)], "in another order"),
            (vec![rotated(7, 8)], "leads to another key"),
            (vec![rotated(7, 9), rotated(8, 1)], "a gap"),
            (vec![rotated(7, 8), unagreed], "one signature"),
            (vec![rotated(1, 8)], "leads away from the key"),
            (many.collect(), "too many"),
        ] {
            let bundle = sample().with_rotations(bad);
            for node in [7, 8] {
                assert!(known(&bundle, node).is_err(), "{why}, {node} known");
            }
        }
        known(&sample().with_rotations(vec![one]), 8).unwrap();
    }

    #[test]
    fn empty_unknown_and_missing_fields() {
        for empty in ["", " \n", "{}", "[]", "null"] {
            assert!(Bundle::from_bytes(empty.as_bytes()).is_err(), "{empty:?}");
        }
        let value: serde_json::Value =
            serde_json::from_slice(&sample().to_bytes().unwrap()).unwrap();
        let read = |value: &serde_json::Value| Bundle::from_bytes(value.to_string().as_bytes());
        read(&value).unwrap();
        let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        for field in fields {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(&field);
            assert!(read(&less).is_err(), "without {field}");
        }
        for place in ["", "/module", "/attestation", "/module/envelope"] {
            let mut more = value.clone();
            more.pointer_mut(place).unwrap()["verified"] = true.into();
            assert!(read(&more).is_err(), "more in {place:?}");
        }
        let mut other = value;
        other["format"] = "fedseal-bundle/v2".into();
        assert!(read(&other).is_err());
    }

    #[test]
    fn parts_of_other_updates() {
        let good = sample();
        let mut about = predicate();
        about.node = key(1).public();
        about.module = Digest::of(WASM);
        about.module_signer = key(2).public();
        about.round.0 += 1;
        let attestation = attestation::sign(&about, &key(1)).unwrap();
        let mut swapped = good.clone();
        swapped.attestation = attestation.clone();
        assert!(verify(&swapped).is_err(), "another attestation");
        // With its own entry, but the proof of the other.
        swapped.entry = String::from_utf8(entry(&attestation, &about)).unwrap();
        assert!(verify(&swapped).is_err(), "another entry");
        swapped.proof = proof(swapped.entry.as_bytes()).to_text();
        verify(&swapped).unwrap();

        let mut module = good.clone();
        module.module.envelope =
            module::sign(b"evil", &ModulePredicate::new("plain", "1"), &key(2)).unwrap();
        assert!(verify(&module).is_err(), "a signature of other bytes");
        module.module.digest = Digest::of(b"evil");
        module.module.bytes = None;
        assert!(verify(&module).is_err(), "another module than the attested");
        let mut bytes = good.clone();
        bytes.module.bytes = Some(base64::encode(b"evil"));
        assert!(verify(&bytes).is_err(), "other bytes");
        let mut closed = good;
        closed.entry = r#"{"type":"closed"}"#.into();
        assert!(verify(&closed).is_err());
    }
}

//! Checks one by one, for people who look at them: what is claimed, whether it holds, and why. A browser asks
//! them through the crate `fedseal-verifier`, with JSON in and out ([`answer`]).
//!
//! Nothing in a question is believed, but for the key: who asks has to know from elsewhere whose it is.

use serde::{Deserialize, Serialize};

use crate::attestation::{self, UpdatePredicate};
use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::PublicKey;
use crate::record::Record;
use crate::statement::{Statement, expect};
use crate::tlog::{
    Checkpoint, VerifierKey, cosigned_at, leaf_hash, verify_consistency, verify_inclusion,
};
use crate::transcript::{self, Transcript};
use crate::{Error, Result};

/// Bounds on a question: a transcript as a JSON string, where each letter may be two, and some more.
const BOUNDS: Bounds = Bounds {
    bytes: 3 * transcript::MAX_BYTES,
    structure: 1 << 20,
};

/// A claim that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The claim, a sentence.
    pub claim: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Facts that were found: digests, sizes, keys; the problem where it does not hold.
    pub detail: String,
}

/// Place of an entry in a log, with its proof.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Number of the entry, from 0.
    pub index: u64,
    /// The entry's bytes.
    pub entry: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// Its inclusion proof (RFC 6962, section 2.1.1).
    pub proof: Vec<Digest>,
    /// The checkpoint as it was signed.
    pub checkpoint: String,
    /// The log's public key.
    pub key: PublicKey,
}

/// A question about what a server or a file shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// An update: its attestation, its transcript, its place in the log.
    Update {
        /// The update's id.
        update: Digest,
        /// Bytes of the envelope with the node's statement.
        envelope: String,
        /// Bytes of the transcript.
        transcript: String,
        /// The update's place in the log.
        place: Place,
    },
    /// An entry of a log.
    Entry(Place),
    /// A report that a log names.
    Report {
        /// Bytes of the report.
        report: String,
        /// Place of the entry that names it.
        place: Place,
    },
    /// A checkpoint with its cosignatures.
    Checkpoint {
        /// The signed note.
        checkpoint: String,
        /// The log's key.
        key: PublicKey,
        /// Witnesses that the reader knows, as verifier keys (C2SP signed-note).
        witnesses: Vec<String>,
    },
    /// Two checkpoints of a log, of which the later has to contain all of the earlier.
    Consistency {
        /// The earlier signed note.
        old: String,
        /// The later one.
        new: String,
        /// The consistency proof between both (RFC 6962, section 2.1.2).
        proof: Vec<Digest>,
        /// The log's key.
        key: PublicKey,
    },
}

/// Answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Every check that was made.
    Checks(Vec<Check>),
    /// Why the question could not be read.
    Error(String),
}

/// Answers a question that is JSON with an [`Answer`] that is JSON.
pub fn answer(question: &[u8]) -> Vec<u8> {
    let question: Result<Question> = bounded::from_slice("question", question, &BOUNDS);
    let answer = match question {
        Ok(question) => Answer::Checks(checks(&question)),
        Err(error) => Answer::Error(error.to_string()),
    };
    // Only a map with other keys than strings could not be written.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// Makes every check that a question asks for.
pub fn checks(question: &Question) -> Vec<Check> {
    match question {
        Question::Update {
            update,
            envelope,
            transcript,
            place,
        } => of_update(update, envelope, transcript, place),
        Question::Entry(place) => of_place(place).into(),
        Question::Report { report, place } => of_report(report, place),
        Question::Checkpoint {
            checkpoint,
            key,
            witnesses,
        } => {
            let signed = check(SIGNED, || signature(checkpoint, key));
            let cosigned = witnesses.iter().map(|witness| {
                check("A witness that you know cosigned it", || {
                    cosignature(checkpoint, witness)
                })
            });
            std::iter::once(signed).chain(cosigned).collect()
        }
        Question::Consistency {
            old,
            new,
            proof,
            key,
        } => vec![
            check(
                "The earlier checkpoint carries the log key's signature",
                || signature(old, key),
            ),
            check(
                "The later checkpoint carries the log key's signature",
                || signature(new, key),
            ),
            check("The later log begins with all of the earlier one", || {
                let (old, new) = (Checkpoint::parse(old)?, Checkpoint::parse(new)?);
                expect("log", &old.origin, &new.origin)?;
                verify_consistency(old.size, old.root, new.size, new.root, proof)?;
                let (old, new, hashes) = (old.size, new.size, proof.len());
                Ok(format!("{hashes} hashes lead from {old} to {new} entries"))
            }),
        ],
    }
}

fn check(claim: &'static str, test: impl FnOnce() -> Result<String>) -> Check {
    let found = test();
    Check {
        claim,
        holds: found.is_ok(),
        detail: found.unwrap_or_else(|error| error.to_string()),
    }
}

const SIGNED: &str = "The checkpoint carries the log key's signature";

/// Verifies a checkpoint's signature; says what it signs.
fn signature(note: &str, key: &PublicKey) -> Result<String> {
    let origin = Checkpoint::parse(note)?.origin;
    let Checkpoint { size, root, .. } = Checkpoint::verify(note, &origin, key)?;
    Ok(format!(
        "{origin}: {size} entries under root {root}, key {key}"
    ))
}

/// Verifies a witness' cosignature; says when it was made.
fn cosignature(note: &str, witness: &str) -> Result<String> {
    let witness: VerifierKey = witness.trim().parse()?;
    match cosigned_at(note, &witness)? {
        Some(time) => Ok(format!("{}, {time} seconds after 1970 began", witness.name)),
        None => Err(Error::Signature {
            what: "cosignature",
            detail: format!("{} has not cosigned this checkpoint", witness.name),
        }),
    }
}

/// Checks of a place: the entry under the checkpoint, and the checkpoint's signature.
fn of_place(place: &Place) -> [Check; 2] {
    let included = || {
        let checkpoint = Checkpoint::parse(&place.checkpoint)?;
        let (said, size) = (checkpoint.size.to_string(), place.size.to_string());
        expect("log size", &said, &size)?;
        let leaf = leaf_hash(place.entry.as_bytes());
        let (index, root) = (place.index, checkpoint.root);
        verify_inclusion(leaf, index, checkpoint.size, &place.proof, root)?;
        let hashes = place.proof.len();
        Ok(format!(
            "{hashes} hashes lead from entry {index} of {size} to root {root}"
        ))
    };
    [
        check(
            "The entry is in the log that the checkpoint names",
            included,
        ),
        check(SIGNED, || signature(&place.checkpoint, &place.key)),
    ]
}

fn of_report(report: &str, place: &Place) -> Vec<Check> {
    let named = check("The log names this report", || {
        let Record::Report { digest } = Record::from_bytes(place.entry.as_bytes())? else {
            return Err(other_entry("it is not about a report"));
        };
        let found = Digest::of(report.as_bytes());
        expect("report", &digest.to_string(), &found.to_string())?;
        Ok(format!("SHA-256 of its bytes: {found}"))
    });
    std::iter::once(named).chain(of_place(place)).collect()
}

fn of_update(update: &Digest, envelope: &str, transcript: &str, place: &Place) -> Vec<Check> {
    let named = check("The envelope is the one this update is named by", || {
        let found = Digest::of(envelope.as_bytes());
        expect("envelope", &update.to_string(), &found.to_string())?;
        Ok(format!("SHA-256 of its bytes: {found}"))
    });
    let signed = check("The node's signature covers the statement", || {
        let envelope = Envelope::from_bytes(envelope.as_bytes())?;
        let signer = attestation::verify(&envelope, &[place.key])?.signer;
        Ok(format!("Ed25519, node key {signer}"))
    });
    let logged = check("The log entry names this attestation", || {
        let said = unsigned(envelope)?;
        let Record::Update {
            client,
            round,
            attestation,
            update: adapter,
            ..
        } = Record::from_bytes(place.entry.as_bytes())?
        else {
            return Err(other_entry("it is not about an update"));
        };
        expect("attestation", &attestation.to_string(), &update.to_string())?;
        if (&client, round, adapter) != (&said.client, said.round, said.update) {
            return Err(other_entry("it says something else than the statement"));
        }
        Ok(format!(
            "entry {}, client {client}, round {round}",
            place.index
        ))
    });
    let [included, head] = of_place(place);
    let called = check("The transcript is the one the statement commits to", || {
        let said = unsigned(envelope)?.transcript;
        let found = Digest::of(transcript.as_bytes());
        expect("transcript", &said.blob.to_string(), &found.to_string())?;
        let calls = Transcript::from_bytes(transcript.as_bytes())?;
        let (root, count) = (calls.root(), calls.len());
        expect("transcript root", &said.root.to_string(), &root.to_string())?;
        let counted = said.entries.to_string();
        expect("host calls", &counted, &count.to_string())?;
        Ok(format!("a chain of {count} host calls ends in {root}"))
    });
    vec![named, signed, logged, included, head, called]
}

/// The statement in an envelope, whoever signed it: another check says who did, and each stands for itself.
fn unsigned(envelope: &str) -> Result<UpdatePredicate> {
    let payload = Envelope::from_bytes(envelope.as_bytes())?.unverified_payload()?;
    let read = serde_json::from_slice::<Statement<UpdatePredicate>>(&payload);
    let what = "statement";
    Ok(read
        .map_err(|source| Error::Json { what, source })?
        .predicate)
}

fn other_entry(detail: &str) -> Error {
    Error::Invalid {
        what: "log entry",
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::attestation::tests::predicate;
    use crate::keys::SigningKey;
    use crate::tlog::{KeyKind, cosign, node_hash};

    fn note(size: u64, root: Digest) -> String {
        let origin = "fedseal.test".to_owned();
        let key = SigningKey::from_seed([9; 32]);
        Checkpoint { origin, size, root }.sign(&key).unwrap()
    }

    /// A question about an update in a log of two entries.
    fn question() -> Value {
        let key = SigningKey::from_seed([9; 32]);
        let mut calls = Transcript::new();
        calls.push("train", &json!({"steps": 2}), &json!({"handle": 1}));
        calls.push("submit", &json!({}), &json!({}));
        let mut said = predicate();
        said.transcript = attestation::TranscriptRef {
            root: calls.root(),
            entries: 2,
            blob: Digest::of(&calls.to_bytes()),
        };
        let envelope = attestation::sign(&said, &key).unwrap().to_bytes();
        let update = Digest::of(&envelope);
        let entry = Record::Update {
            key: Digest::of(b"k"),
            client: said.client,
            round: said.round,
            attestation: update,
            update: said.update,
        };
        let entry = entry.to_bytes().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let first = leaf_hash(b"first");
        json!({"update": {
            "update": update, "envelope": text(envelope), "transcript": text(calls.to_bytes()),
            "place": {
                "index": 1, "size": 2, "proof": [first], "key": key.public(),
                "checkpoint": note(2, node_hash(&first, &leaf_hash(&entry))), "entry": text(entry),
            },
        }})
    }

    fn asked(question: &Value) -> Vec<Check> {
        let question = serde_json::from_value(question.clone()).unwrap();
        checks(&question)
    }

    /// Numbers of the checks that fail.
    fn failing(question: &Value) -> Vec<usize> {
        let checks = asked(question);
        assert!(!checks.is_empty());
        let failing = checks.iter().enumerate().filter(|(_, check)| !check.holds);
        failing.map(|(at, _)| at).collect()
    }

    #[test]
    fn every_check_of_an_update_fails_for_its_own_reason() {
        let good = question();
        assert_eq!(failing(&good), [0; 0]);
        assert_eq!(asked(&good).len(), 6);
        let with = |pointer: &str, change: &dyn Fn(&str) -> String| {
            let mut question = good.clone();
            let value = question.pointer_mut(pointer).unwrap();
            *value = match value.as_str() {
                Some(text) => change(text).into(),
                None => change("").parse::<u64>().unwrap().into(),
            };
            failing(&question)
        };
        let other = |_: &str| Digest::of(b"other").to_string();
        assert_eq!(with("/update/update", &other), [0, 2]);
        assert_eq!(with("/update/place/proof/0", &other), [3]);
        let key = |_: &str| SigningKey::from_seed([8; 32]).public().to_string();
        assert_eq!(with("/update/place/key", &key), [1, 4]);
        let later = |text: &str| text.replace("\"seq\":1", "\"seq\":2");
        assert_eq!(with("/update/transcript", &later), [5]);
        let another = |text: &str| text.replace("client-03", "client-04");
        assert_eq!(with("/update/place/entry", &another), [2, 3]);
        let zero = |_: &str| "0".to_owned();
        assert_eq!(with("/update/place/index", &zero), [3]);
        // Another letter of the payload, and the envelope's own digest beside it.
        let payload = |text: &str| text.replacen("\"payload\":\"eyJ", "\"payload\":\"eyI", 1);
        assert_eq!(with("/update/envelope", &payload), [0, 1, 2, 5]);
        let place = json!({"entry": good["update"]["place"]});
        assert_eq!((failing(&place), asked(&place).len()), (vec![], 2));
    }

    #[test]
    fn a_report_is_the_one_that_the_log_names() {
        let entry = Record::Report {
            digest: Digest::of(b"{}"),
        };
        let entry = String::from_utf8(entry.to_bytes().unwrap()).unwrap();
        let key = SigningKey::from_seed([9; 32]).public();
        let of = |report: &str| {
            let root = leaf_hash(entry.as_bytes());
            json!({"report": {"report": report, "place": {
                "index": 0, "size": 1, "proof": [], "key": key, "checkpoint": note(1, root), "entry": entry,
            }}})
        };
        assert_eq!(failing(&of("{}")), [0; 0]);
        assert_eq!(failing(&of("{ }")), [0]);
    }

    #[test]
    fn a_later_log_begins_with_the_earlier_one_or_does_not() {
        let key = SigningKey::from_seed([9; 32]).public();
        let [a, b, c] = [b"a", b"b", b"c"].map(|entry| leaf_hash(entry));
        let (old, new) = (node_hash(&a, &b), node_hash(&node_hash(&a, &b), &c));
        let of = |old: Digest, proof: Digest| {
            json!({"consistency": {
                "old": note(2, old), "new": note(3, new), "proof": [proof], "key": key,
            }})
        };
        assert_eq!(failing(&of(old, c)), [0; 0]);
        assert_eq!(failing(&of(old, a)), [2]);
        assert_eq!(failing(&of(node_hash(&b, &a), c)), [2], "another history");
    }

    #[test]
    fn cosignatures_are_those_of_known_witnesses() {
        let log = SigningKey::from_seed([9; 32]).public();
        let witness = SigningKey::from_seed([5; 32]);
        let bare = note(1, leaf_hash(b"a"));
        let line = cosign(&bare, "witness.test", &witness, 1_700_000_000).unwrap();
        let known = VerifierKey::new("witness.test", KeyKind::Witness, witness.public()).unwrap();
        let of = |note: &str, known: &str| json!({"checkpoint": {"checkpoint": note, "key": log, "witnesses": [known]}});
        let both = format!("{bare}{line}");
        assert_eq!(failing(&of(&both, &known.to_string())), [0; 0]);
        assert_eq!(failing(&of(&bare, &known.to_string())), [1]);
        assert_eq!(failing(&of(&both, "no key")), [1]);
    }

    #[test]
    fn a_question_that_cannot_be_read_is_no_success() {
        for bad in [
            "",
            "{}",
            "{\"update\":{}}",
            "{\"consistency\":{\"more\":1}}",
        ] {
            let answer: Value = serde_json::from_slice(&answer(bad.as_bytes())).unwrap();
            assert!(
                answer["error"].is_string() && answer.get("checks").is_none(),
                "{bad}"
            );
        }
        let answer: Value =
            serde_json::from_slice(&answer(question().to_string().as_bytes())).unwrap();
        assert_eq!(answer["checks"][0]["holds"], true);
    }
}

//! Cosignatures of witnesses (C2SP tlog-cosignature, <https://c2sp.org/tlog-cosignature>), version
//! 1, Ed25519: a witness says that, as of a time, this is the largest consistent head of the log
//! that it has seen.

use super::note::{check_name, open_note, signature_lines, split_note};
use super::vkey::{KeyKind, VerifierKey};
use crate::keys::SigningKey;
use crate::{Error, Result, base64};

/// "The header line MUST be the fixed string `cosignature/v1`".
const HEADER: &str = "cosignature/v1";

/// Timestamp and Ed25519 signature, bytes.
const LENGTH: usize = 8 + 64;

/// "two newline terminated lines (one header line and one timestamp line) followed by the whole
/// note body of the cosigned checkpoint (including the final newline [...])".
fn message(timestamp: u64, body: &str) -> Vec<u8> {
    format!("{HEADER}\ntime {timestamp}\n{body}").into_bytes()
}

/// The signature line, ended by a newline, with which a witness cosigns a checkpoint at `timestamp`
/// (seconds since 1970). What it says must have been checked before.
///
/// # Errors
/// [`Error::Invalid`] when the note is malformed, the name cannot be a key name, or the timestamp
/// is 2^63 or later.
pub fn cosign(note: &str, name: &str, key: &SigningKey, timestamp: u64) -> Result<String> {
    check_name(name)?;
    let (body, _) = split_note(note)?;
    if timestamp > i64::MAX as u64 {
        return Err(invalid(format!(
            "the timestamp {timestamp} exceeds 2^63 - 1"
        )));
    }
    let witness = VerifierKey::new(name, KeyKind::Witness, key.public())?;
    let mut raw = witness.hash().to_vec();
    raw.extend_from_slice(&timestamp.to_be_bytes());
    raw.extend_from_slice(&key.sign(&message(timestamp, body)));
    Ok(format!("\u{2014} {name} {}\n", base64::encode(&raw)))
}

/// The time of this witness's cosignature on a checkpoint, seconds since 1970; none when it has
/// not cosigned. The latest, when there are several.
///
/// # Errors
/// [`Error::Signature`] when a line of this witness does not verify; [`Error::Invalid`] when the
/// note is malformed or the key is a log's.
pub fn cosigned_at(note: &str, witness: &VerifierKey) -> Result<Option<u64>> {
    let fail = |detail: String| Error::Signature {
        what: "cosignature",
        detail: format!("by {}: {detail}", witness.name),
    };
    if witness.kind != KeyKind::Witness {
        return Err(invalid(format!(
            "{witness} is a log's key, not a witness's"
        )));
    }
    let (body, lines) = open_note(note)?;
    let mut latest = None;
    for line in lines {
        if line.name != witness.name || line.hash != witness.hash() {
            continue;
        }
        let (Some((timestamp, signature)), LENGTH) = (
            line.signature.split_first_chunk::<8>(),
            line.signature.len(),
        ) else {
            return Err(fail(format!(
                "{} bytes, a timestamp and an Ed25519 signature have {LENGTH}",
                line.signature.len()
            )));
        };
        let timestamp = u64::from_be_bytes(*timestamp);
        if timestamp > i64::MAX as u64 {
            return Err(fail(format!("the timestamp {timestamp} exceeds 2^63 - 1")));
        }
        let signature = <[u8; 64]>::try_from(signature)
            .map_err(|_| fail("a signature of another length".into()))?;
        witness
            .key
            .verify(&message(timestamp, body), &signature)
            .map_err(|_| fail(format!("does not verify under key {}", witness.key)))?;
        latest = latest.max(Some(timestamp));
    }
    Ok(latest)
}

/// The note with further signature lines; a line that it has already is not added again.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Base64`] when note or lines are malformed.
pub fn add_signatures(note: &str, lines: &str) -> Result<String> {
    open_note(note)?;
    signature_lines(lines)?;
    let (_, present) = split_note(note)?;
    let mut out = note.to_owned();
    for line in lines.split_inclusive('\n') {
        if !present.split_inclusive('\n').any(|p| p == line) {
            out.push_str(line);
        }
    }
    Ok(out)
}

/// The lines of this witness in its answer, verified: what a client keeps of it ("The client MUST
/// ignore any cosignatures from unknown keys").
///
/// # Errors
/// As [`cosigned_at`].
pub fn known_cosignatures(note: &str, answer: &str, witness: &VerifierKey) -> Result<String> {
    let kept = lines_by(answer, witness)?;
    let (body, _) = split_note(note)?;
    if kept.is_empty() || cosigned_at(&format!("{body}\n{kept}"), witness)?.is_none() {
        return Err(Error::Signature {
            what: "cosignature",
            detail: format!("the answer has none by {witness}"),
        });
    }
    Ok(kept)
}

/// The note with the lines of this key alone, each once. A line of its name by another key goes: it is
/// anybody's bytes.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Base64`] when the note is malformed.
pub fn signed_by_only(note: &str, key: &VerifierKey) -> Result<String> {
    let (body, signatures) = split_note(note)?;
    Ok(format!("{body}\n{}", lines_by(signatures, key)?))
}

/// The signature lines that name this key, each once.
fn lines_by(text: &str, key: &VerifierKey) -> Result<String> {
    let parsed = signature_lines(text)?;
    let mut kept: Vec<&str> = Vec::new();
    for (line, parsed) in text.split_inclusive('\n').zip(parsed) {
        if parsed.name == key.name && parsed.hash == key.hash() && !kept.contains(&line) {
            kept.push(line);
        }
    }
    Ok(kept.concat())
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "cosignature",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::tlog::Checkpoint;

    fn note() -> String {
        let checkpoint = Checkpoint {
            origin: "example.com/log".into(),
            size: 7,
            root: Digest::of(b"root"),
        };
        checkpoint.sign(&SigningKey::from_seed([1; 32])).unwrap()
    }

    fn witness(seed: u8) -> (SigningKey, VerifierKey) {
        let key = SigningKey::from_seed([seed; 32]);
        let vkey = VerifierKey::new("w.example/1", KeyKind::Witness, key.public()).unwrap();
        (key, vkey)
    }

    #[test]
    fn the_signed_message_is_the_specifications() {
        let body =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(
            message(1679315147, body),
            format!("cosignature/v1\ntime 1679315147\n{body}").into_bytes()
        );
    }

    #[test]
    fn cosigned_once_twice_and_by_nobody() {
        let (key, vkey) = witness(2);
        let note = note();
        assert_eq!(cosigned_at(&note, &vkey).unwrap(), None);
        let line = cosign(&note, "w.example/1", &key, 1_700_000_000).unwrap();
        let once = add_signatures(&note, &line).unwrap();
        assert_eq!(cosigned_at(&once, &vkey).unwrap(), Some(1_700_000_000));
        assert_eq!(add_signatures(&once, &line).unwrap(), once, "not twice");
        let later = cosign(&note, "w.example/1", &key, 1_700_000_009).unwrap();
        let twice = add_signatures(&once, &later).unwrap();
        assert_eq!(cosigned_at(&twice, &vkey).unwrap(), Some(1_700_000_009));
        // Another witness of the same name is another witness.
        assert_eq!(cosigned_at(&twice, &witness(3).1).unwrap(), None);
        // The log's own signature still verifies, and its key is no witness.
        let log = SigningKey::from_seed([1; 32]).public();
        Checkpoint::verify(&twice, "example.com/log", &log).unwrap();
        let log = VerifierKey::new("example.com/log", KeyKind::Log, log).unwrap();
        assert!(cosigned_at(&twice, &log).is_err());
        assert!(cosign(&note, "w", &key, u64::MAX).is_err());
    }

    #[test]
    fn every_flip_in_a_cosignature_is_seen() {
        let (key, vkey) = witness(2);
        let note = note();
        let line = cosign(&note, "w.example/1", &key, 1_700_000_000).unwrap();
        for i in 0..line.len() - 1 {
            let mut bytes = line.clone().into_bytes();
            bytes[i] ^= 1;
            let seen = String::from_utf8(bytes)
                .ok()
                .and_then(|l| add_signatures(&note, &l).ok())
                .and_then(|n| cosigned_at(&n, &vkey).ok())
                .flatten();
            assert_eq!(seen, None, "byte {i}");
        }
        let other = note.replacen("7\n", "8\n", 1);
        let moved = add_signatures(&other, &line).unwrap();
        assert!(cosigned_at(&moved, &vkey).is_err(), "another checkpoint");
    }

    #[test]
    fn of_an_answer_only_the_known_is_kept() {
        let ((key, vkey), (other, _)) = (witness(2), witness(3));
        let note = note();
        let mine = cosign(&note, "w.example/1", &key, 5).unwrap();
        let theirs = cosign(&note, "x", &other, 5).unwrap();
        let answer = format!("{theirs}{mine}");
        assert_eq!(known_cosignatures(&note, &answer, &vkey).unwrap(), mine);
        for bad in ["", &theirs, "nonsense\n", &mine[..mine.len() - 1]] {
            assert!(known_cosignatures(&note, bad, &vkey).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_of_a_name_by_another_key_go() {
        let ((key, vkey), (other, _)) = (witness(2), witness(3));
        let note = note();
        let mine = cosign(&note, "w.example/1", &key, 5).unwrap();
        let theirs = cosign(&note, "w.example/1", &other, 5).unwrap();
        let all = format!("{note}{theirs}{mine}{mine}");
        let body = split_note(&note).unwrap().0;
        let kept = signed_by_only(&all, &vkey).unwrap();
        assert_eq!(kept, format!("{body}\n{mine}"));
    }
}

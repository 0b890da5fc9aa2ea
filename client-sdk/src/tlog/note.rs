//! Checkpoints: signed notes (C2SP signed-note and tlog-checkpoint,
//! <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint>).

use super::proof::empty_root;
use crate::bounded::short;
use crate::digest::Digest;
use crate::keys::{PublicKey, SigningKey};
use crate::{Error, Result, base64};

/// The signature type of a log's Ed25519 key in a verifier key and a key hash.
const ALGORITHM: u8 = 0x01;

/// Longer notes (bytes) are refused unread. Room for far more than the 16 signatures of 5 kB that
/// a verifier must accept.
pub const MAX_NOTE: usize = 1 << 20;

/// A log's head: how many entries it has, and the root of their tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, and as a rule the name of its key. Origins of our own have neither whitespace
    /// nor `+`; others may.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of their tree.
    pub root: Digest,
}

impl Checkpoint {
    /// The note text: three lines, origin, tree size in decimal, root hash in base64.
    pub fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            base64::encode(&self.root.0)
        )
    }

    /// The signed note.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the origin cannot be a key name.
    pub fn sign(&self, key: &SigningKey) -> Result<String> {
        sign_note(&self.body(), &self.origin, key)
    }

    /// Reads the text of a note, without looking at its signatures. Extension lines are opaque and
    /// passed over; signatures cover them.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the line that is wrong.
    pub fn parse(note: &str) -> Result<Checkpoint> {
        let (text, _) = split_note(note)?;
        let mut lines = text.lines();
        let (Some(origin), Some(size_text), Some(root)) =
            (lines.next(), lines.next(), lines.next())
        else {
            return Err(invalid("expected three lines: origin, size, root".into()));
        };
        // "The origin MUST be non-empty"; that it can be a key's name is a recommendation. It is
        // shown to people, so nothing in it moves a terminal's cursor.
        if origin.is_empty() || origin.chars().any(char::is_control) {
            return Err(invalid(
                "the origin is empty or holds control characters".into(),
            ));
        }
        if lines.any(str::is_empty) {
            return Err(invalid("an empty extension line".into()));
        }
        let size: u64 = size_text
            .parse()
            .ok()
            .filter(|n: &u64| n.to_string() == size_text)
            .ok_or_else(|| {
                invalid(format!(
                    "the size {:?} is not a decimal number",
                    short(size_text, 80)
                ))
            })?;
        let root = base64::decode("checkpoint root", root)?;
        let root: [u8; 32] = root
            .try_into()
            .map_err(|r: Vec<u8>| invalid(format!("the root has {} bytes, not 32", r.len())))?;
        Ok(Checkpoint {
            origin: origin.to_owned(),
            size,
            root: Digest(root),
        })
    }

    /// Reads a note and verifies that the log of this origin and key signed it, and that there can be
    /// such a tree. Signatures by other keys (witnesses) are ignored.
    ///
    /// # Errors
    /// As [`Checkpoint::signed_by`] and [`Checkpoint::possible`].
    pub fn verify(note: &str, origin: &str, key: &PublicKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::signed_by(note, origin, key)?;
        checkpoint.possible()?;
        Ok(checkpoint)
    }

    /// As [`Checkpoint::verify`], of the signature alone.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Mismatch`] (origin), [`Error::Invalid`].
    pub fn signed_by(note: &str, origin: &str, key: &PublicKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::parse(note)?;
        crate::statement::expect("checkpoint origin", origin, &checkpoint.origin)?;
        verify_note(note, origin, key)?;
        Ok(checkpoint)
    }

    /// Checks that a tree without entries has the one root that it can have: nothing could ever be
    /// consistent with another.
    ///
    /// # Errors
    /// [`Error::Proof`] with both roots.
    pub fn possible(&self) -> Result<()> {
        if self.size > 0 || self.root == empty_root() {
            return Ok(());
        }
        Err(Error::Proof {
            what: "checkpoint",
            detail: format!(
                "a log without entries has root {}, this one says {}",
                empty_root(),
                self.root
            ),
        })
    }
}

/// The first four bytes of `SHA-256(name || "\n" || 0x01 || key)` (signed-note, "Signature
/// types").
pub fn note_key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    typed_key_hash(name, ALGORITHM, key)
}

/// The key hash for a signature type.
pub(super) fn typed_key_hash(name: &str, algorithm: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Digest::of_parts(&[name.as_bytes(), b"\n", &[algorithm], key.as_bytes()]);
    let [a, b, c, d, ..] = hash.0;
    [a, b, c, d]
}

/// One signature line of a note, nothing about it verified.
pub(super) struct SignatureLine<'a> {
    pub name: &'a str,
    pub hash: [u8; 4],
    pub signature: Vec<u8>,
}

/// Text and signature lines of a note.
pub(super) fn open_note(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>)> {
    let (text, signatures) = split_note(note)?;
    Ok((text, signature_lines(signatures)?))
}

/// Reads lines `\u{2014} NAME BASE64`, each ended by a newline.
pub(super) fn signature_lines(text: &str) -> Result<Vec<SignatureLine<'_>>> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(invalid("the last signature line is cut".into()));
    }
    let mut lines = Vec::new();
    for line in text.split_terminator('\n') {
        let Some((name, raw)) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
        else {
            let line = short(line, 200);
            return Err(invalid(format!("not a signature line: {line:?}")));
        };
        legal_name(name)?;
        let raw = base64::decode("checkpoint signature", raw)?;
        let Some((hash, signature)) = raw.split_first_chunk::<4>() else {
            return Err(invalid(format!("the signature by {name:?} is too short")));
        };
        if signature.is_empty() {
            return Err(invalid(format!("the signature by {name:?} is too short")));
        }
        lines.push(SignatureLine {
            name,
            hash: *hash,
            signature: signature.to_vec(),
        });
    }
    Ok(lines)
}

/// The key as other verifiers of signed notes take it: `name+hash+base64(0x01 || key)`.
pub fn verifier_key(name: &str, key: &PublicKey) -> String {
    let mut raw = vec![ALGORITHM];
    raw.extend_from_slice(key.as_bytes());
    format!(
        "{name}+{}+{}",
        hex::encode(note_key_hash(name, key)),
        base64::encode(&raw)
    )
}

fn sign_note(text: &str, name: &str, key: &SigningKey) -> Result<String> {
    check_name(name)?;
    let mut raw = note_key_hash(name, &key.public()).to_vec();
    raw.extend_from_slice(&key.sign(text.as_bytes()));
    Ok(format!(
        "{text}\n\u{2014} {name} {}\n",
        base64::encode(&raw)
    ))
}

fn verify_note(note: &str, name: &str, key: &PublicKey) -> Result<()> {
    let fail = |detail: String| Error::Signature {
        what: "checkpoint",
        detail,
    };
    let (text, lines) = open_note(note)?;
    let expected = note_key_hash(name, key);
    // "If a signature from a known key fails to verify, clients SHOULD reject the whole note."
    let mut verified = false;
    for line in lines {
        if line.name != name || line.hash != expected {
            continue;
        }
        let signature = <[u8; 64]>::try_from(line.signature.as_slice()).map_err(|_| {
            fail(format!(
                "the signature by {name} has {} bytes, not 64",
                line.signature.len()
            ))
        })?;
        key.verify(text.as_bytes(), &signature).map_err(|_| {
            fail(format!(
                "the signature by {name} does not verify under key {key}"
            ))
        })?;
        verified = true;
    }
    if verified {
        return Ok(());
    }
    Err(fail(format!(
        "it has no signature by {}",
        verifier_key(name, key)
    )))
}

/// Text (with its final newline) and signature lines of a note.
pub(super) fn split_note(note: &str) -> Result<(&str, &str)> {
    if note.len() > MAX_NOTE {
        return Err(invalid(format!("longer than {MAX_NOTE} bytes")));
    }
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(invalid("it holds control characters".into()));
    }
    let at = note
        .rfind("\n\n")
        .ok_or_else(|| invalid("no empty line before the signatures".into()))?;
    let (text, signatures) = note.split_at(at + 1);
    let signatures = &signatures[1..];
    if signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(invalid("no signature lines, or the last one is cut".into()));
    }
    Ok((text, signatures))
}

/// Checks a name that is used here: of a key that signs or that somebody trusts. It is shown to people.
pub(super) fn check_name(name: &str) -> Result<()> {
    legal_name(name)?;
    if name.chars().any(char::is_control) {
        return Err(bad_name(name));
    }
    Ok(())
}

/// Checks the name on a signature line, which may be anybody's: "Key names MUST be non-empty and MUST
/// NOT contain any Unicode spaces or plus".
fn legal_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+') {
        return Err(bad_name(name));
    }
    Ok(())
}

fn bad_name(name: &str) -> Error {
    invalid(format!(
        "the name {:?} is empty or holds whitespace, control characters or '+'",
        short(name, 200)
    ))
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "checkpoint",
        detail,
    }
}

#[cfg(test)]
mod tests;

//! The signature section that `wasmsign2` embeds in a module
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Signatures.md>): read and verified, never
//! written. Our own signature is the detached statement of [`crate::module`], which also names the
//! module and covers its first eight bytes, as this one does not.
//!
//! It is the first section: a custom one named `signature` that holds sets of hashes with signatures
//! over `"wasmsig" 01 01 01 HASH…`. Here the last hash of a set counts, that of everything after the
//! section; a set that covers only the module's beginning does not.

use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::{Error, Result};

/// The first bytes of a core module and of a component.
const HEADERS: [[u8; 8]; 2] = [*b"\0asm\x01\0\0\0", *b"\0asm\x0d\0\x01\0"];

/// The section's name.
const NAME: &[u8] = b"signature";

/// Format version, content type (a module), hash function (SHA-256): the only ones there are.
const KIND: [u8; 3] = [1, 1, 1];

/// Ed25519.
const ALGORITHM: u8 = 1;

/// Sets, and hashes of a set, at most (wasmsign2 0.2, `MAX_HASHES`).
pub const MAX_HASHES: usize = 64;

/// Signatures of a set, at most (wasmsign2 0.2, `MAX_SIGNATURES`).
pub const MAX_SIGNATURES: usize = 256;

/// Signatures of all sets together, at most: each may be held against every trusted key.
pub const MAX_ALL_SIGNATURES: usize = 256;

/// Hashes, and the signatures over them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    hashes: Vec<Digest>,
    signatures: Vec<[u8; 64]>,
}

/// A module's embedded signatures. Nothing about them is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    sets: Vec<Set>,
    /// The digest of everything after the section.
    rest: Digest,
}

impl Embedded {
    /// Reads the section of a module; `None` where the first section is another one or the bytes
    /// are no WebAssembly.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is a section and it is not what it must be.
    pub fn read(module: &[u8]) -> Result<Option<Embedded>> {
        let Some(mut all) = HEADERS.iter().find_map(|h| module.strip_prefix(h)) else {
            return Ok(None);
        };
        // The module's own reader reports what is wrong up to the name.
        let Ok(mut section) = first_custom(&mut all) else {
            return Ok(None);
        };
        if !slice(&mut section).is_ok_and(|name| name == NAME) {
            return Ok(None);
        }
        for (at, expected) in KIND.into_iter().enumerate() {
            let got = byte(&mut section)?;
            if got != expected {
                let what = ["version", "content type", "hash function"][at];
                return Err(invalid(format!("{what} {got}, only {expected} is read")));
            }
        }
        let mut sets = Vec::new();
        for _ in 0..count(&mut section, "sets", MAX_HASHES)? {
            sets.push(Set::read(slice(&mut section)?)?);
        }
        end(section)?;
        let all_signatures: usize = sets.iter().map(|set| set.signatures.len()).sum();
        if all_signatures > MAX_ALL_SIGNATURES {
            return Err(invalid(format!(
                "{all_signatures} signatures in all, at most {MAX_ALL_SIGNATURES}"
            )));
        }
        Ok(Some(Embedded {
            sets,
            rest: Digest::of(all),
        }))
    }

    /// How many signatures there are, whoever made them.
    pub fn signatures(&self) -> usize {
        self.sets.iter().map(|set| set.signatures.len()).sum()
    }

    /// The first of these keys that signed the whole module.
    ///
    /// # Errors
    /// [`Error::Signature`] when none did: another key, or other bytes after the section.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<PublicKey> {
        for set in &self.sets {
            if set.hashes.last() != Some(&self.rest) {
                continue;
            }
            let mut message = b"wasmsig".to_vec();
            message.extend_from_slice(&KIND);
            for hash in &set.hashes {
                message.extend_from_slice(&hash.0);
            }
            let signed = |key: &&PublicKey| {
                set.signatures
                    .iter()
                    .any(|signature| key.verify(&message, signature).is_ok())
            };
            if let Some(key) = trusted.iter().find(signed) {
                return Ok(*key);
            }
        }
        let whole = self
            .sets
            .iter()
            .any(|s| s.hashes.last() == Some(&self.rest));
        Err(Error::Signature {
            what: "embedded signature",
            detail: if whole {
                format!(
                    "none of its {} signatures is by one of the {} trusted keys",
                    self.signatures(),
                    trusted.len()
                )
            } else {
                "it is about other bytes than those that follow it".to_owned()
            },
        })
    }
}

impl Set {
    fn read(mut bytes: &[u8]) -> Result<Set> {
        let mut hashes = Vec::new();
        for _ in 0..count(&mut bytes, "hashes", MAX_HASHES)? {
            let (hash, rest) = bytes.split_first_chunk::<32>().ok_or_else(cut)?;
            hashes.push(Digest(*hash));
            bytes = rest;
        }
        let mut signatures = Vec::new();
        for _ in 0..count(&mut bytes, "signatures", MAX_SIGNATURES)? {
            let mut one = slice(&mut bytes)?;
            // The key's id, a hint that is not needed.
            slice(&mut one)?;
            let algorithm = byte(&mut one)?;
            let signature = slice(&mut one)?;
            end(one)?;
            // As in the tool itself, signatures of other kinds are skipped.
            if algorithm == ALGORITHM {
                signatures.push(<[u8; 64]>::try_from(signature).map_err(|_| {
                    invalid(format!("a signature of {} bytes, not 64", signature.len()))
                })?);
            }
        }
        end(bytes)?;
        Ok(Set { hashes, signatures })
    }
}

/// The content of the first section, when it is a custom one; `bytes` is then what follows it.
fn first_custom<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    match byte(bytes)? {
        0 => slice(bytes),
        id => Err(invalid(format!("section {id}"))),
    }
}

fn byte(bytes: &mut &[u8]) -> Result<u8> {
    let (first, rest) = bytes.split_first().ok_or_else(cut)?;
    *bytes = rest;
    Ok(*first)
}

/// A u32 in LEB128 (WebAssembly core specification, 5.2.2).
fn number(bytes: &mut &[u8]) -> Result<u32> {
    let mut value = 0u64;
    for i in 0..5 {
        let byte = byte(bytes)?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| invalid("a number beyond 32 bits".into()));
        }
    }
    Err(invalid("a number of more than 5 bytes".into()))
}

fn count(bytes: &mut &[u8], what: &str, most: usize) -> Result<usize> {
    let count = number(bytes)? as usize;
    if count > most {
        return Err(invalid(format!("{count} {what}, at most {most}")));
    }
    Ok(count)
}

/// Bytes after their length.
fn slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = number(bytes)? as usize;
    let (slice, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
    *bytes = rest;
    Ok(slice)
}

fn end(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("{} bytes too many", bytes.len())))
}

fn cut() -> Error {
    invalid("it ends too early".into())
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "embedded signature",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn leb(mut n: usize, out: &mut Vec<u8>) {
        while n > 0x7f {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    }

    fn put(bytes: &[u8], out: &mut Vec<u8>) {
        leb(bytes.len(), out);
        out.extend_from_slice(bytes);
    }

    /// A component whose section has one set of these hashes, signed by `key`.
    fn component(hashes: &[Digest], key: &SigningKey, rest: &[u8]) -> Vec<u8> {
        let mut message = b"wasmsig\x01\x01\x01".to_vec();
        hashes.iter().for_each(|h| message.extend_from_slice(&h.0));
        let mut signature = vec![0, ALGORITHM];
        put(&key.sign(&message), &mut signature);
        let mut set = Vec::new();
        leb(hashes.len(), &mut set);
        hashes.iter().for_each(|h| set.extend_from_slice(&h.0));
        set.push(1);
        put(&signature, &mut set);
        let mut section = Vec::new();
        put(NAME, &mut section);
        section.extend_from_slice(&KIND);
        section.push(1);
        put(&set, &mut section);
        let mut module = HEADERS[1].to_vec();
        module.push(0);
        put(&section, &mut module);
        module.extend_from_slice(rest);
        module
    }

    #[test]
    fn whole_modules_by_trusted_keys_alone() {
        let (key, other) = (
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        );
        let rest = b"\x00\x02\x01x".as_slice();
        let whole = Digest::of(rest);
        let signed = component(&[whole], &key, rest);
        let embedded = Embedded::read(&signed).unwrap().unwrap();
        assert_eq!(embedded.signatures(), 1);
        let trusted = [other.public(), key.public()];
        assert_eq!(embedded.verify(&trusted).unwrap(), key.public());
        let error = embedded.verify(&trusted[..1]).unwrap_err().to_string();
        assert!(error.contains("none of its 1 signatures"), "{error}");
        assert!(embedded.verify(&[]).is_err());
        // Only the module's beginning was signed, or all of it and more.
        for hashes in [vec![Digest::of(b"")], vec![whole, Digest::of(b"more")]] {
            let part = component(&hashes, &key, rest);
            let error = Embedded::read(&part).unwrap().unwrap().verify(&trusted);
            assert!(error.unwrap_err().to_string().contains("other bytes"));
        }
        let parts = component(&[Digest::of(b""), whole], &key, rest);
        Embedded::read(&parts)
            .unwrap()
            .unwrap()
            .verify(&trusted)
            .unwrap();
    }

    #[test]
    fn signatures_of_all_sets_are_bounded_together() {
        let read = |sets: usize, each: usize| {
            let mut set = vec![0];
            leb(each, &mut set);
            for _ in 0..each {
                let mut signature = vec![0, ALGORITHM];
                put(&[7; 64], &mut signature);
                put(&signature, &mut set);
            }
            let mut section = Vec::new();
            put(NAME, &mut section);
            section.extend_from_slice(&KIND);
            leb(sets, &mut section);
            (0..sets).for_each(|_| put(&set, &mut section));
            let mut module = HEADERS[1].to_vec();
            module.push(0);
            put(&section, &mut module);
            Embedded::read(&module)
        };
        assert_eq!(read(4, 64).unwrap().unwrap().signatures(), 256);
        let error = read(5, 64).unwrap_err().to_string();
        assert!(error.contains("320 signatures in all"), "{error}");
    }

    #[test]
    fn every_flip_and_every_cut_is_seen() {
        let key = SigningKey::from_seed([1; 32]);
        let rest = b"\x00\x02\x01x".as_slice();
        let signed = component(&[Digest::of(rest)], &key, rest);
        let holds = |module: &[u8]| {
            Embedded::read(module)
                .ok()
                .flatten()
                .is_some_and(|e| e.verify(&[key.public()]).is_ok())
        };
        assert!(holds(&signed));
        for i in 0..signed.len() {
            let mut bad = signed.clone();
            bad[i] ^= 1;
            assert!(!holds(&bad), "flipped byte {i}");
            assert!(!holds(&signed[..i]), "cut at byte {i}");
        }
        assert!(!holds(&[signed.as_slice(), b"x"].concat()));
    }

    #[test]
    fn what_is_unsigned_and_what_is_broken() {
        for unsigned in [
            b"".as_slice(),
            b"no module at all",
            &HEADERS[0],
            b"\0asm\x0d\0\x01\0\x01\x00",
            b"\0asm\x0d\0\x01\0\x00\x05\x04note",
            b"\0asm\x0d\0\x01\0\x00\x7f",
        ] {
            assert_eq!(Embedded::read(unsigned).unwrap(), None, "{unsigned:?}");
        }
        let section = |content: &[u8]| {
            let mut all = Vec::new();
            put(NAME, &mut all);
            all.extend_from_slice(content);
            let mut module = HEADERS[1].to_vec();
            module.push(0);
            put(&all, &mut module);
            Embedded::read(&module).unwrap_err().to_string()
        };
        for (content, what) in [
            (b"".as_slice(), "ends too early"),
            (b"\x02\x01\x01\x00", "version 2"),
            (b"\x01\x02\x01\x00", "content type 2"),
            (b"\x01\x01\x02\x00", "hash function 2"),
            (b"\x01\x01\x01\x41", "65 sets, at most 64"),
            (b"\x01\x01\x01\x00\x00", "1 bytes too many"),
            (b"\x01\x01\x01\x01\x01\x41", "65 hashes"),
            (b"\x01\x01\x01\x01\x03\x00\x81\x02", "257 signatures"),
            (b"\x01\x01\x01\x80\x80\x80\x80\x80\x00", "more than 5 bytes"),
            (b"\x01\x01\x01\xff\xff\xff\xff\x7f", "beyond 32 bits"),
            (b"\x01\x01\x01\x01\xff\xff\xff\xff\x0f", "ends too early"),
        ] {
            let said = section(content);
            assert!(said.contains(what), "{what}: {said}");
        }
    }
}

//! Content-Digest (RFC 9530): read from a field, and held against a body as it comes.

use sha2::{Digest as _, Sha256, Sha512};

use super::field;
use crate::base64;

/// Digest algorithm that counts (RFC 9530, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha-256",
            Algorithm::Sha512 => "sha-512",
        }
    }
}

/// Digests of a body that a field names, of the algorithms that are known; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests(Vec<(Algorithm, Vec<u8>)>);

impl Digests {
    /// Reads a field's value. Members of unknown algorithms are passed over.
    ///
    /// # Errors
    /// The fault of the field, in words.
    pub fn read(value: &[u8]) -> Result<Self, String> {
        let mut digests = Vec::new();
        for (name, member) in field::dictionary(value)? {
            let Some(bytes) = member.bytes else {
                return Err(format!("{name:?} is no byte sequence"));
            };
            let known = Algorithm::ALL.into_iter().find(|of| of.name() == name);
            if let Some(algorithm) = known {
                digests.push((algorithm, bytes));
            }
        }
        if digests.is_empty() {
            return Err("neither sha-256 nor sha-512 is in it".into());
        }
        Ok(Digests(digests))
    }

    /// The field's value for a body: one SHA-256.
    pub fn field(body: &[u8]) -> String {
        let digest = base64::encode(Sha256::digest(body).as_slice());
        format!("{}=:{digest}:", Algorithm::Sha256.name())
    }

    /// Holds a whole body against every known digest.
    ///
    /// # Errors
    /// The first algorithm whose digest is another.
    pub fn check(&self, body: &[u8]) -> Result<(), Algorithm> {
        let mut hashing = self.hashing();
        hashing.update(body);
        hashing.finish()
    }

    /// Holds a body that comes in pieces.
    pub fn hashing(&self) -> Hashing {
        let of = |(algorithm, expected): &(Algorithm, Vec<u8>)| {
            let state = match algorithm {
                Algorithm::Sha256 => State::Sha256(Sha256::new()),
                Algorithm::Sha512 => State::Sha512(Box::default()),
            };
            (state, expected.clone())
        };
        Hashing(self.0.iter().map(of).collect())
    }
}

/// Digests of a body that is still coming.
#[derive(Clone, Debug)]
pub struct Hashing(Vec<(State, Vec<u8>)>);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hashing {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for (state, _) in &mut self.0 {
            match state {
                State::Sha256(state) => state.update(bytes),
                State::Sha512(state) => state.update(bytes),
            }
        }
    }

    /// Compares at the end.
    ///
    /// # Errors
    /// The first algorithm whose digest is another.
    pub fn finish(self) -> Result<(), Algorithm> {
        for (state, expected) in self.0 {
            let (algorithm, found) = match state {
                State::Sha256(state) => (Algorithm::Sha256, state.finalize().as_slice().to_vec()),
                State::Sha512(state) => (Algorithm::Sha512, state.finalize().as_slice().to_vec()),
            };
            if found != expected {
                return Err(algorithm);
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

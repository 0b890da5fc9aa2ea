//! A task's result on its way: the outcome, and the blobs that it names, in one tar.

use std::collections::BTreeMap;
use std::io::Read as _;

use fedseal_client_sdk::Source;
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Member with the outcome; the others are blobs, named by their digests.
const OUTCOME: &str = "outcome.json";
/// Members of a package, at most.
const MOST: usize = 4096;

/// Outcome of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// An execution: the statement that the run is to sign.
    Update {
        /// The statement.
        predicate: Box<UpdatePredicate>,
        /// The guest's log lines.
        log: Vec<String>,
    },
    /// An execution that a node states itself: the attestation's envelope is a blob.
    Attested {
        /// Digest of the envelope.
        attestation: Digest,
        /// The guest's log lines, as far as the site lets them leave.
        log: Vec<String>,
    },
    /// A second execution.
    Replay {
        /// Where it first differs; none: all bits are equal.
        difference: Option<String>,
        /// Whether a GPU explains the difference.
        near: bool,
    },
    /// Behaviour on canaries; the bits of f64 values, which need not be finite.
    Probe {
        /// The refusal score's bits.
        refusal: u64,
        /// The loss' bits.
        loss: u64,
        /// Bits of each request's log-odds and log-probability of refusing.
        #[serde(default)]
        requests: Vec<[u64; 2]>,
        /// Bits of each task's loss.
        #[serde(default)]
        tasks: Vec<u64>,
    },
    /// Answers, a blob.
    Measure {
        /// Digest of the answers.
        result: Digest,
    },
    /// A repair: blobs.
    Defend {
        /// The repaired adapter.
        adapter: Digest,
        /// Data of the defence.
        data: Digest,
    },
    /// The server's own input to a rule: blobs.
    Input {
        /// The adapter that was trained, where the rule asks for one.
        adapter: Option<Digest>,
        /// Numbers.
        data: Digest,
    },
}

/// An outcome with its blobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// The outcome.
    pub outcome: Outcome,
    /// Blobs by digest.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Package {
    /// A package without blobs.
    pub fn new(outcome: Outcome) -> Self {
        Package {
            outcome,
            blobs: BTreeMap::new(),
        }
    }

    /// Puts a blob in.
    pub fn put(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    /// The blob of this digest.
    ///
    /// # Errors
    /// [`Error::Tampered`] where the package has none.
    pub fn blob(&self, digest: &Digest) -> Result<&[u8]> {
        let found = self.blobs.get(digest).map(Vec::as_slice);
        found.ok_or_else(|| wrong(format!("it lacks the blob {digest}")))
    }

    /// The package's bytes.
    ///
    /// # Errors
    /// An outcome without a canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes)
        };
        let unwritten = |error: std::io::Error| wrong(error);
        add(OUTCOME, &canonical::to_vec(&self.outcome)?).map_err(unwritten)?;
        for (digest, bytes) in &self.blobs {
            add(&digest.to_string(), bytes).map_err(unwritten)?;
        }
        tar.into_inner().map_err(unwritten)
    }

    /// Reads a package; every blob has its name's digest.
    ///
    /// # Errors
    /// [`Error::Tampered`] with the first thing that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unread = |error: std::io::Error| wrong(error);
        let mut archive = tar::Archive::new(bytes);
        let mut outcome = None;
        let mut blobs = BTreeMap::new();
        for (number, entry) in archive.entries().map_err(unread)?.enumerate() {
            if number >= MOST {
                return Err(wrong(format!("more than {MOST} members")));
            }
            let mut entry = entry.map_err(unread)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            // The archive is in memory, so a member is no longer than what came.
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unread)?;
            if name == OUTCOME {
                outcome = Some(canonical::from_slice(&content)?);
                continue;
            }
            let named: Digest = name
                .parse()
                .map_err(|_| wrong(format!("a member is named {name:?}")))?;
            let found = Digest::of(&content);
            if found != named {
                return Err(Error::mismatch(
                    "a result",
                    "has a blob of another digest than its name",
                    &named,
                    &found,
                ));
            }
            blobs.insert(named, content);
        }
        let outcome = outcome.ok_or_else(|| wrong(format!("it lacks {OUTCOME}")))?;
        Ok(Package { outcome, blobs })
    }
}

/// The statement of a node in a package that it sent; none where there is none.
pub fn attested(package: &[u8]) -> Option<Vec<u8>> {
    let mut package = Package::from_bytes(package).ok()?;
    match package.outcome {
        Outcome::Attested { attestation, .. } => package.blobs.remove(&attestation),
        _ => None,
    }
}

/// A result that is not what it should be.
pub(crate) fn wrong(problem: impl Into<Source>) -> Error {
    Error::tampered("a result", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let mut package = Package::new(Outcome::Probe {
            refusal: f64::NAN.to_bits(),
            loss: 1.5f64.to_bits(),
            requests: vec![[0.25f64.to_bits(), f64::NEG_INFINITY.to_bits()]],
            tasks: vec![1.5f64.to_bits()],
        });
        package.put(b"one".to_vec());
        package.put(vec![7; 3000]);
        package
    }

    #[test]
    fn a_package_comes_back_as_it_was() {
        let bytes = package().to_bytes().unwrap();
        assert_eq!(Package::from_bytes(&bytes).unwrap(), package());
        assert_eq!(
            package().to_bytes().unwrap(),
            bytes,
            "the same bytes each time"
        );
    }

    #[test]
    fn what_was_changed_on_the_way_is_refused() {
        let good = package().to_bytes().unwrap();
        for cut in [0, 100, 512, good.len() - 1500] {
            assert!(
                Package::from_bytes(&good[..cut]).is_err(),
                "cut after {cut}"
            );
        }
        let at = good.iter().rposition(|byte| *byte == 7).unwrap();
        let mut bad = good;
        bad[at] = 8;
        let error = Package::from_bytes(&bad).unwrap_err().to_string();
        assert!(error.contains("another digest"), "{error}");
        let mut without = package();
        without.outcome = Outcome::Measure {
            result: Digest::of(b"none"),
        };
        let error = without.blob(&Digest::of(b"none")).unwrap_err().to_string();
        assert!(error.contains("it lacks the blob"), "{error}");
    }
}

//! Proof files (C2SP tlog-proof, <https://c2sp.org/tlog-proof>): everything that shows, offline,
//! that an entry is in a log. File extension `.tlog-proof`.

use super::{Checkpoint, Policy, VerifierKey, Witnessed, leaf_hash, verify_inclusion};
use crate::bounded::short;
use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::{Error, Result, base64};

/// Longer files (bytes) are refused unread: a checkpoint, an entry in base64 and 64 hashes fit.
pub const MAX_PROOF_FILE: usize = 2 << 20;

/// "The first line MUST be the string".
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof together with the checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// Whatever the application put in. Not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The siblings, from the leaf upwards.
    pub proof: Vec<Digest>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

impl ProofFile {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut lines = vec![HEADER.to_owned()];
        if let Some(extra) = &self.extra {
            lines.push(format!("extra {}", base64::encode(extra)));
        }
        lines.push(format!("index {}", self.index));
        lines.extend(self.proof.iter().map(|hash| base64::encode(&hash.0)));
        format!("{}\n\n{}", lines.join("\n"), self.checkpoint)
    }

    /// Reads the text of a file. Nothing is verified yet.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Base64`].
    pub fn parse(text: &str) -> Result<ProofFile> {
        if text.len() > MAX_PROOF_FILE {
            return Err(invalid(format!("longer than {MAX_PROOF_FILE} bytes")));
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| invalid("no empty line before the checkpoint".into()))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(invalid(format!("the first line is not {HEADER}")));
        }
        let extra = lines
            .next_if(|line| line.starts_with("extra "))
            .map(|line| base64::decode("tlog-proof extra", &line["extra ".len()..]))
            .transpose()?;
        let index_line = lines.next().unwrap_or_default();
        let index = index_line
            .strip_prefix("index ")
            .and_then(|n| n.parse::<u64>().ok().filter(|v| v.to_string() == n))
            .ok_or_else(|| {
                invalid(format!(
                    "expected an index, got {:?}",
                    short(index_line, 80)
                ))
            })?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = base64::decode("tlog-proof hash", line)?;
            let hash = <[u8; 32]>::try_from(hash.as_slice())
                .map_err(|_| invalid(format!("a hash of {} bytes", hash.len())))?;
            if proof.len() == 64 {
                return Err(invalid("more than 64 hashes".into()));
            }
            proof.push(Digest(hash));
        }
        Ok(ProofFile {
            extra,
            index,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Verifies that the log of this origin and key says that `entry` is its number
    /// [`ProofFile::index`]. Returns the checkpoint.
    ///
    /// # Errors
    /// Any error of [`Checkpoint::verify`] and [`verify_inclusion`].
    pub fn verify(&self, entry: &[u8], origin: &str, key: &PublicKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, origin, key)?;
        verify_inclusion(
            leaf_hash(entry),
            self.index,
            checkpoint.size,
            &self.proof,
            checkpoint.root,
        )?;
        Ok(checkpoint)
    }

    /// As [`ProofFile::verify`], and the checkpoint must be one that the policy accepts: cosigned
    /// by its quorum of witnesses. `log` is the log where the policy does not say which.
    ///
    /// # Errors
    /// Any error of [`Policy::verify`] and [`verify_inclusion`].
    pub fn verify_witnessed(
        &self,
        entry: &[u8],
        policy: &Policy,
        log: Option<&VerifierKey>,
    ) -> Result<Witnessed> {
        let witnessed = policy.verify(&self.checkpoint, log)?;
        verify_inclusion(
            leaf_hash(entry),
            self.index,
            witnessed.checkpoint.size,
            &self.proof,
            witnessed.checkpoint.root,
        )?;
        Ok(witnessed)
    }
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "tlog-proof file",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::tlog::node_hash;

    fn sample() -> (ProofFile, PublicKey) {
        let key = SigningKey::from_seed([2; 32]);
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let checkpoint = Checkpoint {
            origin: "o".into(),
            size: 2,
            root: node_hash(&a, &b),
        };
        let file = ProofFile {
            extra: Some(b"extra data".to_vec()),
            index: 1,
            proof: vec![a],
            checkpoint: checkpoint.sign(&key).unwrap(),
        };
        (file, key.public())
    }

    #[test]
    fn round_trip_and_verify() {
        let (file, key) = sample();
        let text = file.to_text();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra ZXh0cmEgZGF0YQ==\nindex 1\n"));
        assert_eq!(ProofFile::parse(&text).unwrap(), file);
        assert_eq!(file.verify(b"b", "o", &key).unwrap().size, 2);
        assert!(file.verify(b"a", "o", &key).is_err());
        assert!(file.verify(b"b", "other", &key).is_err());
        let bare = ProofFile {
            extra: None,
            proof: vec![],
            ..file
        };
        assert_eq!(ProofFile::parse(&bare.to_text()).unwrap(), bare);
        assert!(
            bare.verify(b"b", "o", &key).is_err(),
            "an empty proof is no success"
        );
    }

    #[test]
    fn a_long_file_is_refused_unread() {
        let (file, _) = sample();
        let extra = Some(vec![7; MAX_PROOF_FILE]);
        let error = ProofFile::parse(&ProofFile { extra, ..file }.to_text());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }

    #[test]
    fn every_flip_is_seen_except_in_the_unauthenticated_extra() {
        let (file, key) = sample();
        let file = ProofFile {
            extra: None,
            ..file
        };
        let text = file.to_text();
        for i in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[i] ^= 1;
            let ok = String::from_utf8(bytes)
                .ok()
                .and_then(|t| ProofFile::parse(&t).ok())
                .is_some_and(|f| f.verify(b"b", "o", &key).is_ok());
            assert!(!ok, "byte {i}");
        }
    }
}

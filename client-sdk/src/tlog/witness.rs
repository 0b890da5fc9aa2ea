//! The request of C2SP tlog-witness (<https://c2sp.org/tlog-witness>): "an old size line, zero or
//! more consistency proof lines, and an empty line, followed by a checkpoint".

use crate::bounded::short;
use crate::digest::Digest;
use crate::{Error, Result, base64};

/// "The client MUST NOT send more than 63 consistency proof lines."
const MOST_HASHES: usize = 63;

/// The body of `POST <submission prefix>/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness cosigned last, 0 for none.
    pub old: u64,
    /// The consistency proof from `old` to the checkpoint's size.
    pub proof: Vec<Digest>,
    /// The checkpoint, a signed note.
    pub note: String,
}

impl AddCheckpoint {
    /// The body's text.
    pub fn to_text(&self) -> String {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            out.push_str(&base64::encode(&hash.0));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note);
        out
    }

    /// Reads a body. Nothing is verified yet.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Base64`] with the line that is wrong.
    pub fn parse(text: &str) -> Result<AddCheckpoint> {
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| invalid("no empty line before the checkpoint".into()))?;
        let mut lines = head.split('\n');
        let first = lines.next().unwrap_or_default();
        let old = first
            .strip_prefix("old ")
            .and_then(|n| n.parse::<u64>().ok().filter(|v| v.to_string() == n))
            .ok_or_else(|| {
                invalid(format!(
                    "expected `old` and a size, got {:?}",
                    short(first, 80)
                ))
            })?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MOST_HASHES {
                return Err(invalid(format!("more than {MOST_HASHES} hashes")));
            }
            let hash = base64::decode("consistency proof line", line)?;
            let hash = <[u8; 32]>::try_from(hash.as_slice())
                .map_err(|_| invalid(format!("a hash of {} bytes", hash.len())))?;
            proof.push(Digest(hash));
        }
        Ok(AddCheckpoint {
            old,
            proof,
            note: note.to_owned(),
        })
    }
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "add-checkpoint request",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tlog-witness, "Example request body".
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn the_specifications_example() {
        let request = AddCheckpoint::parse(EXAMPLE).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.to_text(), EXAMPLE);
        let checkpoint = crate::tlog::Checkpoint::parse(&request.note).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
    }

    #[test]
    fn malformed_bodies() {
        let many = format!(
            "old 1\n{}\nnote",
            "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(64)
        );
        for bad in [
            "",
            "old 1\n",
            "old 01\n\nx",
            "old -1\n\nx",
            "new 1\n\nx",
            "old 1\nAA==\n\nx",
            &many,
        ] {
            assert!(AddCheckpoint::parse(bad).is_err(), "{bad:?}");
        }
        let none = AddCheckpoint::parse("old 0\n\nnote").unwrap();
        assert_eq!((none.old, none.proof.len()), (0, 0));
    }
}

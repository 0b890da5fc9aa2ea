//! Policies (C2SP tlog-policy, <https://c2sp.org/tlog-policy>): whose checkpoints count, and which
//! witnesses must have cosigned them.

use super::cosignature::cosigned_at;
use super::note::Checkpoint;
use super::vkey::{KeyKind, VerifierKey};
use crate::{Error, Result};

/// Policies with more lines than this are refused.
const MOST_LINES: usize = 10_000;

/// Longer policies (bytes) are refused unread.
pub const MAX_POLICY: usize = 4 << 20;

/// A log or witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its key.
    pub key: VerifierKey,
    /// Address: a log's files, a witness's submission prefix.
    pub url: Option<String>,
}

/// Meaning of a name in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// The witness of that number.
    Witness(usize),
    /// At least `k` of the members, given as numbers of their names.
    Group { k: usize, members: Vec<usize> },
}

/// A policy. It always has a quorum; `none` asks for no cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The logs whose checkpoints count; empty: the log is known otherwise.
    pub logs: Vec<Party>,
    /// The witnesses, in the order of their lines.
    pub witnesses: Vec<Party>,
    names: Vec<(String, Meaning)>,
    quorum: Option<usize>,
}

/// A checkpoint that a policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Who cosigned it, by key name, and when (seconds since 1970).
    pub cosignatures: Vec<(String, u64)>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the number of the line that is wrong; also when there is no
    /// `quorum` line.
    pub fn parse(text: &str) -> Result<Policy> {
        if text.len() > MAX_POLICY {
            return Err(invalid(format!("longer than {MAX_POLICY} bytes")));
        }
        if text
            .chars()
            .any(|c| (c < ' ' && c != '\n' && c != '\t') || c == '\u{7f}')
        {
            return Err(invalid("it holds control characters".into()));
        }
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.lines()) {
            if number > MOST_LINES {
                return Err(invalid(format!("more than {MOST_LINES} lines")));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            reader
                .line(&words)
                .map_err(|error| invalid(format!("line {number}: {error}")))?;
        }
        let quorum = reader
            .quorum
            .ok_or_else(|| invalid("it has no `quorum` line".into()))?;
        Ok(Policy {
            logs: reader.logs,
            witnesses: reader.witnesses,
            names: reader.names,
            quorum,
        })
    }

    /// Checks a checkpoint: signed by one of the policy's logs, cosigned by the quorum. `log` is
    /// the log that is known otherwise; where the policy names logs it must be one of them.
    ///
    /// # Errors
    /// [`Error::Signature`] for a signature or cosignature that does not verify, a log that the
    /// policy does not name, or a missing quorum, with who has cosigned and who has not.
    pub fn verify(&self, note: &str, log: Option<&VerifierKey>) -> Result<Witnessed> {
        let origin = Checkpoint::parse(note)?.origin;
        let key = match log {
            Some(key) => key,
            None => {
                // One origin may be two logs: the one whose key signed is meant.
                let named = || self.logs.iter().map(|party| &party.key);
                let of_origin = || named().filter(|key| key.name == origin);
                of_origin()
                    .find(|key| Checkpoint::verify(note, &key.name, &key.key).is_ok())
                    .or_else(|| of_origin().next())
                    .ok_or_else(|| unknown_log(&origin))?
            }
        };
        if !self.logs.is_empty() && !self.logs.iter().any(|party| party.key == *key) {
            return Err(unknown_log(&key.to_string()));
        }
        let checkpoint = Checkpoint::verify(note, &key.name, &key.key)?;
        let mut cosignatures = Vec::new();
        let mut by = Vec::new();
        for party in &self.witnesses {
            let at = cosigned_at(note, &party.key)?;
            cosignatures.extend(at.map(|at| (party.key.name.clone(), at)));
            by.push(at.is_some());
        }
        if !self.quorum.is_none_or(|name| self.witnessed(name, &by)) {
            let quorum = self.quorum.and_then(|n| self.names.get(n));
            let have: Vec<&str> = cosignatures.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::Signature {
                what: "witness quorum",
                detail: format!(
                    "`{}` has not witnessed the checkpoint of size {}: {} of {} witnesses cosigned ({})",
                    quorum.map_or("", |(name, _)| name.as_str()),
                    checkpoint.size,
                    have.len(),
                    self.witnesses.len(),
                    if have.is_empty() {
                        "none".to_owned()
                    } else {
                        have.join(", ")
                    },
                ),
            });
        }
        Ok(Witnessed {
            checkpoint,
            cosignatures,
        })
    }

    /// Members stand on earlier lines, so this ends.
    fn witnessed(&self, name: usize, by: &[bool]) -> bool {
        match self.names.get(name).map(|(_, meaning)| meaning) {
            Some(Meaning::Witness(n)) => by.get(*n).copied().unwrap_or(false),
            Some(Meaning::Group { k, members }) => {
                members
                    .iter()
                    .filter(|member| **member < name && self.witnessed(**member, by))
                    .count()
                    >= *k
            }
            None => false,
        }
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    names: Vec<(String, Meaning)>,
    /// Names that are members of a group already.
    used: Vec<usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", key, url @ ..] => {
                let party = party(key, KeyKind::Log, url)?;
                once(&self.logs, &party)?;
                self.logs.push(party);
            }
            ["witness", name, key, url @ ..] => {
                let party = party(key, KeyKind::Witness, url)?;
                once(&self.witnesses, &party)?;
                self.define(name, Meaning::Witness(self.witnesses.len()))?;
                self.witnesses.push(party);
            }
            ["group", name, threshold, members @ ..] => {
                let mut found = Vec::new();
                for member in members {
                    let index = self.lookup(member)?;
                    if self.used.contains(&index) || found.contains(&index) {
                        return Err(format!("`{member}` is a member of a group already"));
                    }
                    found.push(index);
                }
                let n = found.len();
                let k = match *threshold {
                    "any" => 1,
                    "all" => n,
                    number => number
                        .parse::<usize>()
                        .ok()
                        .filter(|k| k.to_string() == *number)
                        .ok_or_else(|| {
                            format!("expected `all`, `any` or a number, got {number:?}")
                        })?,
                };
                if n == 0 || k == 0 || k > n {
                    return Err(format!("{k} of {n} members cannot be a group"));
                }
                self.used.extend(&found);
                self.define(name, Meaning::Group { k, members: found })?;
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err("a second quorum".into());
                }
                self.quorum = Some(match *name {
                    "none" => None,
                    name => Some(self.lookup(name)?),
                });
            }
            _ => {
                return Err(format!(
                    "expected `log`, `witness`, `group` or `quorum` with its words, got {:?}",
                    words.join(" ").chars().take(80).collect::<String>()
                ));
            }
        }
        Ok(())
    }

    fn define(&mut self, name: &str, meaning: Meaning) -> Result<(), String> {
        if name == "none" || self.names.iter().any(|(n, _)| n == name) {
            return Err(format!("the name `{name}` is taken"));
        }
        self.names.push((name.to_owned(), meaning));
        Ok(())
    }

    fn lookup(&self, name: &str) -> Result<usize, String> {
        self.names
            .iter()
            .position(|(n, _)| n == name)
            .ok_or_else(|| format!("`{name}` is not defined above"))
    }
}

fn party(key: &str, kind: KeyKind, url: &[&str]) -> Result<Party, String> {
    let key: VerifierKey = key.parse().map_err(|error: Error| error.to_string())?;
    if key.kind != kind {
        return Err(format!("{key} is a key of another kind ({:?})", key.kind));
    }
    match url {
        [] => Ok(Party { key, url: None }),
        [url] => Ok(Party {
            key,
            url: Some((*url).to_owned()),
        }),
        _ => Err("more than one URL".into()),
    }
}

fn once(there: &[Party], new: &Party) -> Result<(), String> {
    if there.iter().any(|party| party.key.key == new.key.key) {
        return Err(format!("the key of {} is on an earlier line", new.key));
    }
    Ok(())
}

fn unknown_log(name: &str) -> Error {
    Error::Signature {
        what: "checkpoint",
        detail: format!("the policy does not name log {name}"),
    }
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "witness policy",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cosignature::{add_signatures, cosign};
    use super::*;
    use crate::digest::Digest;
    use crate::keys::SigningKey;

    const LOG: &str = "example.com/log";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    fn vkey(name: &str, kind: KeyKind, seed: u8) -> VerifierKey {
        VerifierKey::new(name, kind, key(seed).public()).unwrap()
    }

    fn policy() -> String {
        let mut text = format!(
            "# two of X and one of Y\nlog {} http://log.example\n\n",
            vkey(LOG, KeyKind::Log, 1)
        );
        for (name, seed) in [("X1", 11), ("X2", 12), ("X3", 13), ("Y1", 21), ("Y2", 22)] {
            let key = vkey(name, KeyKind::Witness, seed);
            text.push_str(&format!("\twitness {name}  {key}\n"));
        }
        text + "group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n"
    }

    fn note(witnesses: &[(&str, u8)]) -> String {
        let checkpoint = Checkpoint {
            origin: LOG.into(),
            size: 3,
            root: Digest::of(b"r"),
        };
        let mut note = checkpoint.sign(&key(1)).unwrap();
        for (name, seed) in witnesses {
            let line = cosign(&note, name, &key(*seed), 100).unwrap();
            note = add_signatures(&note, &line).unwrap();
        }
        note
    }

    #[test]
    fn quorum_of_groups() {
        let policy = Policy::parse(&policy()).unwrap();
        assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 5));
        let enough = policy
            .verify(&note(&[("X1", 11), ("X3", 13), ("Y2", 22)]), None)
            .unwrap();
        assert_eq!(enough.cosignatures.len(), 3);
        for few in [
            &[][..],
            &[("X1", 11), ("X2", 12), ("X3", 13)],
            &[("X1", 11), ("Y1", 21), ("Y2", 22)],
            // The same witness twice is one witness.
            &[("X1", 11), ("X1", 11), ("Y1", 21)],
            // A stranger of a witness's name is no witness.
            &[("X1", 11), ("X2", 99), ("Y1", 21)],
        ] {
            let error = policy.verify(&note(few), None).unwrap_err().to_string();
            assert!(error.contains("has not witnessed"), "{error}");
        }
    }

    #[test]
    fn a_long_policy_is_refused_unread() {
        let long = policy() + &"#".repeat(MAX_POLICY);
        let error = Policy::parse(&long).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }

    #[test]
    fn which_log() {
        let text = policy();
        let policy = Policy::parse(&text).unwrap();
        let good = note(&[("X1", 11), ("X2", 12), ("Y1", 21)]);
        let log = vkey(LOG, KeyKind::Log, 1);
        policy.verify(&good, Some(&log)).unwrap();
        let other = vkey(LOG, KeyKind::Log, 2);
        assert!(policy.verify(&good, Some(&other)).is_err());
        // Two logs of one origin: the one that signed is meant, wherever it stands.
        let two = Policy::parse(&format!("log {other}\n{text}")).unwrap();
        two.verify(&good, None).unwrap();
        let without = text
            .lines()
            .filter(|l| !l.starts_with("log"))
            .fold(String::new(), |a, l| a + l + "\n");
        let without = Policy::parse(&without).unwrap();
        assert!(
            without.verify(&good, None).is_err(),
            "which log is not said"
        );
        without.verify(&good, Some(&log)).unwrap();
        assert!(without.verify(&good, Some(&other)).is_err());
        let none = Policy::parse("quorum none\n").unwrap();
        assert!(
            none.verify(&note(&[]), Some(&log))
                .unwrap()
                .cosignatures
                .is_empty()
        );
    }

    #[test]
    fn malformed_policies() {
        let w =
            |name: &str, seed| format!("witness {name} {}\n", vkey(name, KeyKind::Witness, seed));
        let log = vkey(LOG, KeyKind::Log, 1);
        for bad in [
            String::new(),
            "quorum\n".into(),
            "quorum nobody\n".into(),
            "quorum none\nquorum none\n".into(),
            format!("{}quorum A\n", "witness A x+y+z\n"),
            format!("witness A {log}\nquorum A\n"),
            format!("log {}\nquorum none\n", vkey("A", KeyKind::Witness, 2)),
            format!("{}{}quorum A\n", w("A", 2), w("B", 2)),
            format!("{}{}quorum A\n", w("A", 2), w("A", 3)),
            format!("{}group G 2 A\nquorum G\n", w("A", 2)),
            format!("{}group G 0 A\nquorum G\n", w("A", 2)),
            format!("{}group G 01 A\nquorum G\n", w("A", 2)),
            format!("{}group G any A A\nquorum G\n", w("A", 2)),
            format!("{}group G any A\ngroup H any A\nquorum H\n", w("A", 2)),
            "group G any G\nquorum G\n".into(),
            "group G any\nquorum G\n".into(),
            format!("{}quorum none\nlog {log} a b\n", w("none", 2)),
            "quorum none\r\n".into(),
            "frobnicate\nquorum none\n".into(),
        ] {
            assert!(Policy::parse(&bad).is_err(), "{bad:?}");
        }
    }
}

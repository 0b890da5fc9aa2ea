//! Policies (C2SP tlog-policy, <https://c2sp.org/tlog-policy>): whose checkpoints count, and which
//! witnesses must have cosigned them.

use super::cosignature::cosigned_at;
use super::note::Checkpoint;
use super::vkey::{AnyKey, KeyKind, VerifierKey};
use crate::bounded::short;
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

/// A log or witness of a policy whose signatures cannot be checked here, so that it never counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its name: a witness's own in the policy, a log's origin.
    pub name: String,
    /// The signature type of its key (signed-note, "Signature types").
    pub algorithm: u8,
}

/// Meaning of a name in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// The witness of that number.
    Witness(usize),
    /// A witness that never counts.
    Unread,
    /// At least `k` of the members, given as numbers of their names.
    Group { k: usize, members: Vec<usize> },
}

/// A policy. It always has a quorum; `none` asks for no cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The logs whose checkpoints count. Where there are none, and none in
    /// [`Policy::unread_logs`], the log is known otherwise.
    pub logs: Vec<Party>,
    /// The witnesses, in the order of their lines.
    pub witnesses: Vec<Party>,
    /// Logs with keys of a signature type that is not known.
    pub unread_logs: Vec<Unread>,
    /// Witnesses with keys of a signature type that is not known: as those that never cosign.
    pub unread_witnesses: Vec<Unread>,
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
    /// Reads a policy file. A line with a signature type that is not known names a log or a witness
    /// that does not count; so a policy goes on being read when a witness of it takes a new kind of key.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the number of the line that is wrong; also when there is no
    /// `quorum` line.
    pub fn parse(text: &str) -> Result<Policy> {
        Policy::from_bytes(text.as_bytes())
    }

    /// As [`Policy::parse`]. "The policy file is treated as a file of octets": a comment need not be
    /// UTF-8. Names, keys and addresses must be, as signed notes are.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn from_bytes(text: &[u8]) -> Result<Policy> {
        if text.len() > MAX_POLICY {
            return Err(invalid(format!("longer than {MAX_POLICY} bytes")));
        }
        let control = |byte: &u8| matches!(byte, 0x7f | 0..0x20) && !b"\n\t".contains(byte);
        if text.iter().any(control) {
            return Err(invalid("it holds control characters".into()));
        }
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if number > MOST_LINES {
                return Err(invalid(format!("more than {MOST_LINES} lines")));
            }
            let line = line.trim_ascii_start();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            std::str::from_utf8(line)
                .map_err(|_| "not UTF-8".to_owned())
                .and_then(|line| {
                    let words = line.split([' ', '\t']).filter(|word| !word.is_empty());
                    reader.line(&words.collect::<Vec<_>>())
                })
                .map_err(|error| invalid(format!("line {number}: {error}")))?;
        }
        let quorum = reader
            .quorum
            .ok_or_else(|| invalid("it has no `quorum` line".into()))?;
        Ok(Policy {
            logs: reader.logs,
            witnesses: reader.witnesses,
            unread_logs: reader.unread_logs,
            unread_witnesses: reader.unread_witnesses,
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
                    .ok_or_else(|| self.unknown_log(&origin, &origin))?
            }
        };
        let open = self.logs.is_empty() && self.unread_logs.is_empty();
        if !open && !self.logs.iter().any(|party| party.key == *key) {
            return Err(self.unknown_log(&key.to_string(), &origin));
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
                    "`{}` has not witnessed the checkpoint of size {}: {} of {} witnesses cosigned ({}){}",
                    quorum.map_or("", |(name, _)| name.as_str()),
                    checkpoint.size,
                    have.len(),
                    self.witnesses.len() + self.unread_witnesses.len(),
                    if have.is_empty() {
                        "none".to_owned()
                    } else {
                        have.join(", ")
                    },
                    unread(&self.unread_witnesses),
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
            Some(Meaning::Unread) | None => false,
        }
    }

    fn unknown_log(&self, name: &str, origin: &str) -> Error {
        let same: Vec<Unread> = self
            .unread_logs
            .iter()
            .filter(|log| log.name == origin)
            .cloned()
            .collect();
        Error::Signature {
            what: "checkpoint",
            detail: format!("the policy does not name log {name}{}", unread(&same)),
        }
    }
}

/// Words about parties that cannot count; none where there are none.
fn unread(parties: &[Unread]) -> String {
    let each = |one: &Unread| {
        format!(
            "; {} cannot count: its key has signature type {:#04x}, which is not read here",
            one.name, one.algorithm
        )
    };
    parties.iter().map(each).collect()
}

#[derive(Default)]
struct Reader {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    unread_logs: Vec<Unread>,
    unread_witnesses: Vec<Unread>,
    /// Key material of the logs and of the witnesses so far.
    keys: [Vec<Vec<u8>>; 2],
    names: Vec<(String, Meaning)>,
    /// Names that are members of a group already.
    used: Vec<usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", key, url @ ..] => match self.party(key, KeyKind::Log, url)? {
                Ok(party) => self.logs.push(party),
                Err(unread) => self.unread_logs.push(unread),
            },
            ["witness", name, key, url @ ..] => match self.party(key, KeyKind::Witness, url)? {
                Ok(party) => {
                    self.define(name, Meaning::Witness(self.witnesses.len()))?;
                    self.witnesses.push(party);
                }
                Err(unread) => {
                    self.define(name, Meaning::Unread)?;
                    self.unread_witnesses.push(Unread {
                        name: (*name).to_owned(),
                        ..unread
                    });
                }
            },
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

    /// Reads the key and the address of a log or a witness. The inner error is a party that does not
    /// count.
    fn party(
        &mut self,
        text: &str,
        kind: KeyKind,
        url: &[&str],
    ) -> Result<Result<Party, Unread>, String> {
        let key = AnyKey::read(text).map_err(|error| error.to_string())?;
        let material = match &key {
            AnyKey::Known(key) if key.kind != kind => {
                return Err(format!("{key} is a key of another kind ({:?})", key.kind));
            }
            AnyKey::Known(key) => key.key.as_bytes().to_vec(),
            AnyKey::Unknown { material, .. } => material.clone(),
        };
        let there = match kind {
            KeyKind::Log => &mut self.keys[0],
            KeyKind::Witness => &mut self.keys[1],
        };
        if there.contains(&material) {
            let text = short(text, 200);
            return Err(format!("the key of {text} is on an earlier line"));
        }
        there.push(material);
        let url = match url {
            [] => None,
            [url] => Some((*url).to_owned()),
            _ => return Err("more than one URL".into()),
        };
        Ok(match key {
            AnyKey::Known(key) => Ok(Party { key, url }),
            AnyKey::Unknown {
                name, algorithm, ..
            } => Err(Unread { name, algorithm }),
        })
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

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "witness policy",
        detail,
    }
}

#[cfg(test)]
mod tests;

//! Trust roots: whose signatures a verifier accepts, until when, and which keys were given up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PublicKey;
use crate::tlog::{KeyKind, VerifierKey, verifier_key};

/// One entry of a trust store: whom a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Name of the key's owner, for people.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// Time from which it is no longer trusted: RFC 3339 in UTC, to the second
    /// (`2027-01-31T00:00:00Z`). Left out: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The key that named this one its successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PublicKey>,
}

/// A key that is not trusted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedKey {
    /// The key.
    pub key: PublicKey,
    /// Why, for people.
    pub reason: String,
    /// Number of entries up to which signatures by this key stand, by log. Signatures from that
    /// position on do not stand; in a log that is not named, none does. A log is named by its
    /// verifier key (`ORIGIN+HASH+KEY`). Older files name it by its origin alone, which holds for
    /// every log of that origin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logs: BTreeMap<String, u64>,
}

impl RevokedKey {
    /// The position in a log, where one is named. A bare origin counts only where no position
    /// names a key for that origin: whoever named one meant no other log.
    fn position(&self, place: &Place<'_>) -> Option<u64> {
        let keyed = self.logs.get(&verifier_key(place.origin, place.key));
        let any_key = || {
            self.logs
                .keys()
                .any(|log| origin(log) == Some(place.origin))
        };
        keyed
            .or_else(|| self.logs.get(place.origin).filter(|_| !any_key()))
            .copied()
    }

    /// Position that an earlier revocation leaves to a log, by the log's name in a later one. A
    /// later name may add the key to an origin that stood alone, which narrows it.
    fn leaves(&self, log: &str) -> Option<u64> {
        let bare = || self.logs.get(origin(log)?);
        self.logs.get(log).or_else(bare).copied()
    }

    /// The origins that positions name without a key.
    pub fn bare_origins(&self) -> impl Iterator<Item = &str> {
        let bare = |log: &&String| origin(log).is_none();
        self.logs.keys().filter(bare).map(String::as_str)
    }
}

/// The origin in a log's verifier key; none for a bare origin, which holds no `+`.
fn origin(log: &str) -> Option<&str> {
    log.split_once('+').map(|(origin, _)| origin)
}

/// The first name of a log that is neither a verifier key nor a bare origin, for people.
pub(super) fn bad_log(logs: &BTreeMap<String, u64>) -> Option<String> {
    logs.keys().find_map(|log| {
        origin(log)?;
        match log.parse::<VerifierKey>() {
            Ok(key) if key.kind == KeyKind::Log => None,
            Ok(_) => Some(format!("the log {log} is named by a witness's key")),
            Err(error) => Some(error.to_string()),
        }
    })
}

/// The keys that a verifier accepts signatures of. On disk a TOML file of `[[keys]]` and
/// `[[revoked]]` tables. An empty store trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustStore {
    /// The entries; no key occurs twice.
    #[serde(default)]
    pub keys: Vec<TrustedKey>,
    /// Revoked keys; no key occurs twice. They win over `keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevokedKey>,
}

/// Time and place at which a signature was met; expiry and revocation are checked against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment<'a> {
    /// The time, RFC 3339 in UTC.
    pub time: &'a str,
    /// The log entry that rests on the signature; none outside of any log.
    pub entry: Option<Place<'a>>,
}

/// An entry of a log. Origin and key together name the log: one origin may be used by two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The log's origin.
    pub origin: &'a str,
    /// The key that signs its checkpoints.
    pub key: &'a PublicKey,
    /// The entry's number.
    pub entry: u64,
}

/// Why a key is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It is not in the store.
    #[error("key {0} is not trusted")]
    Unknown(Box<PublicKey>),
    /// Its time is over.
    #[error("key {key} of {name} expired at {expires}")]
    Expired {
        /// The key.
        key: Box<PublicKey>,
        /// Name of its owner.
        name: String,
        /// When.
        expires: String,
    },
    /// It was given up.
    #[error("key {key} was revoked{}: {reason}", position.map(|p| format!(" from log entry {p} on")).unwrap_or_default())]
    Revoked {
        /// The key.
        key: Box<PublicKey>,
        /// Why.
        reason: String,
        /// The position in this log, where the revocation names one.
        position: Option<u64>,
    },
}

impl TrustStore {
    /// Whether this key is in the store, trusted or not.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|k| k.key == *key)
    }

    /// Name of the key's owner, when it is in the store.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.keys
            .iter()
            .find(|k| k.key == *key)
            .map(|k| k.name.as_str())
    }

    /// Adds a key under a name, without end; a key that is there already gets the new name.
    pub fn add(&mut self, name: &str, key: PublicKey) {
        self.insert(TrustedKey {
            name: name.to_owned(),
            key,
            expires: None,
            replaces: None,
        });
    }

    /// Adds an entry, in place of an earlier one of this key.
    pub fn insert(&mut self, entry: TrustedKey) {
        self.keys.retain(|k| k.key != entry.key);
        self.keys.push(entry);
    }

    /// Takes in the keys of another store, but for those that stand here already. What is revoked here
    /// stays revoked.
    pub fn take_in(&mut self, other: &TrustStore) {
        for entry in &other.keys {
            if !self.contains(&entry.key) {
                self.keys.push(entry.clone());
            }
        }
    }

    /// Adds a revocation, in place of an earlier one of this key. A position can only move
    /// forwards to an earlier entry, and a log cannot be named later on (but the key of one that was
    /// named by its origin alone): a revocation is not undone by a weaker one.
    pub fn revoke(&mut self, mut revoked: RevokedKey) {
        if let Some(earlier) = self.revocation(&revoked.key) {
            let logs = std::mem::take(&mut revoked.logs);
            revoked.logs = logs
                .into_iter()
                .filter_map(|(log, at)| Some((log.clone(), at.min(earlier.leaves(&log)?))))
                .collect();
        }
        self.revoked.retain(|r| r.key != revoked.key);
        self.revoked.push(revoked);
    }

    /// The revocation of a key.
    pub fn revocation(&self, key: &PublicKey) -> Option<&RevokedKey> {
        self.revoked.iter().find(|r| r.key == *key)
    }

    /// Name of the key's owner, when the key is trusted at a moment.
    ///
    /// # Errors
    /// [`Untrusted`] with the reason.
    pub fn check(&self, key: &PublicKey, at: &Moment<'_>) -> Result<&str, Untrusted> {
        let entry = self
            .keys
            .iter()
            .find(|k| k.key == *key)
            .ok_or(Untrusted::Unknown(Box::new(*key)))?;
        if let Some(revoked) = self.revocation(key) {
            let position = at.entry.and_then(|place| revoked.position(&place));
            let stands = match (at.entry, position) {
                (Some(place), Some(position)) => place.entry < position,
                _ => false,
            };
            if !stands {
                return Err(Untrusted::Revoked {
                    key: Box::new(*key),
                    reason: revoked.reason.clone(),
                    position,
                });
            }
        }
        // All times have one form, so they sort as texts.
        if let Some(expires) = &entry.expires
            && at.time >= expires.as_str()
        {
            return Err(Untrusted::Expired {
                key: Box::new(*key),
                name: entry.name.clone(),
                expires: expires.clone(),
            });
        }
        Ok(&entry.name)
    }

    /// The keys that are trusted at a moment, as the `verify` functions want them.
    pub fn keys_at(&self, at: &Moment<'_>) -> Vec<PublicKey> {
        self.keys
            .iter()
            .map(|k| k.key)
            .filter(|key| self.check(key, at).is_ok())
            .collect()
    }

    /// The first rule of the file's format that is broken, for people.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn problem(&self) -> Option<String> {
        for (i, entry) in self.keys.iter().enumerate() {
            if self.keys.iter().skip(i + 1).any(|k| k.key == entry.key) {
                return Some(format!("the key {} occurs twice", entry.key));
            }
            if let Some(time) = entry.expires.as_deref().filter(|time| !is_time(time)) {
                return Some(format!(
                    "expires = {time:?} of {}: expected a time such as 2027-01-31T00:00:00Z",
                    entry.name
                ));
            }
        }
        for (i, entry) in self.revoked.iter().enumerate() {
            if self.revoked.iter().skip(i + 1).any(|k| k.key == entry.key) {
                return Some(format!("the key {} is revoked twice", entry.key));
            }
            if let Some(problem) = bad_log(&entry.logs) {
                return Some(format!("the revocation of {}: {problem}", entry.key));
            }
        }
        None
    }
}

/// Whether a text is `YYYY-MM-DDTHH:MM:SSZ`, as far as comparing texts needs it.
pub(super) fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed([seed; 32]).public()
    }

    fn outside(time: &str) -> Moment<'_> {
        Moment { time, entry: None }
    }

    const NOW: &str = "2026-06-01T00:00:00Z";

    #[test]
    fn expiry_is_an_instant() {
        let mut store = TrustStore::default();
        store.insert(TrustedKey {
            name: "a".into(),
            key: key(1),
            expires: Some("2026-06-01T12:00:00Z".into()),
            replaces: None,
        });
        assert_eq!(store.check(&key(1), &outside(NOW)), Ok("a"));
        assert_eq!(store.keys_at(&outside("2026-06-01T11:59:59Z")).len(), 1);
        for late in ["2026-06-01T12:00:00Z", "2030-01-01T00:00:00Z"] {
            assert!(matches!(
                store.check(&key(1), &outside(late)),
                Err(Untrusted::Expired { .. })
            ));
            assert!(store.keys_at(&outside(late)).is_empty());
        }
        assert_eq!(
            store.check(&key(2), &outside(NOW)),
            Err(Untrusted::Unknown(Box::new(key(2))))
        );
        for bad in ["2026-06-01", "2026-06-01T12:00:00+00:00", "soon", ""] {
            store.keys[0].expires = Some(bad.into());
            assert!(store.problem().is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_store_that_is_taken_in_changes_no_entry_and_revives_no_key() {
        let mut store = TrustStore::default();
        store.add("mine", key(1));
        store.revoke(RevokedKey {
            key: key(2),
            reason: "lost".into(),
            logs: BTreeMap::new(),
        });
        let mut other = TrustStore::default();
        for (name, seed) in [("theirs", 1), ("revoked", 2), ("new", 3)] {
            other.add(name, key(seed));
        }
        store.take_in(&other);
        let now = outside("2026-01-01T00:00:00Z");
        assert_eq!(store.check(&key(1), &now), Ok("mine"));
        assert_eq!(store.check(&key(3), &now), Ok("new"));
        assert!(store.check(&key(2), &now).is_err());
    }

    #[test]
    fn revoked_from_a_position_on() {
        let mut store = TrustStore::default();
        store.add("a", key(1));
        store.revoke(RevokedKey {
            key: key(1),
            reason: "lost".into(),
            logs: BTreeMap::from([("o".into(), 5)]),
        });
        let log_key = key(7);
        let at = |origin, entry| Moment {
            time: NOW,
            entry: Some(Place {
                origin,
                key: &log_key,
                entry,
            }),
        };
        assert_eq!(store.check(&key(1), &at("o", 4)), Ok("a"));
        for late in [at("o", 5), at("o", 6), at("other", 0), outside(NOW)] {
            assert!(matches!(
                store.check(&key(1), &late),
                Err(Untrusted::Revoked { .. })
            ));
        }
        // A weaker one does not undo it, a stronger one counts.
        let again = |logs: &[(&str, u64)]| RevokedKey {
            key: key(1),
            reason: "again".into(),
            logs: logs.iter().map(|(l, n)| ((*l).to_owned(), *n)).collect(),
        };
        store.revoke(again(&[("o", 9), ("other", 3)]));
        assert_eq!(store.revoked[0].logs, BTreeMap::from([("o".into(), 5)]));
        store.revoke(again(&[]));
        assert!(store.check(&key(1), &at("o", 0)).is_err());
        store.revoke(again(&[("o", 9)]));
        assert!(store.check(&key(1), &at("o", 0)).is_err());
    }

    #[test]
    fn a_position_of_one_log_holds_for_no_other_of_its_origin() {
        let (mine, theirs) = (key(7), key(8));
        let at = |key, entry| Moment {
            time: NOW,
            entry: Some(Place {
                origin: "o",
                key,
                entry,
            }),
        };
        let revoked = |logs: &[(&str, u64)]| RevokedKey {
            key: key(1),
            reason: "lost".into(),
            logs: logs.iter().map(|(l, n)| ((*l).to_owned(), *n)).collect(),
        };
        let (my_log, their_log) = (verifier_key("o", &mine), verifier_key("o", &theirs));
        let mut store = TrustStore::default();
        store.add("a", key(1));
        store.revoke(revoked(&[(&my_log, 5)]));
        assert_eq!(store.problem(), None);
        assert_eq!(store.check(&key(1), &at(&mine, 4)), Ok("a"));
        assert!(store.check(&key(1), &at(&mine, 5)).is_err());
        assert!(store.check(&key(1), &at(&theirs, 0)).is_err());
        // Neither a bare origin nor another key opens it again.
        store.revoke(revoked(&[("o", 9), (&their_log, 9)]));
        assert!(store.check(&key(1), &at(&mine, 0)).is_err());
        assert!(store.check(&key(1), &at(&theirs, 0)).is_err());

        // A file from before: the origin alone holds for every log of it, until a key is named.
        let mut old = TrustStore::default();
        old.add("a", key(1));
        old.revoke(revoked(&[("o", 5)]));
        assert_eq!(old.check(&key(1), &at(&theirs, 4)), Ok("a"));
        assert_eq!(old.revoked[0].bare_origins().collect::<Vec<_>>(), ["o"]);
        old.revoke(revoked(&[(&my_log, 9)]));
        assert_eq!(old.check(&key(1), &at(&mine, 4)), Ok("a"));
        assert!(old.check(&key(1), &at(&mine, 5)).is_err());
        assert!(old.check(&key(1), &at(&theirs, 0)).is_err());
        let both = revoked(&[("o", 9), (&my_log, 5)]);
        let place = |key| at(key, 0).entry.unwrap();
        assert_eq!(both.position(&place(&mine)), Some(5));
        assert_eq!(both.position(&place(&theirs)), None);

        let mut damaged = my_log;
        damaged.pop();
        for bad in ["o+00000000+AQ==", "o+", damaged.as_str()] {
            old.revoked = vec![revoked(&[(bad, 1)])];
            assert!(old.problem().is_some(), "{bad}");
        }
    }

    #[test]
    fn an_old_store_has_the_same_bytes() {
        let mut store = TrustStore::default();
        store.add("a", key(1));
        let json = crate::canonical::to_vec(&store).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            format!("{{\"keys\":[{{\"key\":\"{}\",\"name\":\"a\"}}]}}", key(1))
        );
    }
}

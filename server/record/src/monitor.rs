//! Watches a log that somebody else keeps: whether it continues what it showed before, and what it
//! says about one's own clients.

use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::Checkpoint;
use fedseal_ledger::LogReader;
use serde::Serialize;

use crate::error::{Error, Result};

/// An entry that is about a watched client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mention {
    /// Its number in the log.
    pub entry: u64,
    /// The client.
    pub client: ClientId,
    /// Statement of the log about it, in a line.
    pub says: String,
}

/// News of the log since the pinned checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observed {
    /// Entries that the pinned checkpoint covers already.
    pub from: u64,
    /// Entries that the log has now, each new one proved under the new root.
    pub to: u64,
    /// New entries about the watched clients.
    pub mentions: Vec<Mention>,
}

/// Reads what is new in a log since `pinned` (from its beginning when nothing is pinned).
///
/// # Errors
/// [`fedseal_ledger::Error::SplitView`] when the log does not continue the pinned checkpoint; then
/// none of the log can be trusted. [`Error::Tampered`] for an entry that is no record.
pub fn observe(
    log: &LogReader,
    pinned: Option<&Checkpoint>,
    clients: &[ClientId],
) -> Result<Observed> {
    if let Some(pinned) = pinned {
        log.continues(pinned)?;
    }
    let from = pinned.map_or(0, |c| c.size);
    let mut mentions = Vec::new();
    for entry in from..log.size() {
        let record = Record::from_bytes(&log.proved_entry(entry)?)
            .map_err(|error| Error::tampered(format!("log entry {entry}"), error))?;
        for (client, says) in about(&record) {
            if clients.contains(client) {
                mentions.push(Mention {
                    entry,
                    client: client.clone(),
                    says,
                });
            }
        }
    }
    Ok(Observed {
        from,
        to: log.size(),
        mentions,
    })
}

/// The clients that a record names, each with what it says about that one.
fn about(record: &Record) -> Vec<(&ClientId, String)> {
    match record {
        Record::ClientRegistered {
            client,
            key,
            shard,
            examples,
            ..
        } => vec![(
            client,
            format!(
                "registered with key {key}, shard {} of {examples} examples",
                shard.short()
            ),
        )],
        Record::RoundOpened {
            arm,
            round,
            clients,
            ..
        } => clients
            .iter()
            .map(|client| (client, format!("drawn for round {round} of arm {arm}")))
            .collect(),
        Record::Update {
            client,
            round,
            attestation,
            update,
            ..
        } => vec![(
            client,
            format!(
                "update {} in round {round}{}",
                attestation.short(),
                if update.is_some() {
                    ""
                } else {
                    ", which failed"
                }
            ),
        )],
        Record::Verdict {
            arm,
            round,
            client,
            effect,
            check,
            fact,
            ..
        } => vec![(
            client,
            format!("{effect} in round {round} of arm {arm} by {check}: {fact}"),
        )],
        Record::Aggregated {
            arm,
            round,
            weights,
            ..
        } => weights
            .iter()
            .map(|(client, weight)| {
                (
                    client,
                    format!("weight {weight:.4} in round {round} of arm {arm}"),
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::digest::Digest;
    use fedseal_client_sdk::ids::Round;
    use fedseal_client_sdk::keys::SigningKey;
    use fedseal_ledger::{Log, Remote};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn update(client: &str, round: u32) -> Vec<u8> {
        Record::Update {
            key: Digest::of(client.as_bytes()),
            client: client.into(),
            round: Round(round),
            attestation: Digest::of(format!("{client} {round}").as_bytes()),
            update: None,
        }
        .to_bytes()
        .unwrap()
    }

    fn log(dir: &Path, name: &str) -> Log {
        Log::create(dir.join(name), "o", key()).unwrap()
    }

    #[test]
    fn new_entries_of_watched_clients() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), "log");
        log.append(&update("a", 0)).unwrap();
        log.append(&update("b", 0)).unwrap();
        let first = log.publish().unwrap();
        let read = || LogReader::open(dir.path().join("log"), &key().public()).unwrap();
        let all = observe(&read(), None, &["a".into()]).unwrap();
        assert_eq!((all.from, all.to, all.mentions.len()), (0, 2, 1));
        for round in 1..300 {
            log.append(&update(if round % 100 == 0 { "a" } else { "b" }, round))
                .unwrap();
        }
        log.publish().unwrap();
        let new = observe(&read(), Some(&first), &["a".into()]).unwrap();
        assert_eq!((new.from, new.to), (2, 301));
        let entries: Vec<u64> = new.mentions.iter().map(|m| m.entry).collect();
        assert_eq!(entries, [101, 201]);
        assert!(new.mentions[0].says.contains("round 100"));
    }

    /// A folder as it looks from elsewhere.
    struct Folder(PathBuf);

    impl Remote for Folder {
        fn get(&self, path: &str) -> fedseal_ledger::Result<Option<Vec<u8>>> {
            Ok(std::fs::read(self.0.join(path)).ok())
        }
    }

    #[test]
    fn a_split_view_is_seen_also_from_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut honest = log(dir.path(), "honest");
        let mut other = log(dir.path(), "other");
        honest.append(&update("a", 0)).unwrap();
        other.append(&update("a", 1)).unwrap();
        let pinned = honest.publish().unwrap();
        for round in 2..9 {
            honest.append(&update("b", round)).unwrap();
            other.append(&update("b", round)).unwrap();
        }
        honest.publish().unwrap();
        let read = |name: &str| {
            let remote = Arc::new(Folder(dir.path().join(name)));
            LogReader::open_remote(remote, name, &key().public()).unwrap()
        };
        assert_eq!(observe(&read("honest"), Some(&pinned), &[]).unwrap().to, 8);
        // It shrank; then it grew back with another first entry.
        let split = |other: &LogReader| {
            let error = observe(other, Some(&pinned), &[]).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Ledger(fedseal_ledger::Error::SplitView { .. })
                ),
                "{error}"
            );
        };
        split(&read("other"));
        other.publish().unwrap();
        split(&read("other"));
        // A tile that was changed on the way is not believed.
        let bundle = dir.path().join("honest/tile/entries/000.p/8");
        let mut bytes = std::fs::read(&bundle).unwrap();
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
        std::fs::write(&bundle, bytes).unwrap();
        assert!(observe(&read("honest"), Some(&pinned), &[]).is_err());
    }
}

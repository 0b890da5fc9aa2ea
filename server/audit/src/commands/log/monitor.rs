//! `fedseal log monitor SOURCE`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::remote;
use fedseal_client_sdk::tlog::{Checkpoint, MAX_NOTE};
use fedseal_ledger::{LogReader, Remote};
use fedseal_record::monitor::observe;
use fedseal_record::rundir::write_atomically;
use serde_json::json;

use super::{folder, log_key, parse_key, policy, there, verifier};
use crate::failure::{Failure, Outcome};
use crate::{files, output, stop};

/// Watches a log: that it continues the checkpoint pinned at the last look, and what its new
/// entries say about one's own clients. A split view is a failure, and both checkpoints are kept.
#[derive(Args)]
pub struct Monitor {
    /// A run's folder, a log's folder, or the URL of a log (what `/checkpoint` is below).
    source: String,
    /// File that the last checkpoint is pinned in; made at the first look.
    #[arg(long, value_name = "FILE")]
    pin: PathBuf,
    /// The key that signs the log: hex or a verifier key. Needed for a URL.
    #[arg(long)]
    key: Option<String>,
    /// A client to look out for; may be given several times.
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// Fail when a new entry is about one of the clients.
    #[arg(long)]
    alarm: bool,
    /// Witnesses that must have cosigned the checkpoint (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Look again every so many seconds until Ctrl-C; else once.
    #[arg(long, value_name = "SECONDS")]
    every: Option<u64>,
    /// Print what is new as JSON, one object a look.
    #[arg(long)]
    json: bool,
}

/// A log over HTTP.
struct Url(String);

impl Remote for Url {
    fn get(&self, path: &str) -> fedseal_ledger::Result<Option<Vec<u8>>> {
        let url = format!("{}/{path}", self.0.trim_end_matches('/'));
        remote::get(&url).map_err(|error| fedseal_ledger::Error::Io {
            path: url.into(),
            source: std::io::Error::other(error),
        })
    }
}

impl Monitor {
    /// Looks once, or until Ctrl-C.
    pub fn execute(self) -> Outcome {
        let Some(every) = self.every else {
            return self.look();
        };
        stop::watch("stopping");
        loop {
            self.look()?;
            // Nobody hears what it would find.
            if output::closed() {
                return Ok(());
            }
            for _ in 0..every.max(1) * 10 {
                if stop::asked() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn look(&self) -> Outcome {
        let log = self.open()?;
        let key = self.public_key()?;
        let before = self.pinned(&key)?;
        let pinned = before.as_ref().map(|(_, checkpoint)| checkpoint);
        let clients: Vec<ClientId> = self.client.iter().map(|c| c.as_str().into()).collect();
        let observed = match observe(&log, pinned, &clients) {
            Ok(observed) => observed,
            Err(error) => return Err(self.failed(error, &log, before.as_ref().map(|(n, _)| n))),
        };
        if let Some(file) = &self.policy {
            let log_key = verifier(&key.to_string(), log.note())?;
            policy(file)?.verify(log.note(), Some(&log_key))?;
        }
        if self.json {
            output::json(&json!({ "source": self.source, "observed": observed }));
        } else {
            for mention in &observed.mentions {
                output::line(format!(
                    "entry {} {}: {}",
                    mention.entry, mention.client, mention.says
                ));
            }
            output::line(format!(
                "{}: {} entries, {} of them new; the log continues what it showed before",
                log.checkpoint().origin,
                observed.to,
                observed.to - observed.from
            ));
        }
        // Only now: what was not read to its end is read again.
        write_atomically(&self.pin, log.note().as_bytes())?;
        if self.alarm && !observed.mentions.is_empty() {
            return Err(Failure::new(format!(
                "{} new entries are about {}",
                observed.mentions.len(),
                self.client.join(", ")
            )));
        }
        Ok(())
    }

    fn is_url(&self) -> bool {
        self.source.starts_with("http://") || self.source.starts_with("https://")
    }

    fn public_key(&self) -> Outcome<PublicKey> {
        if self.is_url() && self.key.is_none() {
            return Err(Failure::usage("a log behind a URL is checked with its key")
                .hint("Give it: --key HEX, or --key ORIGIN+HASH+KEY (a verifier key)."));
        }
        match &self.key {
            Some(text) => Ok(parse_key(text)?.1),
            None => log_key(Path::new(&self.source), None),
        }
    }

    fn open(&self) -> Outcome<LogReader> {
        let key = self.public_key()?;
        let log = if self.is_url() {
            LogReader::open_remote(Arc::new(Url(self.source.clone())), &self.source, &key)?
        } else {
            LogReader::open(folder(Path::new(&self.source))?, &key)?
        };
        if let Some((Some(origin), _)) = self.key.as_deref().map(parse_key).transpose()?
            && origin != log.checkpoint().origin
        {
            return Err(Failure::new(format!(
                "the log is {:?}, the key is of {origin:?}",
                log.checkpoint().origin
            )));
        }
        Ok(log)
    }

    /// The pinned note and checkpoint; it must be signed by the same key.
    fn pinned(&self, key: &PublicKey) -> Outcome<Option<(String, Checkpoint)>> {
        if !there(&self.pin) {
            return Ok(None);
        }
        let note = files::text(&self.pin, MAX_NOTE)?;
        let checked =
            Checkpoint::parse(&note).and_then(|c| Checkpoint::verify(&note, &c.origin, key));
        match checked {
            Ok(checkpoint) => Ok(Some((note, checkpoint))),
            Err(error) => Err(Failure::new(format!(
                "{}: the pinned checkpoint is not by this log's key: {error}",
                self.pin.display()
            ))
            .hint("Another key means another log: find out why before you pin it anew.")),
        }
    }

    /// Keeps both signed checkpoints next to the pin: together they prove the split view.
    fn failed(
        &self,
        error: fedseal_record::Error,
        log: &LogReader,
        before: Option<&String>,
    ) -> Failure {
        let split = matches!(
            error,
            fedseal_record::Error::Ledger(fedseal_ledger::Error::SplitView { .. })
        );
        let failure = Failure::from(error);
        let Some(before) = before.filter(|_| split) else {
            return failure;
        };
        let mut evidence = self.pin.clone().into_os_string();
        evidence.push(".evidence");
        let evidence = PathBuf::from(evidence);
        let both = format!("{before}\n{}", log.note());
        match write_atomically(&evidence, both.as_bytes()) {
            Ok(()) => failure.hint(format!(
                "Both signed checkpoints are kept in {}: show them to others who watch this log.",
                evidence.display()
            )),
            Err(error) => failure.hint(format!("The evidence could not be kept: {error}")),
        }
    }
}

//! `fedseal node`: a data holder's side of a federation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use fedseal_client_sdk as sdk;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::Role;
use fedseal_client_sdk::keys::{Passphrase, SigningKey, TrustStore};
use fedseal_client_sdk::signed::SignedClient;
use fedseal_federation::lab::Lab;
use fedseal_federation::node::link::Link;
use fedseal_federation::node::{self, CACHE_BYTES, Own, Shard};
use fedseal_federation::options::open_model;
use fedseal_federation::own::How;
use fedseal_federation::protocol::{
    Cosigned, Enrol, Enrolled, Invitation, LONGEST_WAIT, Next, OLDEST, Refuse, Taken, VERSION,
    prefix,
};
use fedseal_federation::runner::Options;
use fedseal_federation::work::desk::Fate;
use fedseal_federation::{Error, Result};
use fedseal_ledger::{LogReader, Remote as RemoteLog};
use fedseal_rules::experiment::{Experiment, read_site};
use fedseal_sandbox::CompiledCache;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::administer::Authorities;
use super::wire;
use crate::failure::{Failure, Outcome};
use crate::places::{self, Places};
use crate::{keys, output, stop};

/// Longest answer to anything but a blob, bytes.
const SMALL: u64 = 16 << 20;
/// Time of a call: a large update over a slow line.
const CALL: Duration = Duration::from_secs(15 * 60);

/// Takes part in a federation: does its jobs on shards of this machine, signs what came of them, and watches
/// the coordinator's log, until the federation is over or Ctrl-C. It asks; nobody calls it. It may be killed
/// at any time: what was finished is not trained again.
#[derive(Args)]
pub(crate) struct Node {
    /// The coordinator.
    #[arg(long, value_name = "URL")]
    coordinator: String,
    /// This node's key, made at first use. Who has it can speak for this node.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A client's shard, in any format that `fedseal tune` reads; may be given again, also for further files
    /// of one shard. No row of it leaves.
    #[arg(long, value_name = "NAME=FILE", required = true, value_parser = named)]
    shard: Vec<(String, String)>,
    /// Rules of this site: whose modules may run on which shards, and what may leave.
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// Folder of the node's state: its own log, what it fetched, what it has not sent yet.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Invitation of whoever runs the federation; needed once. The environment variable FEDSEAL_INVITATION keeps
    /// it out of the list of processes.
    #[arg(long, value_name = "TEXT")]
    invitation: Option<Invitation>,
    /// Trust file with the names of signers that the rules use; by default trusted.toml in the folder of keys.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Leave out rows of the shards that are no pair of a question and an answer.
    #[arg(long)]
    leave_out: bool,
    /// Take the first question and answer of a conversation of several turns.
    #[arg(long)]
    first_turn: bool,
    /// Bytes of fetched blobs that are kept.
    #[arg(long, value_name = "N", default_value_t = CACHE_BYTES)]
    cache_bytes: u64,
    /// Folder of fetched models.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Device, instead of what the federation says: it must be of the same engine.
    #[arg(long)]
    device: Option<String>,
    /// Threads of the CPU device; 0: all cores. The bits do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Version of the protocol: an older one for a coordinator of the release before.
    #[arg(long, value_name = "N", default_value_t = VERSION, value_parser = clap::value_parser!(u32).range(i64::from(OLDEST)..=i64::from(VERSION)))]
    protocol: u32,
    #[command(flatten)]
    authorities: Authorities,
    /// Speak to another machine without encryption.
    #[arg(long)]
    insecure_http: bool,
}

/// `NAME=FILE`
fn named(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), file.to_owned()))
        }
        _ => Err("expected NAME=FILE: the client's name and a file of its shard".into()),
    }
}

impl Node {
    /// Works until the federation is over or it is stopped.
    pub(crate) fn execute(self) -> Outcome {
        wire::check(&self.coordinator, self.insecure_http, "the updates")?;
        self.authorities.take()?;
        let passphrase = keys::passphrase()?;
        let key = self.key(passphrase.as_ref())?;
        let rules = node::resolved(read_site(&self.site)?, &self.trusted()?)?;
        let shards = self.shards()?;
        let invitation = self.invited()?;
        let federation = match (&invitation, node::joined(&self.state)?) {
            (Some(invitation), _) => invitation.federation.clone(),
            (None, Some((federation, _))) => federation,
            (None, None) => {
                return Err(Failure::usage("the node has joined no federation yet").hint(
                    "Whoever runs one makes an invitation (fedseal federation invite NAME): --invitation TEXT",
                ));
            }
        };
        let places = Places::find();
        let models = places.models_or(self.models.as_deref())?;
        let options = Options {
            prompts: models.join("prompts"),
            models,
            device: self.device.clone(),
            threads: self.threads,
            ..Options::default()
        };
        let open = |experiment: &Experiment| -> Result<Arc<dyn Lab>> {
            let (lab, _) = open_model(experiment, &options)?;
            Ok(Arc::new(lab))
        };
        let compiled = CompiledCache::new(
            self.state.join("compiled"),
            &key,
            fedseal_sandbox::CACHE_BYTES,
        );
        let remote = Remote {
            client: Arc::new(SignedClient::new(
                &self.coordinator,
                key.clone(),
                Role::Node,
                CALL,
            )),
            below: format!("{}/{federation}", prefix(self.protocol)),
            protocol: self.protocol,
        };
        output::line(format!("node {} for {}", key.public(), self.coordinator));
        output::line("Ctrl-C stops it; it goes on where it was when it starts again");
        stop::watch("stopping; press Ctrl-C again to end at once");
        let told = |line: &str| output::note(format_args!("fedseal: {line}"));
        let own = Own {
            dir: self.state.clone(),
            key,
            shards,
            rules,
            cache_bytes: self.cache_bytes,
        };
        let mut node = node::Node::open(
            own,
            invitation.as_ref(),
            &remote,
            &open,
            Some(compiled),
            stop::flag(),
            &told,
        )?;
        Ok(node.run(stop::flag())?)
    }

    /// The key that this node has in its federation: a federation's plan names it, so one that was rotated since it
    /// joined (`fedseal key rotate` keeps the old key beside the new one) is used until the federation is over.
    fn key(&self, passphrase: Option<&Passphrase>) -> Outcome<SigningKey> {
        let current = SigningKey::load_or_create_with(&self.key, passphrase)?;
        let log = self.state.join("log");
        let writes = |key: &SigningKey| LogReader::open(&log, &key.public()).is_ok();
        if !log.join("checkpoint").is_file() || writes(&current) {
            return Ok(current);
        }
        let mut earlier = rotated(&self.key)?.into_iter();
        let found = earlier.find_map(|path| {
            let key = SigningKey::load_with(path, passphrase).ok()?;
            writes(&key).then_some(key)
        });
        let Some(key) = found else {
            // Opening the folder says what is wrong.
            return Ok(current);
        };
        output::note(format_args!(
            "fedseal: this node joined with key {}, which was rotated: it speaks with that one until the federation \
             is over",
            key.public()
        ));
        Ok(key)
    }

    /// The invitation, where there is one.
    fn invited(&self) -> Outcome<Option<Invitation>> {
        match (&self.invitation, std::env::var("FEDSEAL_INVITATION")) {
            (Some(given), _) => Ok(Some(given.clone())),
            (None, Ok(text)) if !text.trim().is_empty() => text
                .parse()
                .map(Some)
                .map_err(|error: String| Failure::usage(format!("FEDSEAL_INVITATION: {error}"))),
            _ => Ok(None),
        }
    }

    fn trusted(&self) -> Outcome<TrustStore> {
        let path = match &self.trust {
            Some(given) => given.clone(),
            None => keys::trusted_path(&places::home()?),
        };
        match path.exists() || self.trust.is_some() {
            true => Ok(TrustStore::load(&path)?),
            // Rules may name keys alone.
            false => Ok(TrustStore::default()),
        }
    }

    /// The shards, in the order in which they are named first.
    fn shards(&self) -> Outcome<Vec<Shard>> {
        let how = How {
            leave_out: self.leave_out,
            first: self.first_turn,
        };
        let mut files: Vec<(&String, Vec<String>)> = Vec::new();
        for (name, file) in &self.shard {
            match files.iter_mut().find(|(known, _)| *known == name) {
                Some((_, files)) => files.push(file.clone()),
                None => files.push((name, vec![file.clone()])),
            }
        }
        let shards = files.iter();
        shards
            .map(|(name, files)| Ok(Shard::read(name, files, how)?))
            .collect()
    }
}

/// Files of keys that were rotated: `NAME-KEYID.pem` beside `NAME.pem`.
fn rotated(current: &Path) -> Outcome<Vec<PathBuf>> {
    let stem = current.file_stem().unwrap_or_default().to_string_lossy();
    let folder = match current.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |error: std::io::Error| Failure::io(folder, &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{stem}-")) && name.ends_with(".pem") {
            found.push(path);
        }
    }
    Ok(found)
}

/// A coordinator over HTTP.
struct Remote {
    client: Arc<SignedClient>,
    /// Beginning of the federation's addresses.
    below: String,
    protocol: u32,
}

impl Remote {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.below)
    }

    fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(body).map_err(|error| unread(path, error))?;
        let body = Some(("application/json", bytes.as_slice()));
        Ok(self.client.call("POST", &self.at(path), body, SMALL)?.1)
    }
}

fn unread(path: &str, error: serde_json::Error) -> Error {
    Error::Sdk(sdk::Error::Http {
        url: path.to_owned(),
        detail: Box::new(error),
    })
}

fn parsed<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| unread(path, error))
}

impl Link for Remote {
    fn enrol(&self, request: &Enrol) -> Result<Enrolled> {
        let protocol = self.protocol;
        let request = Enrol {
            protocol,
            ..request.clone()
        };
        parsed("/enrol", &self.post("/enrol", &request)?)
    }

    fn next(&self) -> Result<Next> {
        debug_assert!(CALL.as_secs() > LONGEST_WAIT);
        parsed("/next", &self.post("/next", &serde_json::json!({}))?)
    }

    fn piece(&self, digest: &Digest, from: u64, most: u64) -> Result<Vec<u8>> {
        let path = self.at(&format!("/blobs/{digest}"));
        Ok(self.client.piece(&path, from, most)?)
    }

    fn deliver(&self, key: &Digest, package: &[u8]) -> Result<Fate> {
        let path = self.at(&format!("/jobs/{key}"));
        let body = Some(("application/x-tar", package));
        let (_, bytes) = self.client.call("PUT", &path, body, SMALL)?;
        Ok(parsed::<Taken>(&path, &bytes)?.fate)
    }

    fn refuse(&self, key: &Digest, reason: &str) -> Result<()> {
        let refuse = Refuse {
            reason: reason.to_owned(),
        };
        self.post(&format!("/jobs/{key}/refuse"), &refuse).map(drop)
    }

    fn log(&self) -> Arc<dyn RemoteLog> {
        Arc::new(Files {
            client: self.client.clone(),
            below: self.at("/log"),
        })
    }

    fn cosign(&self, note: &str) -> Result<()> {
        let note = note.to_owned();
        self.post("/cosign", &Cosigned { note }).map(drop)
    }

    fn cosigned(&self) -> Result<Vec<String>> {
        let path = self.at("/cosigned");
        let (_, bytes) = self.client.call("GET", &path, None, SMALL)?;
        let notes: Vec<Cosigned> = parsed(&path, &bytes)?;
        Ok(notes.into_iter().map(|one| one.note).collect())
    }
}

/// The log's files below a path.
struct Files {
    client: Arc<SignedClient>,
    below: String,
}

impl RemoteLog for Files {
    fn get(&self, path: &str) -> fedseal_ledger::Result<Option<Vec<u8>>> {
        let path = format!("{}/{path}", self.below);
        match self.client.call("GET", &path, None, SMALL) {
            Ok((_, bytes)) => Ok(Some(bytes)),
            Err(sdk::Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(fedseal_ledger::Error::Io {
                path: path.into(),
                source: std::io::Error::other(error),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_has_a_name_and_a_file() {
        let pair = named("north=data/a=b.jsonl").unwrap();
        assert_eq!(pair, ("north".to_owned(), "data/a=b.jsonl".to_owned()));
        for bad in ["", "north", "=file", "north="] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}

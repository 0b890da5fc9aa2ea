//! `fedseal log fsck|monitor|cosign|prove|check`; `witness` is in the program that serves.

pub mod check;
pub mod cosign;
pub mod fsck;
pub mod monitor;
pub mod prove;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{Checkpoint, KeyKind, MAX_POLICY, Policy, VerifierKey};
use fedseal_record::opened::Pinned;
use fedseal_record::rundir::RunDir;

use crate::failure::{Failure, Outcome};
use crate::files;

pub use cosign::collect;

/// Checks, watches and proves entries of a log.
#[derive(Args)]
pub struct Log {
    #[command(subcommand)]
    action: Action,
}

/// Actions on a log that need no server.
#[derive(Subcommand)]
pub enum Action {
    /// Derive every tile and root of a log again from its entries; name the first bad one.
    Fsck(fsck::Fsck),
    /// Watch a log: that it continues what it showed before, and what it says about clients.
    Monitor(monitor::Monitor),
    /// Ask witnesses for cosignatures of a run's checkpoint and store them with it.
    Cosign(cosign::Cosign),
    /// Write a proof file that an entry or update is in a log.
    Prove(prove::Prove),
    /// Check a proof file offline.
    Check(check::Check),
}

impl Log {
    /// Executes the action.
    ///
    /// # Errors
    /// As its action.
    pub fn execute(self) -> Outcome {
        self.action.execute()
    }
}

impl Action {
    /// Executes the action.
    ///
    /// # Errors
    /// A log that does not verify, or a file that cannot be read or written.
    pub fn execute(self) -> Outcome {
        match self {
            Action::Fsck(command) => command.execute(),
            Action::Monitor(command) => command.execute(),
            Action::Cosign(command) => command.execute(),
            Action::Prove(command) => command.execute(),
            Action::Check(command) => command.execute(),
        }
    }
}

/// The log's folder of a run's folder, or the folder itself when it is a log's.
fn folder(dir: &Path) -> Outcome<PathBuf> {
    let run = RunDir::new(dir);
    if there(&run.plan()) {
        return Ok(run.log());
    }
    if there(&dir.join("checkpoint")) {
        return Ok(dir.to_owned());
    }
    Err(Failure::usage(format!(
        "{}: neither a run (run.json) nor a log (checkpoint)",
        dir.display()
    )))
}

/// Whether anything has this name. Its reader finds out its kind.
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A log's key: given, or from the run's own run.json, when that file is the one that the log's first
/// entry names. The run's own key shows damage, not a rewritten log: its holder can write both.
fn log_key(dir: &Path, given: Option<&str>) -> Outcome<PublicKey> {
    let key = named_key(dir, given)?;
    if given.is_none() {
        Pinned::read(dir)?;
    }
    Ok(key)
}

/// As [`log_key`], before anything of the log is read.
fn named_key(dir: &Path, given: Option<&str>) -> Outcome<PublicKey> {
    match given {
        Some(text) => parse_key(text).map(|(_, key)| key),
        None => {
            let run = RunDir::new(dir);
            if !there(&run.plan()) {
                return Err(Failure::usage(format!(
                    "{}: no run.json names this log's key",
                    dir.display()
                ))
                .hint("Give it: --key HEX, or --key ORIGIN+HASH+KEY (a verifier key)."));
            }
            Ok(run.read_plan()?.node)
        }
    }
}

/// A key as 64 hex digits or as a verifier key, whose name is the log's origin.
fn parse_key(text: &str) -> Outcome<(Option<String>, PublicKey)> {
    if text.contains('+') {
        let key: VerifierKey = text.parse().map_err(Failure::usage)?;
        if key.kind != KeyKind::Log {
            return Err(Failure::usage(format!(
                "{text}: a witness's key, not a log's"
            )));
        }
        return Ok((Some(key.name), key.key));
    }
    Ok((None, text.parse().map_err(Failure::usage)?))
}

/// A log's verifier key from what was given and from the origin that its checkpoint names.
fn verifier(given: &str, note: &str) -> Outcome<VerifierKey> {
    let (name, key) = parse_key(given)?;
    let origin = Checkpoint::parse(note)?.origin;
    Ok(VerifierKey::new(
        name.as_deref().unwrap_or(&origin),
        KeyKind::Log,
        key,
    )?)
}

/// Reads a policy of witnesses (C2SP tlog-policy).
pub fn policy(path: &Path) -> Outcome<Policy> {
    let text = files::read(path, MAX_POLICY)?;
    Policy::from_bytes(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

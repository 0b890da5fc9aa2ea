//! `fedseal key new|show|rotate|revoke|accept|trust`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{
    self as sdk_keys, Moment, P256PublicKey, PublicKey, Revocation, RevokedKey, Rotation,
    SigningKey, TrustStore, TrustedKey,
};
use fedseal_client_sdk::tlog::verifier_key;
use fedseal_record::opened::Pinned;
use fedseal_record::rundir::{now, rfc3339, write_atomically};

use crate::failure::{Failure, Outcome};
use crate::{keys, modules, output, places};

/// Makes, shows, rotates and revokes keys, and keeps the file of trusted ones.
#[derive(Args)]
pub struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a new key; an existing file is never overwritten.
    New {
        /// Where; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Encrypt it with a passphrase (asked for, or from FEDSEAL_PASSPHRASE_FILE or
        /// FEDSEAL_PASSPHRASE). Else it is plain, readable by its owner alone.
        #[arg(long)]
        encrypt: bool,
        /// A P-256 key, for `adapter sign`; by default adapter.pem, its public half beside it.
        #[arg(long)]
        p256: bool,
    },
    /// Show the public half, its id, the files, and which keys are trusted.
    Show {
        /// Which; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Make a successor of a key, signed by the old one. The old file is kept beside it.
    Rotate {
        /// Which; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Days for which the old key is still trusted.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Where the signed statement goes, for others to accept.
        #[arg(long, value_name = "FILE")]
        statement: Option<PathBuf>,
    },
    /// Give a key up: one's own with a signed statement, another's in this machine's trust file.
    Revoke {
        /// A private key's file; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE", conflicts_with = "public")]
        key: Option<PathBuf>,
        /// Another's public key (hex), which is revoked on this machine alone.
        #[arg(long, value_name = "HEX")]
        public: Option<PublicKey>,
        /// Why, for people.
        #[arg(long, default_value = "not given")]
        reason: String,
        /// A run whose log stands up to where it is now; in all others nothing by this key does.
        #[arg(long, value_name = "RUN_DIR")]
        log: Vec<PathBuf>,
        /// Where the signed statement goes, for others to accept.
        #[arg(long, value_name = "FILE")]
        statement: Option<PathBuf>,
    },
    /// Take somebody's signed rotation or revocation into the trust file.
    Accept {
        /// The statement.
        statement: PathBuf,
    },
    /// Trust a key.
    Trust {
        /// Whose it is.
        name: String,
        /// The key, hex.
        key: PublicKey,
        /// Until when, RFC 3339 in UTC: 2027-01-31T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
}

impl Key {
    /// Does it.
    pub fn execute(self) -> Outcome {
        let home = places::home()?;
        match self.action {
            Action::New { out, encrypt, p256 } => {
                let path = out.unwrap_or_else(|| match p256 {
                    true => keys::adapter_path(&home),
                    false => keys::author_path(&home),
                });
                absent(&path)?;
                let passphrase = encrypt.then(keys::new_passphrase).transpose()?;
                if p256 {
                    let key = keys::new_p256(&path, passphrase.as_ref())?;
                    show_p256(&path, &key.public(), encrypt);
                    return Ok(());
                }
                let key = SigningKey::generate()?;
                key.save_new_with(&path, passphrase.as_ref())?;
                show(&path, &key.public(), encrypt);
                Ok(())
            }
            Action::Show { key } => {
                let path = present(key.unwrap_or_else(|| keys::author_path(&home)))?;
                let encrypted = SigningKey::is_encrypted(&path)?;
                show(&path, &keys::load(&path)?.public(), encrypted);
                let file = keys::trusted_path(&home);
                output::line(format!("trusted  {}", file.display()));
                if file.exists() {
                    list(&TrustStore::load(&file)?);
                }
                Ok(())
            }
            Action::Rotate {
                key,
                days,
                statement,
            } => {
                let path = present(key.unwrap_or_else(|| keys::author_path(&home)))?;
                rotate(&home, &path, days, statement)
            }
            Action::Revoke {
                key,
                public,
                reason,
                log,
                statement,
            } => {
                let logs = positions(&log)?;
                match public {
                    Some(public) => {
                        let mut store = keys::trusted(&home)?;
                        store.revoke(RevokedKey {
                            key: public,
                            reason,
                            logs,
                        });
                        save(&home, &store)?;
                        output::line(format!("revoked {public} on this machine"));
                        Ok(())
                    }
                    None => {
                        let path = present(key.unwrap_or_else(|| keys::author_path(&home)))?;
                        let key = keys::load(&path)?;
                        let envelope = sdk_keys::revoke(&key, &now(), &reason, logs)?;
                        let out = statement.unwrap_or_else(|| beside(&path, "revocation.json"));
                        write_atomically(&out, &envelope.to_bytes())?;
                        accept(&home, &envelope)?;
                        output::line(format!("statement {}", out.display()));
                        Ok(())
                    }
                }
            }
            Action::Accept { statement } => {
                let envelope = modules::envelope(&statement)?;
                accept(&home, &envelope)
            }
            Action::Trust { name, key, expires } => {
                let mut store = keys::trusted(&home)?;
                store.insert(TrustedKey {
                    name,
                    key,
                    expires,
                    replaces: None,
                });
                save(&home, &store)?;
                list(&store);
                Ok(())
            }
        }
    }
}

/// Old key's file to `NAME-KEYID.pem`, a new key in its place, the statement beside it.
fn rotate(home: &Path, path: &Path, days: u32, statement: Option<PathBuf>) -> Outcome {
    let encrypted = SigningKey::is_encrypted(path)?;
    let old = keys::load(path)?;
    let file = keys::trusted_path(home);
    let known = file.exists() && TrustStore::load(&file)?.contains(&old.public());
    if known {
        // Before anything is written: a key that is given up or over names no successor.
        let time = now();
        let at = Moment {
            time: &time,
            entry: None,
        };
        TrustStore::load(&file)?
            .check(&old.public(), &at)
            .map_err(|reason| {
                Failure::new(format!("{reason}; it can name no successor"))
                    .hint("Make a new key (fedseal key new --out FILE) and have others trust it.")
            })?;
    }
    let kept = beside(path, &format!("{}.pem", old.public().key_id()));
    absent(&kept)?;
    let passphrase = match encrypted {
        true => keys::passphrase()?,
        false => None,
    };
    let new = SigningKey::generate()?;
    let end = rfc3339(seconds_now().saturating_add(u64::from(days) * 86_400));
    let envelope = sdk_keys::rotate(&old, &new, &now(), &end)?;
    let out = match statement {
        Some(out) => out,
        None => {
            // The statement that made the old key stays, under its name: each is a link of a chain.
            let out = beside(path, "rotation.json");
            let earlier = beside(path, &format!("rotation-{}.json", old.public().key_id()));
            if out.exists() {
                std::fs::rename(&out, &earlier).map_err(|error| Failure::io(&earlier, &error))?;
            }
            out
        }
    };
    write_atomically(&out, &envelope.to_bytes())?;
    // The new key is on disk before the old one leaves its place: a crash loses neither.
    let fresh = beside(path, "new.pem");
    absent(&fresh)?;
    new.save_new_with(&fresh, passphrase.as_ref())?;
    let rename =
        |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|error| Failure::io(to, &error));
    rename(path, &kept)?;
    rename(&fresh, path)?;
    if known {
        accept(home, &envelope)?;
    }
    output::line(format!("old key  {}", kept.display()));
    show(path, &new.public(), encrypted);
    output::line(format!("statement {}", out.display()));
    Ok(())
}

/// Takes a statement into this machine's trust file, if a key in that file vouches for it.
fn accept(home: &Path, envelope: &Envelope) -> Outcome {
    let mut store = keys::trusted(home)?;
    let time = now();
    let at = Moment {
        time: &time,
        entry: None,
    };
    let known: Vec<PublicKey> = store.keys.iter().map(|k| k.key).collect();
    let revocation: Result<Revocation, _> = sdk_keys::verify_revocation(envelope, &known);
    if let Ok(revocation) = revocation {
        let name = store.name_of(&revocation.key).unwrap_or_default();
        output::line(format!("revoked {} of {name}", revocation.key));
        store.revoke(revocation.entry());
        return save(home, &store);
    }
    // An expired or revoked key names nobody.
    let rotation: Rotation =
        sdk_keys::verify_rotation(envelope, &store.keys_at(&at)).map_err(|error| {
            Failure::new(format!(
                "no trusted key stands behind this statement: {error}"
            ))
        })?;
    let Some(old) = store.keys.iter_mut().find(|k| k.key == rotation.old) else {
        return Err(Failure::new("the old key is not in the trust file"));
    };
    let name = old.name.clone();
    // A rotation may end the old key's time, never lengthen it.
    if old
        .expires
        .as_ref()
        .is_none_or(|e| *e > rotation.old_expires)
    {
        old.expires = Some(rotation.old_expires.clone());
    }
    output::line(format!("{name}: {} follows {}", rotation.new, rotation.old));
    store.insert(rotation.entry(&name));
    save(home, &store)
}

/// The verifier key and size of each run's log, checked under its node's key.
fn positions(runs: &[PathBuf]) -> Outcome<BTreeMap<String, u64>> {
    let mut logs = BTreeMap::new();
    for dir in runs {
        let Pinned { plan, log, .. } = Pinned::read(dir)?;
        logs.insert(verifier_key(&plan.origin, &plan.node), log.size());
    }
    Ok(logs)
}

fn save(home: &Path, store: &TrustStore) -> Outcome {
    let path = keys::trusted_path(home);
    // Read back before it counts: what it says must be what a later start accepts.
    let checked = path.with_extension("checked");
    store.save(&checked)?;
    if let Err(error) = TrustStore::load(&checked) {
        let _ = std::fs::remove_file(&checked);
        return Err(Failure::usage(error));
    }
    std::fs::rename(&checked, &path).map_err(|error| Failure::io(&path, &error))
}

fn list(store: &TrustStore) {
    for entry in &store.keys {
        let mut line = format!("         {} {}", entry.key, entry.name);
        if let Some(expires) = &entry.expires {
            line.push_str(&format!(", until {expires}"));
        }
        if let Some(revoked) = store.revocation(&entry.key) {
            line.push_str(&format!(", revoked: {}", revoked.reason));
            for origin in revoked.bare_origins() {
                line.push_str(&format!(
                    " (what stands in log {origin} is said for every node's log of that name; \
                     `fedseal key revoke --log RUN_DIR` says it for one)"
                ));
            }
        }
        output::line(line);
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{suffix}"))
}

fn absent(path: &Path) -> Outcome {
    if path.exists() {
        return Err(
            Failure::usage(format!("{}: a file is there already", path.display()))
                .hint("A key is never overwritten; move it away or name another file."),
        );
    }
    Ok(())
}

fn present(path: PathBuf) -> Outcome<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    Err(
        Failure::usage(format!("{}: there is no key", path.display()))
            .hint("Make one: fedseal key new"),
    )
}

fn seconds_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn show_p256(path: &Path, public: &P256PublicKey, encrypted: bool) {
    output::line(format!(
        "file     {}{}\npublic   {}\nid       {} (P-256)",
        path.display(),
        if encrypted { " (encrypted)" } else { "" },
        keys::public_path(path).display(),
        public.fingerprint().short(),
    ));
}

fn show(path: &Path, public: &PublicKey, encrypted: bool) {
    output::line(format!(
        "file     {}{}\npublic   {public}\nid       {}",
        path.display(),
        if encrypted { " (encrypted)" } else { "" },
        public.key_id()
    ));
}

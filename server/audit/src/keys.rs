//! The developer's key, which signs modules on this machine, the keys that this machine trusts, and
//! where passphrases come from.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::keys::{P256Key, Passphrase, SigningKey, TrustStore};

use fedseal_record::rundir::write_atomically;

use crate::failure::{Failure, Outcome};
use crate::files;
use crate::output;

/// The largest file of a passphrase, bytes.
const MAX_PASSPHRASE: usize = 64 << 10;

/// The author's key in a folder of keys.
pub fn author_path(home: &Path) -> PathBuf {
    home.join("author.pem")
}

/// The key that signs adapter folders, in a folder of keys.
pub fn adapter_path(home: &Path) -> PathBuf {
    home.join("adapter.pem")
}

/// Path of a P-256 key's public half: next to the key, for other tools.
pub fn public_path(path: &Path) -> PathBuf {
    path.with_extension("pub.pem")
}

/// The trust file in a folder of keys.
pub fn trusted_path(home: &Path) -> PathBuf {
    home.join("trusted.toml")
}

/// The author's key; made, with mode 0600, when there is none yet.
pub fn author(home: &Path) -> Outcome<SigningKey> {
    let path = author_path(home);
    if path.exists() {
        return load(&path);
    }
    Ok(SigningKey::load_or_create(path)?)
}

/// A key file; a passphrase is asked for where it needs one.
pub fn load(path: &Path) -> Outcome<SigningKey> {
    if !SigningKey::is_encrypted(path)? {
        return Ok(SigningKey::load(path)?);
    }
    let passphrase = match passphrase()? {
        Some(passphrase) => passphrase,
        None => ask(&format!("passphrase of {}: ", path.display()))?,
    };
    Ok(SigningKey::load_with(path, Some(&passphrase))?)
}

/// A P-256 key; made, with its public half next to it, when there is none yet.
pub fn load_or_create_p256(path: &Path) -> Outcome<P256Key> {
    if !path.exists() {
        return new_p256(path, None);
    }
    load_p256(path)
}

/// A P-256 key file; a passphrase is asked for where it needs one.
pub fn load_p256(path: &Path) -> Outcome<P256Key> {
    let passphrase = match SigningKey::is_encrypted(path)? {
        false => None,
        true => Some(match passphrase()? {
            Some(passphrase) => passphrase,
            None => ask(&format!("passphrase of {}: ", path.display()))?,
        }),
    };
    Ok(P256Key::load_with(path, passphrase.as_ref())?)
}

/// A new P-256 key, and its public half as PEM.
pub fn new_p256(path: &Path, passphrase: Option<&Passphrase>) -> Outcome<P256Key> {
    let key = P256Key::generate()?;
    key.save_new_with(path, passphrase)?;
    let public = public_path(path);
    write_atomically(&public, key.public().to_pem().as_bytes())?;
    Ok(key)
}

/// The passphrase from the environment: the first line of the file that FEDSEAL_PASSPHRASE_FILE names,
/// or FEDSEAL_PASSPHRASE.
pub fn passphrase() -> Outcome<Option<Passphrase>> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("FEDSEAL_PASSPHRASE_FILE").map(PathBuf::from) {
        let text = files::text(&path, MAX_PASSPHRASE)?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        return Ok(Some(Passphrase::new(line)?));
    }
    match std::env::var("FEDSEAL_PASSPHRASE") {
        Ok(text) if !text.is_empty() => Ok(Some(Passphrase::new(text)?)),
        _ => Ok(None),
    }
}

/// A passphrase for a new key: from the environment, or asked for twice.
pub fn new_passphrase() -> Outcome<Passphrase> {
    if let Some(passphrase) = passphrase()? {
        return Ok(passphrase);
    }
    let first = ask("new passphrase: ")?;
    if first != ask("once more: ")? {
        return Err(Failure::usage("the two passphrases differ"));
    }
    Ok(first)
}

/// Asks at the terminal, without showing what is typed.
fn ask(prompt: &str) -> Outcome<Passphrase> {
    use std::io::IsTerminal as _;
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(
            Failure::usage("a passphrase is needed and nobody can be asked for it")
                .hint("Set FEDSEAL_PASSPHRASE_FILE to a file that holds it."),
        );
    }
    output::prompt(prompt);
    // The terminal's own tool. Where it is missing, the line is visible, and a note says so.
    let echo = |word: &str| {
        std::process::Command::new("stty")
            .arg(word)
            .status()
            .is_ok_and(|status| status.success())
    };
    if !echo("-echo") {
        output::prompt("(visible) ");
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    echo("echo");
    output::note("");
    read.map_err(|error| Failure::new(format!("the terminal: {error}")))?;
    Ok(Passphrase::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    )?)
}

/// The trust file; made, with the author's own key in it, when there is none yet.
pub fn trusted(home: &Path) -> Outcome<TrustStore> {
    let path = trusted_path(home);
    if path.exists() {
        return Ok(TrustStore::load(&path)?);
    }
    let mut store = TrustStore::default();
    store.add("developer", author(home)?.public());
    store.save(&path)?;
    Ok(store)
}

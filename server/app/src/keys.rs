//! The developer's key, which signs modules on this machine, and the keys that this machine trusts.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::keys::{SigningKey, TrustStore};

use crate::failure::Outcome;

/// The author's key in a folder of keys.
pub fn author_path(home: &Path) -> PathBuf {
    home.join("author.pem")
}

/// The trust file in a folder of keys.
pub fn trusted_path(home: &Path) -> PathBuf {
    home.join("trusted.toml")
}

/// The author's key; made, with mode 0600, when there is none yet.
pub fn author(home: &Path) -> Outcome<SigningKey> {
    Ok(SigningKey::load_or_create(author_path(home))?)
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

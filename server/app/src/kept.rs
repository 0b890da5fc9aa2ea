//! Modules that are kept compiled on this machine: commands that look at one keep it for the run.

use fedseal_client_sdk::keys::SigningKey;
use fedseal_sandbox::{CACHE_BYTES, CompiledCache, Limits, Sandbox, SandboxError};

use crate::places::{self, Places};

/// The cache that runs use, under the node's key, which is made where there is none. None where the key has
/// a passphrase or the folder cannot be written: then modules are compiled each time.
pub(crate) fn cache(places: &Places) -> Option<CompiledCache> {
    let path = places::home().ok()?.join("node.pem");
    std::fs::create_dir_all(path.parent()?).ok()?;
    if path.exists() && SigningKey::is_encrypted(&path).ok()? {
        return None;
    }
    let key = SigningKey::load_or_create(path).ok()?;
    Some(CompiledCache::new(
        places.compiled().ok()?,
        &key,
        CACHE_BYTES,
    ))
}

/// A sandbox that uses the cache.
pub(crate) fn sandbox(limits: Limits) -> Result<Sandbox, SandboxError> {
    let sandbox = Sandbox::new(limits)?;
    Ok(match cache(&Places::find()) {
        Some(cache) => sandbox.with_cache(cache),
        None => sandbox,
    })
}

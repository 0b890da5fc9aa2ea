//! Compiled modules on disk, so that a node that starts again does not compile them again.
//!
//! A compiled module is machine code that runs outside any sandbox: whoever can plant one owns the
//! process. So a file counts only with a tag (HMAC-SHA256 under a key that the node alone has) over
//! the module's digest, the engine's fingerprint and every byte of the code. A file without a right
//! tag is as good as none: the module is compiled again and the file replaced.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{MacKey, SigningKey};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::code::Code;
use crate::compiler::CODE_BYTES;
use crate::runtime::fingerprint;

/// Bytes of all cached files together, unless a caller says otherwise: 1 GiB. The oldest go first.
pub const CACHE_BYTES: u64 = 1 << 30;

/// Purpose of the key; see [`SigningKey::mac_key`].
const PURPOSE: &str = "compiled modules";

/// Beginning of the bytes that are tagged.
const DOMAIN: &[u8] = b"fedseal-compiled-v1\0";

/// Bytes of the tag at the start of a file.
const TAG: usize = 32;

const ENDING: &str = "compiled";

/// A folder of compiled modules. Any number of processes may use one.
#[derive(Clone, Debug)]
pub struct CompiledCache {
    folder: PathBuf,
    key: MacKey,
    limit: u64,
}

impl CompiledCache {
    /// The cache of the node with this key; the folder is made when something is stored. `limit`
    /// is in bytes, all files together; [`CACHE_BYTES`] is the usual one, 0 keeps nothing. What is
    /// beyond it already goes at once, the oldest first.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, node: &SigningKey, limit: u64) -> Self {
        let cache = CompiledCache {
            folder: folder.into(),
            key: node.mac_key(PURPOSE),
            limit,
        };
        // A file that cannot be removed is no reason to fail: none is read beyond the limit.
        let _ = cache.make_room(0, None);
        cache
    }

    /// Path of a module's compiled form, whether it is there or not.
    pub(crate) fn path(&self, module: &Digest, engine: &Engine) -> PathBuf {
        let fingerprint = fingerprint(engine).short();
        self.folder.join(format!("{module}-{fingerprint}.{ENDING}"))
    }

    /// The compiled module, if a file with a right tag is there.
    pub(crate) fn load(&self, module: &Digest, engine: &Engine) -> Option<Component> {
        self.read(module, engine)?.load(engine).ok()
    }

    /// Code in a file with a right tag.
    fn read(&self, module: &Digest, engine: &Engine) -> Option<Code> {
        let file = fs::File::open(self.path(module, engine)).ok()?;
        // A planted file must not fill the memory either.
        let most = self.limit.min(CODE_BYTES + TAG as u64).saturating_add(1);
        let mut tag = [0; TAG];
        let mut code = Vec::new();
        let mut reader = file.take(most);
        reader.read_exact(&mut tag).ok()?;
        reader.read_to_end(&mut code).ok()?;
        let engine = fingerprint(engine);
        let right = self
            .key
            .verify(&[DOMAIN, &module.0, &engine.0, &code], &tag);
        // Only what `store` was given is ever tagged, and the key never leaves the node.
        right.then(|| Code::trusted(code))
    }

    /// Keeps a compiled module. A cache that cannot be written is no reason to fail: the module
    /// is compiled again next time.
    pub(crate) fn store(&self, module: &Digest, engine: &Engine, code: &Code) {
        let code = code.bytes();
        let size = (code.len() + TAG) as u64;
        if size > self.limit {
            return;
        }
        let tag = self
            .key
            .tag(&[DOMAIN, &module.0, &fingerprint(engine).0, code]);
        // A write that is cut off leaves a file without a right tag.
        let path = self.path(module, engine);
        let _ = fs::create_dir_all(&self.folder)
            .and_then(|()| self.make_room(size, Some(&path)))
            .and_then(|()| write(&path, &[&tag, code]));
    }

    /// Removes the oldest files until `size` more bytes are within the limit; the file at `place`,
    /// if any, is not counted.
    fn make_room(&self, size: u64, place: Option<&Path>) -> std::io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|entry| place.is_none_or(|place| entry.path() != place))
            .filter(|entry| entry.path().extension().is_some_and(|it| it == ENDING))
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                let time = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                Some((time, meta.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut sum: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if sum.saturating_add(size) <= self.limit {
                break;
            }
            fs::remove_file(path)?;
            sum -= bytes;
        }
        Ok(())
    }
}

/// Writes beside the place and renames, so that a reader sees the old file or the new one.
fn write(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Left over after a crash, it counts as a file of the cache and goes when it is the oldest.
    let beside = path.with_extension(format!("{}-{n}.{ENDING}", std::process::id()));
    let written = fs::File::create(&beside)
        .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests;

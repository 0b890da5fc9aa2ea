//! The node's key: made at first use, and rotated. A run keeps the key that it began with, because that
//! key signs its log; every run's log says which keys came before and after.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{PublicKey, Rotation, SigningKey, read_rotation};
use fedseal_client_sdk::record::Record;

use super::{Options, Run};
use crate::{Error, Result};
use fedseal_record::rundir::RunDir;

/// The key of new runs, `node.pem`.
pub(super) fn key(options: &Options) -> Result<SigningKey> {
    fs::create_dir_all(&options.keys).map_err(|source| Error::io(&options.keys, source))?;
    Ok(SigningKey::load_or_create_with(
        options.keys.join("node.pem"),
        options.passphrase.as_ref(),
    )?)
}

/// The key that a run was begun with: `node.pem`, or the one that `fedseal key rotate` kept next to it.
///
/// # Errors
/// [`Error::RunDir`] when the folder of keys has neither.
pub fn key_of_run(options: &Options, dir: &RunDir, node: &PublicKey) -> Result<SigningKey> {
    let current = key(options)?;
    if current.public() == *node {
        return Ok(current);
    }
    let kept = options.keys.join(format!("node-{}.pem", node.key_id()));
    if kept.exists() {
        let key = SigningKey::load_with(&kept, options.passphrase.as_ref())?;
        if key.public() == *node {
            return Ok(key);
        }
    }
    Err(Error::RunDir {
        dir: dir.root.clone(),
        problem: format!(
            "signed by node key {node}, the key in {} is {}, and there is no {} of an earlier one",
            options.keys.display(),
            current.public(),
            kept.display(),
        ),
    })
}

/// The statements that `fedseal key rotate` left in a folder of keys; each is signed by both keys.
fn rotations(keys: &Path) -> Result<Vec<(Rotation, Envelope)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(keys).map_err(|source| Error::io(keys, source))? {
        let path = entry.map_err(|source| Error::io(keys, source))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy());
        if name.is_some_and(|n| n.starts_with("node-rotation") && n.ends_with(".json")) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).map_err(|source| Error::io(&path, source))?;
        let read = Envelope::from_json(&bytes).and_then(|e| Ok((read_rotation(&e)?, e)));
        all.push(read.map_err(|e| Error::tampered(path.display().to_string(), e))?);
    }
    Ok(all)
}

impl Run {
    /// Logs the rotations that lead to this run's key and those that lead on from it, as far as they
    /// are missing.
    pub(super) fn log_rotations(&mut self, options: &Options) -> Result<()> {
        if self.state.closed || self.state.report.is_some() {
            return Ok(());
        }
        let statements = rotations(&options.keys)?;
        while let Some((oldest, newest)) = self.state.node_ends() {
            let logged = |r: &Rotation| {
                let mut all = self.state.rotations.iter();
                all.any(|l| (l.old, l.new) == (r.old, r.new))
            };
            let next = statements
                .iter()
                .find(|(r, _)| (r.new == oldest || r.old == newest) && !logged(r));
            let Some((rotation, envelope)) = next else {
                break;
            };
            self.append(&Record::NodeRotated {
                old: rotation.old,
                new: rotation.new,
                statement: self.blobs.put(&envelope.to_bytes())?,
            })?;
        }
        self.publish()
    }
}

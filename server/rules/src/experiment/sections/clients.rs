//! `[[clients]]`: clients of the experiment's own, each with its shard and its module.

use std::collections::BTreeSet;

use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::MOST;
use super::texts::one_or_more;
use crate::attack::BENIGN;
use crate::error::Result;

/// Longest name of a client, bytes.
pub const MAX_CLIENT_NAME: usize = 64;
/// Most examples of a client's shard, and rows of a part of `[data]`.
pub const MAX_SHARD: usize = MOST;
/// Most files of a client's shard.
const MOST_FILES: usize = 10_000;

/// One client of the experiment's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Files of its shard, in any format that `fedseal tune` reads, relative to the folder of the
    /// experiment file. Several are one shard, in this order. None where the client is a node.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shard: Vec<String>,
    /// Its module, see [`ClientConfig::module`].
    pub module: String,
    /// Files of literal examples that it hands in next to its module.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub attachment: Vec<String>,
    /// Whether it is honest. Another one attacks: it takes part in the attacked arms alone, and the report
    /// counts what the checks say about it apart.
    pub honest: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            name: String::new(),
            shard: Vec::new(),
            module: BENIGN.into(),
            attachment: Vec::new(),
            honest: true,
        }
    }
}

/// Place of a client's module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModulePlace<'a> {
    /// A name in the folder of signed modules.
    Name(&'a str),
    /// A component's file with its statement next to it, relative to the folder of the experiment file.
    File(&'a str),
    /// The digest of a module that was submitted to the registry.
    Submitted(Digest),
    /// A place in an OCI image layout, `oci:PATH[:TAG|@DIGEST]`, the path as that of a file.
    Layout(&'a str),
}

impl ClientConfig {
    /// Where its module is: `oci:…` names a layout, 64 hex digits (also behind `sha256:`) a submitted
    /// module, a word with `/` or ending in `.wasm` a file, any other word a module by its name.
    pub fn module(&self) -> ModulePlace<'_> {
        let word = self.module.as_str();
        if word.starts_with("oci:") {
            return ModulePlace::Layout(word);
        }
        let hex = word.strip_prefix("sha256:").unwrap_or(word);
        if let Ok(digest) = hex.parse() {
            return ModulePlace::Submitted(digest);
        }
        match word.contains(['/', '\\']) || word.ends_with(".wasm") {
            true => ModulePlace::File(word),
            false => ModulePlace::Name(word),
        }
    }
}

/// Whether a word can be a client's name.
pub fn is_client_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    first && word.len() <= MAX_CLIENT_NAME && word.chars().all(plain)
}

/// Checks the entries. `nodes` says whether they are nodes, which bring their shards themselves.
pub(in crate::experiment) fn check(
    clients: &[ClientConfig],
    nodes: bool,
    at: &Located<'_>,
) -> Result<()> {
    let mut names = BTreeSet::new();
    for (index, client) in clients.iter().enumerate() {
        let need = |ok: bool, key: &str, expected: &str, found: &str| match ok {
            true => Ok(()),
            false => {
                let key = format!("clients.{index}.{key}");
                Err(at.error(&key, format!("expected {expected}, found {found}")))
            }
        };
        let ClientConfig { name, shard, .. } = client;
        need(
            is_client_name(name),
            "name",
            "letters, digits, `.`, `_` and `-`, a letter or digit first, 64 at most",
            &format!("{name:?}"),
        )?;
        need(names.insert(name), "name", "each name once", name)?;
        let held = "no file: a node brings its shard and keeps it";
        match nodes {
            true => need(shard.is_empty(), "shard", held, "one")?,
            false => need(!shard.is_empty(), "shard", "at least one file", "none")?,
        }
        let attached = !client.attachment.is_empty();
        need(!(nodes && attached), "attachment", held, "one")?;
        let files = shard.len().max(client.attachment.len());
        let most = format!("at most {MOST_FILES} files");
        need(files <= MOST_FILES, "shard", &most, &files.to_string())?;
        need(!client.module.is_empty(), "module", "a module", "none")?;
    }
    Ok(())
}

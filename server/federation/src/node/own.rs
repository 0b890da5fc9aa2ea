//! Everything that a node has of its own: key, shards, and its site's rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{PublicKey, SigningKey, TrustStore};
use fedseal_tuning::Example;

use crate::own::{How, pairs};
use crate::protocol::Brought;
use crate::{Error, Result};
use fedseal_rules::experiment::MAX_SHARD;
use fedseal_rules::site::SiteRules;

/// A shard of the node.
pub struct Shard {
    /// Name of its client.
    pub name: String,
    pub(super) examples: Arc<Vec<Example>>,
    pub(super) digest: Digest,
}

impl Shard {
    /// Reads the files of a client's shard, as an experiment reads them.
    ///
    /// # Errors
    /// [`Error::Data`] with file and row.
    pub fn read(name: &str, files: &[String], how: How) -> Result<Shard> {
        let examples = pairs(Path::new(""), files, how, &mut { MAX_SHARD })
            .map_err(|error| crate::own::about(&format!("shard {name}"), error))?;
        Ok(Shard {
            name: name.to_owned(),
            digest: Digest::of(&canonical::to_vec(&examples)?),
            examples: Arc::new(examples),
        })
    }

    pub(super) fn brought(&self) -> Brought {
        Brought {
            name: self.name.clone(),
            shard: self.digest,
            examples: u32::try_from(self.examples.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Rules of a site with keys in place of signers' names, by the data holder's own trust file: a coordinator
/// could give any key a name.
///
/// # Errors
/// [`Error::Refused`] for a name that the file does not have.
pub fn resolved(rules: SiteRules, trusted: &TrustStore) -> Result<SiteRules> {
    let mut rules = rules.written_out();
    for rule in &mut rules.allow {
        for signer in &mut rule.signers {
            if signer.parse::<PublicKey>().is_ok() {
                continue;
            }
            let mut keys = trusted.keys.iter();
            let Some(entry) = keys.find(|entry| entry.name == *signer) else {
                return Err(Error::Refused {
                    what: format!("rule `{}` names signer {signer:?}", rule.name),
                    hint: "the trust file has no such name; give the key, or --trust FILE".into(),
                });
            };
            *signer = entry.key.to_string();
        }
    }
    Ok(rules)
}

/// Everything that a node has before it speaks to anybody.
pub struct Own {
    /// The node's state folder.
    pub dir: PathBuf,
    /// Its key.
    pub key: SigningKey,
    /// Its shards.
    pub shards: Vec<Shard>,
    /// Its site's rules, [`resolved`].
    pub rules: SiteRules,
    /// Bound of its cache, bytes.
    pub cache_bytes: u64,
}

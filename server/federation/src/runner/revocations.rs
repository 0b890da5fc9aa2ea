//! Keys that are given up while a run goes on: authors', by the trust file of the run's machine, and nodes', by the
//! administrator of their federation. From its place in the log on nothing counts that rests on such a key.

use std::path::Path;

use fedseal_client_sdk::keys::{PublicKey, TrustStore};
use fedseal_client_sdk::record::Record;

use super::Run;
use super::evidence::Evidence;
use crate::Result;
use crate::work::desk::Desk;

impl Run {
    /// Logs authors' keys that were revoked since the last look.
    pub(super) fn log_revoked_authors(&mut self) -> Result<()> {
        let file = self.keys.join("trusted.toml");
        if self.state.closed || self.state.report.is_some() || !file.exists() {
            return Ok(());
        }
        let revoked = authors(&file)?;
        let shared = self.shared.clone();
        let signs = |key: &PublicKey| shared.plan.modules.iter().any(|it| it.signer == *key);
        self.log_revoked(revoked.into_iter().filter(|(key, _)| signs(key)))
    }

    /// Logs nodes' keys that were revoked since the last look.
    pub(super) fn log_revoked_nodes(&mut self, desk: &Desk<Evidence>) -> Result<()> {
        let shared = self.shared.clone();
        let mine = |key: &PublicKey| {
            let mut clients = shared.plan.clients.iter();
            clients.any(|client| client.node && client.key == *key)
        };
        let revoked = desk.revoked().into_iter();
        self.log_revoked(revoked.filter(|(key, _)| mine(key)))
    }

    fn log_revoked(&mut self, keys: impl IntoIterator<Item = (PublicKey, String)>) -> Result<()> {
        let before = self.state.entries;
        for (key, reason) in keys {
            if !self.state.revoked.contains_key(&key) {
                self.append(&Record::KeyRevoked { key, reason })?;
            }
        }
        match self.state.entries == before {
            true => Ok(()),
            false => self.publish(),
        }
    }
}

/// Authors' keys that a trust file revokes, with the reasons.
fn authors(file: &Path) -> Result<Vec<(PublicKey, String)>> {
    let store = TrustStore::load(file)?;
    let revoked = store.revoked.into_iter();
    Ok(revoked.map(|it| (it.key, it.reason)).collect())
}

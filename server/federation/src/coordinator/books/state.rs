//! A federation as its file has it.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use serde::{Deserialize, Serialize};

use crate::options::Enrolled as Member;
use fedseal_rules::lifecycle::Phase;

/// Version of state.json: from 2 on changes are in a file beside it.
pub(super) const FORMAT: u32 = 2;
/// Oldest version that is read.
pub(super) const OLDEST_FORMAT: u32 = 1;

/// A federation as its folder has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// `FORMAT`.
    pub format: u32,
    /// Number of the file with the changes since.
    #[serde(default, skip_serializing_if = "is_first")]
    pub changes: u64,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339, UTC.
    pub created: String,
    /// Its state.
    pub phase: Phase,
    /// The coordinator's key, which nodes pin.
    pub coordinator: PublicKey,
    /// Folder that its own files are relative to.
    pub files: Option<String>,
    /// Invitations.
    pub invitations: Vec<Invited>,
    /// Nodes by the names of their clients.
    pub members: BTreeMap<String, Joined>,
    /// Why it failed last.
    pub failure: Option<String>,
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invited {
    /// SHA-256 of the secret.
    pub hash: Digest,
    /// The client that it is for.
    pub client: Option<String>,
    /// Who used it.
    pub used: Option<PublicKey>,
}

/// A node that enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// Its key, shard and rules.
    pub member: Member,
    /// When, RFC 3339, UTC.
    pub since: String,
    /// Why its key was revoked, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

fn is_first(number: &u64) -> bool {
    *number == 0
}

/// A change of a federation. What it says is all that it does, whoever reads it and whenever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Change {
    /// An invitation was made.
    Invited(Invited),
    /// A node joined as these clients.
    Enrolled {
        /// SHA-256 of the secret of its invitation.
        invitation: Digest,
        /// Its clients, which have one key.
        members: BTreeMap<String, Joined>,
    },
    /// A key was given up. Before the first round its places are free again.
    Revoked {
        /// The key.
        key: PublicKey,
        /// Why.
        reason: String,
    },
    /// An event led to a state.
    Became {
        /// The state.
        phase: Phase,
        /// Why it failed, where it did.
        failure: Option<String>,
    },
}

/// Standing of a key in a federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No node has it.
    Stranger,
    /// A node has it.
    Node,
    /// A node had it; the reason why it was given up.
    Revoked(String),
}

impl Federation {
    /// Whether nodes enrol no more.
    pub(super) fn is_begun(&self) -> bool {
        self.phase != Phase::Enrolling
    }

    /// Makes a change, or says why it has no place here.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Invited(invited) => self.invitations.push(invited),
            Change::Enrolled {
                invitation,
                members,
            } => {
                let mut invitations = self.invitations.iter_mut();
                let invited = invitations.find(|it| it.hash == invitation);
                let invited = invited.ok_or("it names an invitation that nobody made")?;
                invited.used = members.values().next().map(|joined| joined.member.key);
                self.members.extend(members);
            }
            Change::Revoked { key, reason } => {
                if !self.is_begun() {
                    self.members.retain(|_, joined| joined.member.key != key);
                }
                for joined in self.members.values_mut() {
                    if joined.member.key == key {
                        joined.revoked = Some(reason.clone());
                    }
                }
            }
            Change::Became { phase, failure } => {
                self.phase = phase;
                self.failure = failure;
            }
        }
        Ok(())
    }
}

/// Checkpoints that the nodes of each federation cosigned last, as their files have them.
pub(super) type Notes = BTreeMap<String, BTreeMap<PublicKey, String>>;

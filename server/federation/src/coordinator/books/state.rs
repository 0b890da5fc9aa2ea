//! A federation as its file has it.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use serde::{Deserialize, Serialize};

use crate::options::Enrolled as Member;
use fedseal_rules::lifecycle::Phase;

/// Version of state.json.
pub(super) const FORMAT: u32 = 1;

/// A federation as its folder has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// `FORMAT`.
    pub format: u32,
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

/// Checkpoints that the nodes of each federation cosigned last, as their files have them.
pub(super) type Notes = BTreeMap<String, BTreeMap<PublicKey, String>>;

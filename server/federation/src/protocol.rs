//! Words between a coordinator and the nodes of a federation, and between it and its administrator: JSON over
//! HTTP, below an address that names the protocol's version. Every request of a node is signed with its key
//! (RFC 9421), and the signature covers the address; every one of the administrator has the token.
//!
//! | version | has |
//! | --- | --- |
//! | 1 | enrolment, jobs, blobs, log, cosignatures |
//! | 2 | blobs of a federation that is over: each arm's last adapter; keys that were revoked |

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_rules::lifecycle::{Event, Phase};
use serde::{Deserialize, Serialize};

use crate::work::desk::Fate;
pub use crate::work::desk::Jobs;
use crate::work::task::NodeJob;

/// Version of the protocol.
pub const VERSION: u32 = 2;
/// Oldest version that a coordinator takes: that of the release before.
pub const OLDEST: u32 = 1;
/// Address of the administrator.
pub const ADMIN: &str = "/federation/v2/admin";
/// Seconds for which a node's question for a job waits where few do.
pub const WAIT: u64 = 10;
/// Seconds for which one waits where thousands do.
pub const LONGEST_WAIT: u64 = 30;
/// Longest update of a node, bytes: an adapter, its transcript, and data that the site lets leave.
pub const MOST_UPDATE: usize = 512 << 20;
/// Longest other request, bytes.
pub const MOST_REQUEST: usize = 2 << 20;
/// Beginning of the addresses (`PREFIX`) of a version.
pub fn prefix(version: u32) -> String {
    format!("/federation/v{version}")
}

/// Seconds without a question for work after which a node counts as late. One that trains asks when it is done; the
/// marks that outlive a server are as of a minute.
pub const LATE: u64 = 90;
/// Seconds without a question for work after which a node counts as silent.
pub const SILENT: u64 = 300;

/// Shards of one node, at most.
pub const MOST_SHARDS: usize = 100;
/// Longest text of site rules, bytes.
pub const MOST_SITE: usize = 256 << 10;

/// An invitation as it is handed to a data holder: federation, secret and the coordinator's key, so that the
/// node knows whose log it will watch before it says a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The federation.
    pub federation: String,
    /// Secret that lets one node in, once.
    pub secret: String,
    /// The coordinator's key.
    pub coordinator: PublicKey,
}

impl std::fmt::Display for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Invitation {
            federation,
            secret,
            coordinator,
        } = self;
        write!(f, "{federation}:{secret}:{coordinator}")
    }
}

impl std::str::FromStr for Invitation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an invitation has three parts, NAME:SECRET:KEY, as `fedseal federation invite` prints it";
        let mut parts = text.trim().split(':');
        let (Some(federation), Some(secret), Some(key), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong().into());
        };
        Ok(Invitation {
            federation: federation.into(),
            secret: secret.into(),
            coordinator: key.parse().map_err(|_| wrong().to_owned())?,
        })
    }
}

/// A shard that a node brings: never a row of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// Name of the client that it is the shard of.
    pub name: String,
    /// Digest of its examples.
    pub shard: Digest,
    /// Number of its examples.
    pub examples: u32,
}

/// `POST PREFIX/NAME/enrol`: a node joins. The same request again has the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// Version that the node speaks.
    pub protocol: u32,
    /// Secret of the invitation.
    pub secret: String,
    /// The shards.
    pub shards: Vec<Brought>,
    /// Rules of the site, as TOML, with keys of signers in place of names.
    pub site: String,
}

/// Answer to [`Enrol`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Version that the node speaks.
    pub protocol: u32,
    /// State of the federation.
    pub phase: Phase,
}

/// `POST PREFIX/NAME/next`: what a node should do, within [`LONGEST_WAIT`] seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Next {
    /// A job of the run with this plan.
    Job {
        /// The plan, a blob.
        plan: Digest,
        /// The job.
        job: Box<NodeJob>,
    },
    /// Nothing now. Where there is a run, its plan; the log may have grown.
    Idle {
        /// State of the federation.
        phase: Phase,
        /// The plan, a blob.
        plan: Option<Digest>,
    },
}

/// Answer to `PUT PREFIX/NAME/jobs/KEY`, whose body is a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Fate of the update.
    pub fate: Fate,
}

/// `POST PREFIX/NAME/jobs/KEY/refuse`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// Why the node does not do the job.
    pub reason: String,
}

/// `POST PREFIX/NAME/cosign`, and one of the answers to `GET PREFIX/NAME/cosigned`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosigned {
    /// A checkpoint of the run's log, with the coordinator's signature and the node's.
    pub note: String,
}

/// The name of a node as a witness.
pub fn witness_name(key: &PublicKey) -> String {
    format!("fedseal-node-{}", key.key_id())
}

/// `POST ADMIN`: a command of the administrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Makes a federation.
    Create {
        /// Its name; that of its run, too.
        name: String,
        /// Its file, as TOML.
        experiment: String,
        /// Folder that its own files are relative to, on the coordinator's machine.
        files: Option<String>,
    },
    /// Makes an invitation.
    Invite {
        /// The federation.
        name: String,
        /// The client that it is for; none: any place that is free.
        client: Option<String>,
    },
    /// Gives up a node's key.
    Revoke {
        /// The federation.
        name: String,
        /// A client of the node.
        client: String,
        /// Why, for people; it is in the run's log.
        reason: String,
    },
    /// Starts, pauses, resumes or stops one.
    Event {
        /// The federation.
        name: String,
        /// The event.
        event: Event,
    },
    /// Tells of one.
    Status {
        /// The federation.
        name: String,
    },
    /// Tells of all.
    List,
}

/// Answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Told {
    /// An invitation: it is shown once.
    Invited(String),
    /// Federations as they are now.
    Federations(Vec<Status>),
}

/// A federation as its administrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its state.
    pub phase: Phase,
    /// When it was made, RFC 3339, UTC.
    pub created: String,
    /// The coordinator's key.
    pub coordinator: PublicKey,
    /// Places of clients.
    pub places: usize,
    /// Rounds in all.
    pub rounds: u32,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
    /// Names of clients that nobody has enrolled as.
    pub missing: Vec<String>,
    /// Invitations that nobody used.
    pub invitations: usize,
    /// Refused requests of nodes by what was wrong with them.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A client of a federation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {
    /// Its name.
    pub client: String,
    /// Its node's key.
    pub key: PublicKey,
    /// Digest of its shard.
    pub shard: Digest,
    /// Examples in it.
    pub examples: u32,
    /// When it enrolled, RFC 3339, UTC.
    pub enrolled: String,
    /// Health of its node.
    pub health: Health,
    /// Seconds since its node asked for work, as of a minute where the server does not answer; none: never.
    pub asked: Option<u64>,
    /// Words of its node about itself, when it asked last.
    pub contact: Option<Contact>,
    /// Jobs of its node by how they ended, as the run's log has them; none before the first round.
    pub jobs: Option<Jobs>,
    /// Entries of the log that its node has cosigned.
    pub cosigned: Option<u64>,
    /// Why its node's key was revoked, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// Health of a node, by when it asked for work last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Within [`LATE`] seconds.
    Fresh,
    /// Within [`SILENT`] seconds.
    Late,
    /// Longer ago, or never.
    Silent,
    /// Its key was given up.
    Revoked,
}

impl Health {
    /// Health of a node that asked so many seconds ago, or never.
    pub fn of(asked: Option<u64>, revoked: bool) -> Health {
        match asked {
            _ if revoked => Health::Revoked,
            Some(ago) if ago <= LATE => Health::Fresh,
            Some(ago) if ago <= SILENT => Health::Late,
            _ => Health::Silent,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Fresh => "fresh",
            Health::Late => "late",
            Health::Silent => "silent",
            Health::Revoked => "revoked",
        }
    }
}

/// A node's question for work, as far as it tells of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Version of the protocol that it spoke.
    pub protocol: u32,
    /// Its program, as it names itself; nobody checks it.
    pub program: String,
    /// Seconds that its clock was ahead of the coordinator's; below 0: behind.
    pub ahead: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::keys::SigningKey;

    #[test]
    fn health_follows_from_the_last_question() {
        let of = |asked| Health::of(asked, false);
        assert_eq!([of(Some(0)), of(Some(LATE))], [Health::Fresh; 2]);
        assert_eq!([of(Some(LATE + 1)), of(Some(SILENT))], [Health::Late; 2]);
        assert_eq!([of(Some(SILENT + 1)), of(None)], [Health::Silent; 2]);
        assert_eq!(Health::of(Some(0), true), Health::Revoked);
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FEDERATION.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        let named = format!("asked within {LATE} s; `late`: within {SILENT} s");
        assert!(docs.contains(&named), "{named}");
    }

    #[test]
    fn an_invitation_is_read_as_it_is_printed() {
        let coordinator = SigningKey::from_seed([1; 32]).public();
        let invitation = Invitation {
            federation: "tiny".into(),
            secret: "abc".into(),
            coordinator,
        };
        let text = invitation.to_string();
        assert_eq!(text.parse::<Invitation>().unwrap(), invitation);
        for bad in ["", "tiny", "tiny:abc", "tiny:abc:xyz", &format!("{text}:x")] {
            let error = bad.parse::<Invitation>().unwrap_err();
            assert!(error.contains("NAME:SECRET:KEY"), "{bad}: {error}");
        }
    }
}

//! The federation that a node joined: an invitation is used once, and shards and rules are fixed from then on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use serde::{Deserialize, Serialize};

use super::deeds::Deed;
use super::link::is_transport;
use super::own::Shard;
use super::{AGAIN, Node};
use crate::protocol::{Brought, Enrol, Invitation, VERSION};
use crate::worker::sleep;
use crate::{Error, Result};
use fedseal_record::rundir::{Plan, write_atomically};

/// Federation that a node joined, as its state folder has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    federation: String,
    coordinator: PublicKey,
    shards: Vec<Brought>,
    site: Digest,
}

/// Federation and coordinator's key of a node that joined one before; none of a new node.
///
/// # Errors
/// A state folder that cannot be read.
pub fn joined(dir: &Path) -> Result<Option<(String, PublicKey)>> {
    let member = membership(dir)?;
    Ok(member.map(|member| (member.federation, member.coordinator)))
}

fn membership(dir: &Path) -> Result<Option<Membership>> {
    let path = dir.join("member.json");
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(canonical::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&path, error)),
    }
}

impl Node<'_> {
    /// Joins the federation, or finds that it did; gives the coordinator's key.
    pub(super) fn join(
        &mut self,
        invitation: Option<&Invitation>,
        stop: &AtomicBool,
    ) -> Result<PublicKey> {
        let shards: Vec<Brought> = self.own.shards.iter().map(Shard::brought).collect();
        let site = Digest::of(self.site.as_bytes());
        if let Some(member) = membership(&self.own.dir)? {
            if member.shards != shards || member.site != site {
                return Err(Error::Refused {
                    what: format!(
                        "shards or rules are others than those that joined federation {}",
                        member.federation
                    ),
                    hint: "a federation's shards and rules are fixed; join another one with another --state"
                        .into(),
                });
            }
            if invitation.is_some_and(|it| it.federation != member.federation) {
                return Err(Error::Refused {
                    what: format!("this state folder is of federation {}", member.federation),
                    hint: "another federation has another --state".into(),
                });
            }
            return Ok(member.coordinator);
        }
        let Some(invitation) = invitation else {
            return Err(Error::Missing {
                what: "an invitation".into(),
                hint: "whoever runs the federation makes one (fedseal federation invite NAME): \
                       --invitation TEXT"
                    .into(),
            });
        };
        let request = Enrol {
            protocol: VERSION,
            secret: invitation.secret.clone(),
            shards: shards.clone(),
            site: self.site.clone(),
        };
        let mut silent = false;
        loop {
            match self.link.enrol(&request) {
                Ok(_) => break,
                Err(error) if is_transport(&error) && !stop.load(Ordering::SeqCst) => {
                    if !silent {
                        self.say(format!("cannot join: {error}; asking again"));
                    }
                    silent = true;
                    sleep(AGAIN, stop);
                }
                Err(error) => return Err(error),
            }
        }
        self.deeds.add(Deed::Enrolled {
            federation: invitation.federation.clone(),
            coordinator: invitation.coordinator,
            shards: shards.clone(),
            site,
        })?;
        let member = Membership {
            federation: invitation.federation.clone(),
            coordinator: invitation.coordinator,
            shards,
            site,
        };
        let path = self.own.dir.join("member.json");
        write_atomically(&path, &canonical::to_vec(&member)?)?;
        self.say(format!("joined federation {}", member.federation));
        Ok(member.coordinator)
    }

    /// Whether a plan is of the coordinator that was joined, and has this node as it joined.
    pub(super) fn agrees(&self, plan: &Plan) -> std::result::Result<(), String> {
        if plan.node != self.coordinator {
            return Err(format!(
                "the plan is by key {}, the invitation was by {}",
                plan.node, self.coordinator
            ));
        }
        for shard in &self.own.shards {
            let brought = shard.brought();
            let Some(planned) = plan.node_of(&shard.name.as_str().into()) else {
                return Err(format!("the plan has no node {}", shard.name));
            };
            let same = planned.key == self.own.key.public()
                && planned.site.as_ref() == Some(&self.own.rules)
                && planned.assignments().all(|assignment| {
                    assignment.shard == brought.shard && assignment.examples == brought.examples
                });
            if !same {
                return Err(format!(
                    "the plan has another key, shard or rules of {} than joined",
                    shard.name
                ));
            }
        }
        Ok(())
    }
}

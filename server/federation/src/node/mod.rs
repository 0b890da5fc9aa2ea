//! A data holder's node: it joins a federation with its key and an invitation, and does the jobs on its own
//! shards, which never leave it. It asks; nobody calls it.
//!
//! - [`link`]: the coordinator, wherever it is. [`follow`]: the run's log, watched and cosigned.
//! - [`cache`]: what was fetched. [`seat`]: a run at the node. [`deeds`]: the node's own log.
//! - `own`: key, shards and rules. `member`: the federation that it joined. `jobs`: each from offer to answer.
//!   `last`: the adapters that the federation ended with.
//!
//! An update is on the disk before it is sent, and stays there until the coordinator has it in its log: a
//! node that is killed trains nothing again that was finished.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_sandbox::CompiledCache;
use fedseal_tuning::Example;

use crate::lab::Lab;
use crate::protocol::{Invitation, Next};
use crate::worker::sleep;
use crate::{Error, Result};
use cache::Cache;
use deeds::{Deed, Deeds};
use fedseal_record::rundir::Plan;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::lifecycle::Phase;
use follow::{Follower, Look};
use link::{Link, is_revoked, is_transport};
pub use member::joined;
pub use own::{Own, Shard, resolved};
use seat::Seat;

pub mod cache;
pub mod deeds;
pub mod follow;
mod jobs;
mod last;
pub mod link;
mod member;
mod own;
pub mod seat;

/// Wait before the coordinator is asked again after it could not be reached, or refused.
const AGAIN: Duration = Duration::from_secs(1);
/// Times that the last adapters are asked for, a second apart: a coordinator may start again meanwhile.
const LAST_TRIES: u32 = 30;
/// Default bound of the cache, bytes.
pub const CACHE_BYTES: u64 = 2 << 30;

/// Opens the model of an experiment.
pub type OpenLab<'a> = &'a (dyn Fn(&Experiment) -> Result<Arc<dyn Lab>> + Sync);

/// A node at work.
pub struct Node<'a> {
    own: Own,
    site: String,
    clients: BTreeSet<ClientId>,
    shards: HashMap<Digest, Arc<Vec<Example>>>,
    coordinator: PublicKey,
    link: &'a dyn Link,
    lab: OpenLab<'a>,
    compiled: Option<CompiledCache>,
    deeds: Deeds,
    cache: Cache,
    follower: Option<Follower>,
    seat: Option<(Digest, Arc<Seat>)>,
    told: &'a (dyn Fn(&str) + Sync),
    /// An update that could not be written to the disk.
    unsaved: BTreeMap<Digest, Vec<u8>>,
    /// A cosigned checkpoint that the coordinator has not heard of.
    unheard: Option<String>,
}

/// Why a job is not done.
enum Not {
    /// The site or the node does not do it: the coordinator hears why.
    Refused(String),
    /// It may work at another time.
    Now(Error),
    /// The node must stop.
    Never(Error),
}

impl From<Error> for Not {
    fn from(error: Error) -> Not {
        Not::Now(error)
    }
}

impl<'a> Node<'a> {
    /// Opens a node's state folder, which is made where there is none, and joins the federation of the
    /// invitation where it has not joined one.
    ///
    /// # Errors
    /// Another process works in the folder; shards or rules that are others than it joined with; an
    /// invitation that the coordinator refuses. Where the coordinator cannot be reached it is asked
    /// again until `stop`.
    pub fn open(
        own: Own,
        invitation: Option<&Invitation>,
        link: &'a dyn Link,
        lab: OpenLab<'a>,
        compiled: Option<CompiledCache>,
        stop: &AtomicBool,
        told: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Node<'a>> {
        for below in ["", "outbox"] {
            let path = own.dir.join(below);
            std::fs::create_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        }
        // The log's lock is the folder's.
        let deeds = Deeds::open(&own.dir.join("log"), &own.key)?;
        let site = toml::to_string(&own.rules).map_err(|error| Error::Data(error.into()))?;
        let cache = Cache::open(&own.dir.join("cache"), own.cache_bytes)?;
        let clients = own.shards.iter().map(|it| it.name.as_str().into());
        let shards = own.shards.iter().map(|it| (it.digest, it.examples.clone()));
        let mut node = Node {
            clients: clients.collect(),
            shards: shards.collect(),
            site,
            coordinator: own.key.public(),
            own,
            link,
            lab,
            compiled,
            deeds,
            cache,
            follower: None,
            seat: None,
            told,
            unsaved: BTreeMap::new(),
            unheard: None,
        };
        node.coordinator = node.join(invitation, stop)?;
        Ok(node)
    }

    fn say(&self, text: impl AsRef<str>) {
        (self.told)(text.as_ref());
    }

    /// Does jobs until the federation is over or `stop` is raised.
    ///
    /// # Errors
    /// [`Error::Refused`] where the coordinator showed two histories: the evidence is kept. [`Error::Sdk`] where
    /// this node's key was revoked.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let (mut silent, mut tries) = (false, 0);
        while !stop.load(Ordering::SeqCst) {
            let next = match self.link.next() {
                Ok(next) => next,
                // Asking again changes nothing.
                Err(error) if is_revoked(&error) => return Err(error),
                Err(error) => {
                    if !silent {
                        self.say(format!("cannot ask for work: {error}; asking again"));
                    }
                    silent = true;
                    sleep(AGAIN, stop);
                    continue;
                }
            };
            silent = false;
            match next {
                Next::Job { plan, job } => self.one(plan, &job, stop)?,
                Next::Idle { phase, plan } => {
                    if let Some(plan) = plan {
                        self.watch(plan)?;
                    }
                    if matches!(phase, Phase::Finished | Phase::Stopped) {
                        if self.unheard.is_some() {
                            sleep(AGAIN, stop);
                            continue;
                        }
                        if phase == Phase::Finished
                            && let Err(error) = self.take_last()
                        {
                            tries += 1;
                            if tries == LAST_TRIES {
                                return Err(error);
                            }
                            sleep(AGAIN, stop);
                            continue;
                        }
                        self.say(format!("the federation is {phase}"));
                        return self.clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks at the log while there is nothing to do; what cannot be had now is had later.
    fn watch(&mut self, plan: Digest) -> Result<()> {
        let looked = self.seat(plan).and_then(|_| self.look());
        let why = match looked {
            Ok(()) => return Ok(()),
            Err(Not::Never(error)) => return Err(error),
            Err(Not::Now(error)) if is_transport(&error) => return Ok(()),
            Err(Not::Now(error)) => error.to_string(),
            Err(Not::Refused(reason)) => reason,
        };
        self.say(format!("cannot watch the log: {why}"));
        Ok(())
    }

    /// The run of a plan, opened at first use.
    fn seat(&mut self, digest: Digest) -> std::result::Result<Arc<Seat>, Not> {
        if let Some((known, seat)) = &self.seat {
            return match *known == digest {
                true => Ok(seat.clone()),
                false => Err(Not::Refused(
                    "the federation has another plan than before".into(),
                )),
            };
        }
        self.cache.fetch(self.link, &digest)?;
        let plan: Plan =
            canonical::from_slice(&self.cache.blobs().get(&digest).map_err(Error::from)?)
                .map_err(Error::from)?;
        self.agrees(&plan).map_err(Not::Refused)?;
        for digest in seat::takes(&plan, &self.clients) {
            self.cache.fetch(self.link, &digest)?;
        }
        let state = &self.own.dir;
        let (memory, evidence) = (state.join("witness"), state.join("evidence"));
        self.follower = Some(Follower::open(&memory, &evidence, &self.own.key, &plan)?);
        let seat = Seat::open(
            plan,
            &self.clients,
            self.cache.blobs(),
            self.lab,
            self.compiled.clone(),
        );
        let seat = seat.map_err(|error| match error {
            Error::Interrupted => Not::Now(Error::Interrupted),
            other => Not::Refused(other.to_string()),
        });
        if seat.is_err() {
            // Its lock goes with it.
            self.follower = None;
        }
        let seat = Arc::new(seat?);
        self.seat = Some((digest, seat.clone()));
        Ok(seat)
    }

    /// Looks at the log, and cosigns what continues it.
    fn look(&mut self) -> std::result::Result<(), Not> {
        let others = self.link.cosigned()?;
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        match follower.look(self.link.log(), &others)? {
            Look::Same => {
                self.hand_over();
                Ok(())
            }
            Look::Grown { note, checkpoint } => {
                self.deeds.add(Deed::Cosigned {
                    origin: checkpoint.origin,
                    size: checkpoint.size,
                    root: checkpoint.root,
                })?;
                self.unheard = Some(note);
                self.hand_over();
                Ok(())
            }
            Look::Forked { evidence, digest } => {
                let origin = self
                    .seat
                    .as_ref()
                    .map(|(_, seat)| seat.plan().origin.clone());
                self.deeds.add(Deed::Forked {
                    origin: origin.unwrap_or_default(),
                    evidence: digest,
                })?;
                Err(Not::Never(Error::Refused {
                    what: "the coordinator showed two histories of its log".into(),
                    hint: format!(
                        "anybody checks the evidence: fedseal log check {} --key {}",
                        evidence.display(),
                        self.coordinator
                    ),
                }))
            }
        }
    }

    /// Hands over the checkpoint that was cosigned last; one that did not arrive is handed over again.
    fn hand_over(&mut self) {
        if let Some(note) = &self.unheard
            && !matches!(self.link.cosign(note), Err(error) if is_transport(&error))
        {
            self.unheard = None;
        }
    }

    /// Forgets updates of rounds that are over.
    fn clear(&self) -> Result<()> {
        let folder = self.own.dir.join("outbox");
        for entry in std::fs::read_dir(&folder).map_err(|source| Error::io(&folder, source))? {
            let path = entry.map_err(|source| Error::io(&folder, source))?.path();
            std::fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
        Ok(())
    }
}

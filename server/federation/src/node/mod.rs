//! A data holder's node: it joins a federation with its key and an invitation, and does the jobs on its own
//! shards, which never leave it. It asks; nobody calls it.
//!
//! - [`link`]: the coordinator, wherever it is. [`follow`]: the run's log, watched and cosigned.
//! - [`cache`]: what was fetched. [`seat`]: a run at the node. [`deeds`]: the node's own log.
//!
//! An update is on the disk before it is sent, and stays there until the coordinator has it in its log: a
//! node that is killed trains nothing again that was finished.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::{PublicKey, SigningKey, TrustStore};
use fedseal_client_sdk::{attestation, canonical};
use fedseal_sandbox::CompiledCache;
use fedseal_tuning::Example;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::own::{How, pairs};
use crate::protocol::{Brought, Enrol, Invitation, Next, VERSION};
use crate::work::desk::Fate;
use crate::work::package::attested;
use crate::work::task::{NodeJob, UpdateTask};
use crate::worker::sleep;
use crate::{Error, Result};
use cache::Cache;
use deeds::{Deed, Deeds};
use fedseal_record::rundir::{Plan, write_atomically};
use fedseal_rules::experiment::{Experiment, MAX_SHARD};
use fedseal_rules::lifecycle::Phase;
use fedseal_rules::site::SiteRules;
use follow::{Follower, Look};
use link::Link;
use seat::Seat;

pub mod cache;
pub mod deeds;
pub mod follow;
pub mod link;
pub mod seat;

/// Wait before the coordinator is asked again after it could not be reached, or refused.
const AGAIN: Duration = Duration::from_secs(1);
/// Default bound of the cache, bytes.
pub const CACHE_BYTES: u64 = 2 << 30;

/// A shard of the node.
pub struct Shard {
    /// Name of its client.
    pub name: String,
    examples: Arc<Vec<Example>>,
    digest: Digest,
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

    fn brought(&self) -> Brought {
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

/// Federation that a node joined, as its state folder has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    federation: String,
    coordinator: PublicKey,
    shards: Vec<Brought>,
    site: Digest,
}

/// Opens the model of an experiment.
pub type OpenLab<'a> = &'a (dyn Fn(&Experiment) -> Result<Arc<dyn Lab>> + Sync);

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
        };
        node.coordinator = node.join(invitation, stop)?;
        Ok(node)
    }

    fn say(&self, text: impl AsRef<str>) {
        (self.told)(text.as_ref());
    }

    /// Joins the federation, or finds that it did; gives the coordinator's key.
    fn join(&mut self, invitation: Option<&Invitation>, stop: &AtomicBool) -> Result<PublicKey> {
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

    /// Does jobs until the federation is over or `stop` is raised.
    ///
    /// # Errors
    /// [`Error::Refused`] where the coordinator showed two histories: the evidence is kept.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut silent = false;
        while !stop.load(Ordering::SeqCst) {
            let next = match self.link.next() {
                Ok(next) => next,
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

    /// Does one job, or tells why not.
    fn one(&mut self, plan: Digest, job: &NodeJob, stop: &AtomicBool) -> Result<()> {
        let task = &job.update;
        let short = task.key.short();
        let done = self.attempt(plan, job, stop);
        match done {
            Ok(fate) => {
                let words = format!("{fate:?}").to_lowercase();
                self.say(format!(
                    "round {} of {}: sent ({words})",
                    task.round, task.client
                ));
                Ok(())
            }
            Err(Not::Never(error)) => Err(error),
            Err(Not::Now(Error::Interrupted)) => Ok(()),
            Err(Not::Now(error)) => {
                self.say(format!("job {short}: {error}; trying again"));
                sleep(AGAIN, stop);
                Ok(())
            }
            Err(Not::Refused(reason)) => {
                self.say(format!("job {short} refused: {reason}"));
                self.deeds.add(Deed::Refused {
                    job: task.key,
                    reason: reason.clone(),
                })?;
                if let Err(error) = self.link.refuse(&task.key, &reason) {
                    self.say(format!("job {short}: {error}"));
                    sleep(AGAIN, stop);
                }
                Ok(())
            }
        }
    }

    fn attempt(
        &mut self,
        plan: Digest,
        job: &NodeJob,
        stop: &AtomicBool,
    ) -> std::result::Result<Fate, Not> {
        let task = &job.update;
        let seat = self.seat(plan)?;
        self.look()?;
        if !self.clients.contains(&task.client) {
            return Err(Not::Refused(format!("{} is not here", task.client)));
        }
        if let Some(follower) = &self.follower {
            follower
                .follows(seat.experiment(), task)
                .map_err(|error| Not::Refused(error.to_string()))?;
        }
        let package = match self.made(&task.key)? {
            Some(package) => package,
            None => self.make(&seat, job, stop)?,
        };
        self.write_down(task, &package)?;
        self.send(&task.key, &package)
    }

    /// Writes an execution down before anything of it is sent; also one that a crash kept from that.
    fn write_down(&mut self, task: &UpdateTask, package: &[u8]) -> Result<()> {
        if self.deeds.has_executed(&task.key) {
            return Ok(());
        }
        let statement = attested(package);
        let statement = statement
            .ok_or_else(|| Error::tampered("an update", "has no statement of this node"))?;
        let envelope = Envelope::from_bytes(&statement)?;
        let verified = attestation::verify(&envelope, &[self.own.key.public()])?;
        self.deeds.add(Deed::Executed {
            job: task.key,
            client: task.client.clone(),
            round: task.round,
            attestation: verified.digest,
            update: verified.predicate.update,
        })
    }

    /// The package of a job that was executed before.
    fn made(&self, key: &Digest) -> Result<Option<Vec<u8>>> {
        if let Some(package) = self.unsaved.get(key) {
            return Ok(Some(package.clone()));
        }
        let path = self.outbox(key);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, error)),
        }
    }

    fn outbox(&self, key: &Digest) -> PathBuf {
        self.own.dir.join("outbox").join(format!("{key}.tar"))
    }

    /// Executes a job; the result is on the disk before anything else is done with it.
    fn make(
        &mut self,
        seat: &Arc<Seat>,
        job: &NodeJob,
        stop: &AtomicBool,
    ) -> std::result::Result<Vec<u8>, Not> {
        let task = &job.update;
        loop {
            let wants = seat.wants(task)?;
            let missing: Vec<Digest> = wants
                .iter()
                .filter(|it| !self.cache.blobs().contains(it))
                .copied()
                .collect();
            if missing.is_empty() {
                let mut needed = seat::takes(seat.plan(), &self.clients);
                needed.extend(wants);
                self.cache.shrink(&needed)?;
                break;
            }
            for digest in missing {
                self.cache.fetch(self.link, &digest)?;
            }
        }
        let ended = AtomicBool::new(false);
        let made = std::thread::scope(|scope| {
            // Training that takes minutes hears of a stop within a step.
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    if stop.load(Ordering::SeqCst) {
                        seat.stop();
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let made = seat.perform(task, &self.shards, &self.own.key);
            ended.store(true, Ordering::SeqCst);
            made
        });
        let made = made.map_err(|error| match error {
            Error::Interrupted => Not::Now(Error::Interrupted),
            other => Not::Refused(other.to_string()),
        })?;
        if let Err(error) = write_atomically(&self.outbox(&task.key), &made) {
            self.say(format!("the update is not on the disk: {error}"));
            self.unsaved.insert(task.key, made.clone());
        }
        Ok(made)
    }

    /// Sends what came of a job. What the coordinator has in its log is forgotten here.
    fn send(&mut self, key: &Digest, package: &[u8]) -> std::result::Result<Fate, Not> {
        let fate = match self.link.deliver(key, package) {
            Err(error) if !is_transport(&error) => return Err(Not::Refused(error.to_string())),
            other => other?,
        };
        // The coordinator has started anew, or has no room: what is offered again is sent again.
        if matches!(fate, Fate::Busy | Fate::Unknown) {
            return Err(Not::Now(Error::Refused {
                what: "the coordinator could not take the update".into(),
                hint: "it is sent again".into(),
            }));
        }
        self.deeds.add(Deed::Sent {
            job: *key,
            package: Digest::of(package),
            fate,
        })?;
        self.unsaved.remove(key);
        let path = self.outbox(key);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, error).into())
            }
            _ => Ok(fate),
        }
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

    /// Whether a plan is of the coordinator that was joined, and has this node as it joined.
    fn agrees(&self, plan: &Plan) -> std::result::Result<(), String> {
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

    /// Looks at the log, and cosigns what continues it.
    fn look(&mut self) -> std::result::Result<(), Not> {
        let others = self.link.cosigned()?;
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        match follower.look(self.link.log(), &others)? {
            Look::Same => Ok(()),
            Look::Grown { note, checkpoint } => {
                self.deeds.add(Deed::Cosigned {
                    origin: checkpoint.origin,
                    size: checkpoint.size,
                    root: checkpoint.root,
                })?;
                // It is handed over again with the next one.
                let _ = self.link.cosign(&note);
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

/// Whether an error says that the coordinator could not be reached, or is not ready.
fn is_transport(error: &Error) -> bool {
    use fedseal_client_sdk::Error as Sdk;
    match error {
        Error::Sdk(Sdk::Http { .. }) => true,
        Error::Sdk(Sdk::Refused { status, .. }) => *status >= 500 || [408, 429].contains(status),
        _ => false,
    }
}

//! The run's side of jobs at nodes: they are offered, what comes is held against everything that an auditor
//! will ask of it, and only then it reaches the log. A node that lies so that it shows is refused here; it
//! must not be able to spoil the run for its verifiers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_data::check::DataCheck;
use fedseal_ledger::{Blobs, OpenBlob};

use super::evidence::{Evidence, Stated};
use super::stated::{Asked, named};
use super::{Run, Shared, collect};
use crate::protocol::Jobs;
use crate::work::desk::{Desk, Fate, Over};
use crate::work::package::{Outcome, Package, wrong};
use crate::work::task::{NodeJob, UpdateTask, plan_takes};
use crate::{Error, Result};
use fedseal_record::basis;
use fedseal_record::claims::{Claims, Scores};
use fedseal_record::read::{Held, read_adapter};
use fedseal_record::site::Ruled;

/// How long a delivery waits for its place in the log.
const RECORDING: Duration = Duration::from_secs(30);
/// Blobs that are open at once for nodes that fetch them, at most; then all are closed.
const OPEN: usize = 64;
/// Longest attestation of a node, bytes: most of it is lineage.
const LONGEST_ENVELOPE: usize = 8 << 20;
/// Longest reason and longest detail of a failure that a node states, bytes: a verdict repeats them in the
/// log, whose entries are short.
const LONGEST_REASON: [usize; 2] = [64, 4096];

/// A run's jobs for the nodes of data holders.
pub struct Gathering {
    desk: Arc<Desk<Evidence>>,
    shared: Arc<Shared>,
    plan: Digest,
    blobs: Blobs,
    /// Blobs that a node may fetch.
    allowed: Mutex<HashSet<Digest>>,
    /// Blobs that are being fetched: one that goes in pieces is hashed once.
    open: Mutex<HashMap<Digest, Arc<OpenBlob>>>,
}

/// Blobs of a package, and those of the run.
struct Both<'a> {
    package: &'a Package,
    blobs: &'a Blobs,
}

impl Held for Both<'_> {
    fn bytes(&self, digest: &Digest) -> fedseal_record::Result<Vec<u8>> {
        match self.package.blobs.get(digest) {
            Some(bytes) => Ok(bytes.clone()),
            None => Ok(self.blobs.get(digest)?),
        }
    }

    fn has(&self, digest: &Digest) -> bool {
        self.package.blobs.contains_key(digest) || self.blobs.contains(digest)
    }
}

impl Run {
    /// Offers the run's updates to the nodes of its plan. `wake` is called when there may be something for
    /// one of them.
    ///
    /// # Errors
    /// A plan without a canonical form; an attestation that cannot be read.
    pub fn gather(&mut self, wake: impl Fn() + Send + Sync + 'static) -> Result<Gathering> {
        let (mut over, mut ends) = (Vec::new(), Vec::new());
        for update in self.state.updates.values() {
            let id = update.attestation;
            let attested = self.cache.attested(&self.blobs, &id, &self.shared.plan)?;
            let absent = basis::Basis::of(&self.shared.plan, &attested) == basis::Basis::Absent;
            if let Some(node) = self.shared.plan.node_of(&attested.client) {
                ends.push((node.key, collect::end(&attested, absent)));
            }
            let of = Over {
                attestation: id,
                absent,
            };
            over.push((update.key, of));
        }
        let desk = Arc::new(Desk::new(over, wake));
        for (node, end) in ends {
            desk.count(node, end);
        }
        self.desk = Some(desk.clone());
        let plan = Digest::of_json(&self.shared.plan)?;
        let mut allowed: HashSet<Digest> = plan_takes(&self.shared.plan).collect();
        allowed.insert(plan);
        Ok(Gathering {
            desk,
            shared: self.shared.clone(),
            plan,
            blobs: self.blobs.clone(),
            allowed: Mutex::new(allowed),
            open: Mutex::default(),
        })
    }
}

impl Gathering {
    /// Digest of the run's plan.
    pub fn plan(&self) -> Digest {
        self.plan
    }

    fn allowed(&self) -> MutexGuard<'_, HashSet<Digest>> {
        let locked = self.allowed.lock();
        locked.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next job of a node; none where there is none for it now.
    ///
    /// # Errors
    /// Control variates that cannot be read.
    pub fn offer(&self, node: &PublicKey) -> Result<Option<NodeJob>> {
        let Some(job) = self.desk.offer(node) else {
            return Ok(None);
        };
        self.allowed()
            .extend(job.update.takes_at_node(&self.blobs)?);
        Ok(Some(job))
    }

    /// A blob that nodes need: of the plan, or of a job that was offered.
    ///
    /// # Errors
    /// [`Error::Missing`] for any other; [`Error::Ledger`] for one that was changed.
    pub fn blob(&self, digest: &Digest) -> Result<Arc<OpenBlob>> {
        if !self.allowed().contains(digest) {
            return Err(Error::Missing {
                what: format!("blob {digest}"),
                hint: "nodes fetch what their jobs name".into(),
            });
        }
        // Held while it is hashed: of many nodes that ask for a new adapter at once, one has it hashed.
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = open.get(digest).filter(|found| found.is_unchanged()) {
            return Ok(found.clone());
        }
        let blob = Arc::new(self.blobs.opened(digest)?);
        if open.len() >= OPEN {
            open.clear();
        }
        open.insert(*digest, blob.clone());
        Ok(blob)
    }

    /// Takes a node's update of the job with this key. When it is [`Fate::Recorded`], it is in the log.
    ///
    /// # Errors
    /// [`Error::Tampered`] for one that does not hold; nothing of it is kept.
    pub fn deliver(&self, node: &PublicKey, key: &Digest, package: &[u8]) -> Result<Fate> {
        let package = Package::from_bytes(package)?;
        let Outcome::Attested { attestation, log } = &package.outcome else {
            return Err(wrong("it is of another kind than the task"));
        };
        let task = match self.desk.begin(node, key, *attestation) {
            Ok(task) => task,
            Err(fate) => return Ok(fate),
        };
        match self.held(node, &task, *attestation, log, &package) {
            Ok(evidence) => Ok(self.desk.record(key, *attestation, evidence, RECORDING)),
            Err(error) => {
                self.desk.give_up(key);
                Err(error)
            }
        }
    }

    /// Takes a node's refusal of the job with this key; false where it is not open for this node.
    pub fn refuse(&self, node: &PublicKey, key: &Digest, reason: &str) -> bool {
        self.desk
            .refuse(node, key, &plain(reason, LONGEST_REASON[1]))
    }

    /// Gives up a node's key: none of its jobs is waited for, and nothing that comes of it counts.
    pub fn revoke(&self, node: &PublicKey, reason: &str) {
        self.desk.revoke(node, &plain(reason, LONGEST_REASON[1]));
    }

    /// Jobs of the round that wait for their nodes, and jobs without an update.
    pub fn jobs(&self) -> (usize, usize) {
        (self.desk.waiting(), self.desk.left())
    }

    /// Jobs of each node by how they ended so far, as the run's log has it.
    pub fn ends(&self) -> BTreeMap<PublicKey, Jobs> {
        self.desk.ends()
    }

    /// Holds a delivery against the task, and against all that a verifier of the run will ask of it.
    fn held(
        &self,
        node: &PublicKey,
        task: &UpdateTask,
        attestation: Digest,
        log: &[String],
        package: &Package,
    ) -> Result<Evidence> {
        let Shared {
            plan, experiment, ..
        } = &*self.shared;
        let bytes = package.blob(&attestation)?;
        if bytes.len() > LONGEST_ENVELOPE {
            return Err(wrong(format!(
                "its attestation has more than {LONGEST_ENVELOPE} bytes"
            )));
        }
        let predicate = basis::verified(plan, &Envelope::from_bytes(bytes)?)?;
        let global = Arc::new(read_adapter(&self.blobs, &task.global)?);
        let asked = Asked {
            plan,
            task,
            global: &global,
            node: *node,
        };
        let log = lines(log, experiment.limits.log_total_bytes);
        let mut stated = asked.stated(&predicate, &log, package)?;
        bounded(&predicate)?;
        let names = named(&predicate, attestation);
        if let Some(extra) = package.blobs.keys().find(|it| !names.contains(it)) {
            return Err(wrong(format!("nothing names its blob {extra}")));
        }
        let both = Both {
            package,
            blobs: &self.blobs,
        };
        let claims = Claims {
            plan,
            experiment,
            held: &both,
        };
        claims.transcript(&attestation, &predicate)?;
        let judge = DataCheck::built_in(&experiment.data.source);
        if let Some(problem) = claims.problem(&predicate, judge, &mut Scores::new())? {
            return Err(wrong(format!("it {problem}")));
        }
        if let Some(rules) = plan.site(experiment, &task.client) {
            let ruled = Ruled {
                rules,
                plan,
                own: &experiment.limits,
                held: &both,
            };
            if let Some(problem) = ruled.problem(&attestation, &predicate, task.shard)? {
                return Err(wrong(problem));
            }
        }
        // What the run has already is not stored again.
        stated.blobs.retain(|blob| blob.digest() != task.global);
        Ok(Stated::attested(stated, attestation))
    }
}

/// Refuses a failure whose words do not fit into the log.
fn bounded(predicate: &UpdatePredicate) -> Result<()> {
    let Some(failure) = &predicate.failure else {
        return Ok(());
    };
    let lengths = [failure.reason.len(), failure.detail.len()];
    match lengths
        .iter()
        .zip(LONGEST_REASON)
        .all(|(is, most)| *is <= most)
    {
        true => Ok(()),
        false => Err(wrong(format!(
            "its failure has {} and {} bytes of words, at most {} and {} are logged",
            lengths[0], lengths[1], LONGEST_REASON[0], LONGEST_REASON[1]
        ))),
    }
}

/// Log lines as they are shown: without control characters, so many bytes in all.
fn lines(log: &[String], most: u64) -> Vec<String> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    for line in log {
        if line.len() > left {
            break;
        }
        left -= line.len();
        kept.push(plain(line, line.len()));
    }
    kept
}

/// A stranger's words without control characters, cut after so many characters.
fn plain(words: &str, most: usize) -> String {
    let printed = words.chars().filter(|c| !c.is_control());
    printed.take(most).collect()
}

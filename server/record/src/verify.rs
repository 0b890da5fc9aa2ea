//! Offline verification of a run from its folder alone: no model, no network, no key but the node's
//! public one that `run.json` pins (compare it with the one you know).
//!
//! In this order: the plan; the log (signed checkpoint, every tile and entry, the records' order);
//! every blob (its bytes, that it is referred to, that none is missing); no other file; modules,
//! attestations, transcripts, the claims of each about its data; the values that sampling, seeds,
//! learning rates and memo keys must have; verdicts against the facts they name; every aggregation
//! computed again (a device's within a bound); hits and counts taken again from answers; the report made
//! again and compared. Nothing is computed again by a formula that this program has in another version than
//! the run.
//! Checks that need a model (that the module gives this update, that an adapter gives these answers)
//! are for the replay in federation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::module;
use fedseal_client_sdk::tlog::{Checkpoint, leaf_hash, origin_names, verify_inclusion};
use fedseal_ledger::{Blobs, LogReader, fsck};
use serde::Serialize;

use crate::basis::Basis;
use crate::controls;
use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::formulas;
use crate::judged;
use crate::opened::{self, OpenRun};
use crate::read::{read_examples, read_experiment};
use crate::references::references;
use crate::rundir::{Assignment, Plan, PlannedClient, RunDir};
use fedseal_rules::attack::{self, BENIGN};
use fedseal_rules::formulas::{Others, Versions};
use fedseal_rules::sampling::client_name;

mod authors;
mod behaviour;
mod claims;
mod nodes;
mod own;
mod results;
mod rounds;
mod site;

pub use authors::authors;
pub use behaviour::Held;

/// Counts of what was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The run's name.
    pub run: String,
    /// The node's public key, under which everything verified. Compare it with the one you know.
    pub node: String,
    /// The keys before it, nearest first: each named its successor, both signed.
    pub node_before: Vec<PublicKey>,
    /// Log entries.
    pub entries: u64,
    /// The log's Merkle root.
    pub root: Digest,
    /// Attested updates whose signatures, digests, transcripts and lineage hold.
    pub updates: u64,
    /// How many of these are attested by a data holder's node alone, whose shard is not here.
    #[serde(skip_serializing_if = "is_none")]
    pub attested: u64,
    /// Updates that no node delivered in time, by the coordinator's word.
    #[serde(skip_serializing_if = "is_none")]
    pub absent: u64,
    /// Verdicts that agree with their facts.
    pub verdicts: u64,
    /// Aggregations that were computed again and gave the same digest, or a device's aggregate but for
    /// rounding.
    pub aggregations: u64,
    /// How many aggregations are a device's.
    #[serde(skip_serializing_if = "is_none")]
    pub on_device: u64,
    /// Evaluations whose counts were taken again from the answers.
    pub evaluations: u64,
    /// Blobs, each re-hashed and referenced.
    pub blobs: u64,
    /// Formulas of which this program has another version: nothing was computed again by them.
    #[serde(skip_serializing_if = "Others::is_empty")]
    pub not_computed: Others,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Verifies the run in `dir` and changes nothing in it. Fails for an unfinished or empty folder, with
/// an error that says so.
///
/// # Errors
/// [`Error::Tampered`] names the first bad item with its digests, by its path below the folder;
/// [`Error::RunDir`] where there is no finished run.
pub fn verify(dir: impl AsRef<Path>) -> Result<VerifyReport> {
    verify_by(dir, &Versions::here())
}

/// As [`verify()`], by a program that has its formulas in these versions. By a formula of another version
/// than the run's nothing is computed again; [`VerifyReport::not_computed`] lists it.
///
/// # Errors
/// As [`verify()`].
pub fn verify_by(dir: impl AsRef<Path>, here: &Versions) -> Result<VerifyReport> {
    let dir = RunDir::new(dir.as_ref());
    let root = dir.root.clone();
    whole(dir, here).map_err(|error| error.below(&root))
}

fn whole(dir: RunDir, here: &Versions) -> Result<VerifyReport> {
    if !dir.root.is_dir() {
        return Err(Error::RunDir {
            dir: dir.root,
            problem: "no such folder".into(),
        });
    }
    let plan = dir.read_plan()?;
    let head = files_of_log(&dir, &plan)?;
    let log = LogReader::open(dir.log(), &plan.node)?;
    let state = opened::fold(&plan, proved_entries(&log, &head))?;
    if !state.closed {
        return Err(Error::RunDir {
            dir: dir.root,
            problem: format!(
                "the run is not finished ({} log entries, none closes it); go on with --resume",
                head.size
            ),
        });
    }
    let plan_digest = opened::hold(&plan, state.plan)?;
    let blobs = Blobs::existing(dir.blobs())?;
    let experiment = read_experiment(&dir, &plan)?;
    let others = formulas::others(&plan, &experiment, here)?.without_texts();
    // Not opened as elsewhere: every file of the log comes before the first record that is believed.
    let mut run = OpenRun {
        dir,
        plan,
        experiment,
        log,
        state,
        blobs,
        evidence: Cache::default(),
    };
    let blob_count = run.blobs(plan_digest)?;
    run.files()?;
    let node_before = run.rotations()?;
    run.modules()?;
    run.clients()?;
    run.transcripts()?;
    run.claims(&others)?;
    run.site()?;
    let (verdicts, aggregations) = run.rounds(&others)?;
    let evaluations = run.evaluations(&others)?;
    run.canaries()?;
    run.defences(&others)?;
    run.reported(head.size, &others)?;
    judged::read(&mut run)?;
    let attested = run.resting_on(Basis::Attested)?;
    let absent = run.resting_on(Basis::Absent)?;
    Ok(VerifyReport {
        run: run.plan.run.clone(),
        node: run.plan.node.to_string(),
        node_before,
        entries: head.size,
        root: head.root,
        updates: run.state.updates.len() as u64,
        attested,
        absent,
        verdicts,
        aggregations,
        on_device: run.on_device(),
        evaluations,
        blobs: blob_count,
        not_computed: others,
    })
}

impl OpenRun {
    /// Number of aggregations by a device.
    fn on_device(&self) -> u64 {
        let rounds = self.state.arms.values().flatten();
        rounds.filter(|round| round.device().is_some()).count() as u64
    }
}

/// Every file of the log, and its signed head, which is returned.
fn files_of_log(dir: &RunDir, plan: &Plan) -> Result<Checkpoint> {
    let folder = dir.log();
    if folder.join("checkpoint").symlink_metadata().is_err() {
        return Err(Error::RunDir {
            dir: dir.root.clone(),
            problem: "the log has no checkpoint: the run was not begun or its log was taken away"
                .into(),
        });
    }
    let checked = fsck(&folder, &plan.node)?;
    let head = &checked.checkpoint;
    if head.origin != plan.origin {
        return Err(opened::other_origin(&head.origin, plan));
    }
    if plan.counts_failures() && !origin_names(&plan.origin, &plan.node) {
        return Err(Error::tampered(
            "run.json",
            format!(
                "its log's origin `{}` is not one of node key {}",
                plan.origin, plan.node
            ),
        ));
    }
    if let Some(extra) = checked.extra.first() {
        return Err(Error::tampered(
            format!("log/{}", extra.display()),
            "is no file of the log",
        ));
    }
    if let Ok(found) = folder.join("lock").symlink_metadata()
        && (!found.is_file() || found.len() > 0)
    {
        return Err(Error::tampered("log/lock", "is not an empty file"));
    }
    Ok(checked.checkpoint)
}

/// The log's entries one after another, each proved to be under the head.
fn proved_entries(log: &LogReader, head: &Checkpoint) -> impl Iterator<Item = Result<Vec<u8>>> {
    (0..head.size).map(move |index| {
        let bytes = log.entry(index)?;
        let proof = log.prove_inclusion(index, head.size)?;
        verify_inclusion(leaf_hash(&bytes), index, head.size, &proof, head.root)
            .map_err(|error| Error::tampered(format!("log entry {index}"), error))?;
        Ok(bytes)
    })
}

/// Steps of the verification. Each assumes that those before it held.
impl OpenRun {
    /// Every blob: its bytes, that something refers to it, that none is missing.
    fn blobs(&mut self, plan_digest: Digest) -> Result<u64> {
        let present: BTreeSet<Digest> = self.blobs.verified()?.into_keys().collect();
        let mut attested = Vec::new();
        for (id, update) in self
            .state
            .attestations
            .iter()
            .map(|(id, key)| (*id, self.state.updates.get(key)))
        {
            if !present.contains(&id) {
                return Err(missing(&id, "an attestation"));
            }
            let predicate = self.evidence.attested(&self.blobs, &id, &self.plan)?;
            if let Some(update) = update
                && (update.client != predicate.client
                    || update.round != predicate.round
                    || update.update != predicate.update)
            {
                return Err(Error::tampered(
                    format!("log entry {}", update.entry),
                    format!("says something else than attestation {id}"),
                ));
            }
            attested.push(predicate);
        }
        let wanted = references(
            plan_digest,
            &self.plan,
            &self.state,
            attested.iter().map(AsRef::as_ref),
            &controls::all(&self.blobs, &self.state)?,
        );
        if let Some((digest, what)) = wanted.iter().find(|(digest, _)| !present.contains(digest)) {
            return Err(missing(digest, what));
        }
        if let Some(digest) = present.iter().find(|digest| !wanted.contains_key(digest)) {
            return Err(Error::tampered(
                format!("blob {digest}"),
                "is referred to by nothing in the log",
            ));
        }
        Ok(present.len() as u64)
    }

    /// How many updates rest on this.
    fn resting_on(&mut self, basis: Basis) -> Result<u64> {
        if !self.plan.has_nodes() {
            return Ok(0);
        }
        let mut count = 0;
        for id in self.state.attestations.keys() {
            let attested = self.evidence.attested(&self.blobs, id, &self.plan)?;
            count += u64::from(Basis::of(&self.plan, &attested) == basis);
        }
        Ok(count)
    }

    /// No file besides the run's own. (The log's and the blobs' folders check their own names.)
    fn files(&self) -> Result<()> {
        let known = [
            "run.json",
            "experiment.toml",
            "report.json",
            "events.jsonl",
            "log",
            "blobs",
        ];
        let mut names = self.dir.names()?;
        // Judgements come after the run: they are checked where there are some.
        names.retain(|name| name != judged::FOLDER);
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::tampered(name, "is no file of a run"));
        }
        if let Some(name) = known.iter().find(|name| !names.iter().any(|n| n == *name)) {
            return Err(Error::tampered(*name, "is missing"));
        }
        Ok(())
    }

    /// Every module's signature by an author that the node trusted.
    fn modules(&self) -> Result<()> {
        for planned in &self.plan.modules {
            if self.state.modules.get(&planned.digest) != Some(&planned.envelope) {
                return Err(Error::tampered(
                    format!("module {}", planned.name),
                    "is not registered in the log",
                ));
            }
            let bytes = self.blobs.get(&planned.digest)?;
            let item = || format!("signature {} of module {}", planned.envelope, planned.name);
            let envelope = Envelope::from_bytes(&self.blobs.get(&planned.envelope)?)
                .map_err(|error| Error::tampered(item(), error))?;
            let verified = module::verify(&bytes, &envelope, &self.plan.trusted_authors())
                .map_err(|error| Error::tampered(item(), error))?;
            if verified.signer != planned.signer || verified.predicate.name != planned.name {
                return Err(Error::tampered(
                    item(),
                    "is of another signer or name than run.json says",
                ));
            }
        }
        if self.state.modules.len() != self.plan.modules.len() {
            return Err(Error::tampered(
                "log",
                "registers a module that run.json does not name",
            ));
        }
        Ok(())
    }

    /// Checks that the attackers of the run and of its arms follow from the seed, and each client's module
    /// and data from its kind.
    fn clients(&self) -> Result<()> {
        let clients = self.experiment.federation.clients;
        if self.plan.clients.len() != clients {
            return Err(Error::tampered(
                "run.json",
                "has another number of clients than the experiment",
            ));
        }
        if !self.experiment.clients.is_empty() {
            return self.own_clients();
        }
        let whole = self.experiment.attackers();
        let kinds = whole.among(self.plan.seed.0, clients);
        let arms = self.experiment.all_arms()?;
        let own: Vec<(&str, Vec<&str>)> = arms
            .iter()
            .filter_map(|arm| {
                let attackers = arm.own_attackers(whole)?;
                Some((arm.id.as_str(), attackers.among(self.plan.seed.0, clients)))
            })
            .collect();
        for (index, (planned, kind)) in self.plan.clients.iter().zip(kinds).enumerate() {
            // An arm in which its kind is another one is there, and no other.
            let parts: BTreeMap<&str, &str> = own
                .iter()
                .filter_map(|(arm, kinds)| Some((*arm, *kinds.get(index)?)))
                .filter(|(_, own)| *own != kind)
                .collect();
            let named = planned.arms.iter();
            let named: BTreeMap<&str, &str> = named
                .map(|(arm, part)| (arm.as_str(), part.kind.as_str()))
                .collect();
            let fits = |kind: &str, assignment: &Assignment| self.fits(planned, kind, assignment);
            let brought = self.brought(planned)?;
            let agrees = planned.client.as_str() == client_name(index)
                && planned.kind == kind
                && named == parts
                && !planned.absent
                && !planned.node
                && brought
                && fits(BENIGN, &planned.honest)
                && fits(kind, &planned.attacked)
                && planned
                    .arms
                    .values()
                    .all(|part| fits(&part.kind, &part.assignment));
            if !agrees {
                return Err(Error::tampered(
                    format!("client {} in run.json", planned.client),
                    "is not what the seed and the experiment give",
                ));
            }
            self.registered(planned)?;
        }
        Ok(())
    }

    /// Checks that each of a client's shards is registered in the log, and has the examples that the plan
    /// says.
    fn registered(&self, planned: &PlannedClient) -> Result<()> {
        for assignment in planned.assignments() {
            let entry = (planned.client.clone(), assignment.shard);
            if !self.state.clients.contains(&entry) {
                return Err(Error::tampered(
                    format!("client {}", planned.client),
                    "is not registered in the log",
                ));
            }
            // A node keeps its shard: its size is its word.
            if planned.node {
                continue;
            }
            let examples = read_examples(&self.blobs, &assignment.shard)?;
            if examples.len() as u64 != u64::from(assignment.examples) {
                return Err(Error::tampered(
                    format!("shard {}", assignment.shard),
                    "has another number of examples than run.json says",
                ));
            }
        }
        Ok(())
    }

    /// Whether an assignment is one of a client of this kind: its module, whether its shard is the honest
    /// one, whether it brings examples. Two assignments of one kind are the same.
    fn fits(&self, planned: &PlannedClient, kind: &str, assignment: &Assignment) -> bool {
        let attack = attack::kind(kind);
        let module = attack.map_or(BENIGN, |attack| attack.module);
        let poisoned = attack.is_some_and(|attack| attack.poisoned);
        let hands_in = attack.is_some_and(|attack| attack.hands_in());
        let of_kind = planned.arms.values().filter(|part| part.kind == kind);
        self.plan.module_name(&assignment.module) == Some(module)
            && (assignment.shard == planned.honest.shard) != poisoned
            && assignment.attachment.is_some() == hands_in
            && of_kind
                .into_iter()
                .all(|part| part.assignment == *assignment)
    }

    /// Whether a client brings the same examples in whatever kind brings any, after that kind's settings.
    fn brought(&self, planned: &PlannedClient) -> Result<bool> {
        let arms = planned.arms.values();
        let arms = arms.map(|part| (part.kind.as_str(), &part.assignment));
        let mut first = None;
        for (kind, assignment) in [(planned.kind.as_str(), &planned.attacked)]
            .into_iter()
            .chain(arms)
        {
            let Some(attachment) = assignment.attachment else {
                continue;
            };
            let attack = attack::kind(kind);
            let settings = attack.map(|attack| attack.attached(Vec::new()));
            let unaligned = match settings.filter(|settings| !settings.is_empty()) {
                None => attachment,
                Some(settings) => {
                    let examples = read_examples(&self.blobs, &attachment)?;
                    let Some(rest) = examples.strip_prefix(settings.as_slice()) else {
                        return Ok(false);
                    };
                    if attack.is_some_and(|attack| !attack.brings) {
                        match rest.is_empty() {
                            true => continue,
                            false => return Ok(false),
                        }
                    }
                    Digest::of(&canonical::to_vec(rest)?)
                }
            };
            if *first.get_or_insert(unaligned) != unaligned {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn missing(digest: &Digest, what: &str) -> Error {
    Error::tampered(
        format!("blob {digest}"),
        format!("is missing; it is {what}"),
    )
}

/// Error of a record of a round that is in its place in the log but does not say what it must.
fn disagrees(arm: &str, round: u32, problem: impl Into<fedseal_client_sdk::Source>) -> Error {
    Error::tampered(format!("round {} of arm {arm}", Round(round)), problem)
}

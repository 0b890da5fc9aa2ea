//! State folder of a coordinator: one folder a federation.
//!
//! ```text
//! NAME/federation.toml   the federation's file, every key
//! NAME/state.json        state, invitations (hashed), nodes
//! NAME/changes-N.jsonl   what has changed since, one JSON object a line
//! NAME/journal.jsonl     enrolments, changes, refused requests
//! NAME/evidence/         statements by one key that contradict each other
//! NAME/cosigned/         the checkpoint that each node cosigned last
//! NAME/heard/            one file a node: what it told when it asked for work, as of a minute
//! NAME/jobs.json         how the jobs of each node ended, by the run's log
//! ```
//!
//! Commands of the administrator and a running server may work on one folder: each change is made under a
//! lock, and everybody reads on where they were.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;

use super::journal::{self, Tally};
use crate::protocol::{Contact, Enrol, Enrolled, Health, Invitation, Jobs, NodeStatus, Status};
use crate::{Error, Result};
use book::Book;
use fedseal_record::rundir::{is_name, now, write_atomically};
use fedseal_rules::experiment::{ClientConfig, Experiment, ModulePlace};
use fedseal_rules::lifecycle::{Event, Phase};
use places::{admit, missing, open_for_nodes, place, refused, whole};
use state::{Change, FORMAT, Notes};
pub use state::{Federation, Invited, Joined, Standing};

mod book;
mod cosigned;
mod heard;
mod jobs;
mod places;
mod state;

/// Invitations of a federation, at most.
const MOST_INVITATIONS: usize = 100_000;
/// Files of evidence of a federation, at most.
const MOST_EVIDENCE: usize = 1000;

/// The state folder.
#[derive(Clone, Debug)]
pub struct Books {
    root: PathBuf,
    /// Shared by all clones of these books, as what follows is.
    books: Arc<Mutex<BTreeMap<String, Book>>>,
    notes: Arc<Mutex<Notes>>,
    tallies: Arc<Mutex<BTreeMap<String, Tally>>>,
    heard: Arc<heard::Heard>,
}

/// 256 random bits, hex.
fn secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        path: "entropy of the system".into(),
        source: std::io::Error::other(error),
    })?;
    Ok(Digest(bytes).to_string())
}

impl Books {
    /// The state folder, which is made where there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&root)
            .map_err(|source| Error::io(&root, source))?;
        Ok(Books {
            root,
            books: Arc::default(),
            notes: Arc::default(),
            tallies: Arc::default(),
            heard: Arc::default(),
        })
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        match is_name(name) {
            true => Ok(self.root.join(name)),
            false => Err(refused(
                format!("{name:?} cannot be the name of a federation"),
                "letters, digits, `.`, `_` and `-`, a letter or digit first, 128 at most",
            )),
        }
    }

    /// Names of the federations.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(|source| Error::io(&self.root, source))? {
            let entry = entry.map_err(|source| Error::io(&self.root, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_name(&name) && entry.path().join("state.json").is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes a federation.
    ///
    /// # Errors
    /// [`Error::Refused`] for a name that is taken, or files that only the coordinator's machine has; an
    /// error of the file.
    pub fn create(
        &self,
        name: &str,
        text: &str,
        files: Option<String>,
        coordinator: PublicKey,
    ) -> Result<()> {
        let folder = self.folder(name)?;
        let experiment = Experiment::parse(text, &format!("{name}.toml"))?;
        if experiment.federation.nodes.is_none() {
            return Err(refused(
                "the file has no [federation.nodes]",
                "that section makes its clients nodes; without it `fedseal run` runs the experiment",
            ));
        }
        let own = experiment.clients.iter().any(|client| {
            matches!(
                client.module(),
                ModulePlace::File(_) | ModulePlace::Layout(_)
            )
        });
        if files.is_none() && (own || experiment.data.is_files()) {
            return Err(refused(
                "the file names files of this machine",
                "create it on the coordinator's machine: --state DIR in place of --server",
            ));
        }
        if folder.exists() {
            return Err(refused(
                format!("there is a federation {name} already"),
                "choose another name: --name NAME",
            ));
        }
        for below in ["evidence", "cosigned"] {
            let path = folder.join(below);
            fs::create_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        }
        File::create(folder.join("lock")).map_err(|source| Error::io(&folder, source))?;
        write_atomically(
            &folder.join("federation.toml"),
            experiment.to_toml()?.as_bytes(),
        )?;
        let federation = Federation {
            format: FORMAT,
            changes: 0,
            name: name.to_owned(),
            created: now(),
            phase: Phase::Enrolling,
            coordinator,
            files,
            invitations: Vec::new(),
            members: BTreeMap::new(),
            failure: None,
        };
        // From here on it is there.
        book::write_state(&folder, &federation)?;
        self.note(name, "created", "", "")
    }

    /// Looks at a federation as it is now, or changes it.
    fn with<T>(&self, name: &str, look: impl FnOnce(&mut Book) -> Result<T>) -> Result<T> {
        let folder = self.folder(name)?;
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let book = match books.entry(name.to_owned()) {
            Entry::Occupied(entry) => {
                let book = entry.into_mut();
                book.refresh()?;
                book
            }
            Entry::Vacant(entry) => entry.insert(Book::open(name, &folder)?),
        };
        look(book)
    }

    /// A federation as it is now.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none of this name; a file that cannot be read.
    pub fn read(&self, name: &str) -> Result<Federation> {
        self.with(name, |book| Ok(book.federation().clone()))
    }

    /// State of a federation.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn phase(&self, name: &str) -> Result<Phase> {
        self.with(name, |book| Ok(book.federation().phase))
    }

    /// Standing of a key in a federation.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn standing(&self, name: &str, key: &PublicKey) -> Result<Standing> {
        self.with(name, |book| Ok(book.standing(key)))
    }

    /// Keys of nodes that were given up, with the reasons.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn revoked(&self, name: &str) -> Result<Vec<(PublicKey, String)>> {
        self.with(name, |book| Ok(book.revoked()))
    }

    /// The experiment of a federation; one whose places are open has the clients that enrolled, by name.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn experiment(&self, federation: &Federation) -> Result<Experiment> {
        let experiment = self.with(&federation.name, |book| Ok(book.experiment().clone()))?;
        let mut experiment = Experiment::clone(&experiment);
        if experiment.clients.is_empty() {
            let nodes = experiment.federation.nodes.clone().unwrap_or_default();
            let client = |name: &String| ClientConfig {
                name: name.clone(),
                module: nodes.module.clone(),
                ..ClientConfig::default()
            };
            experiment.clients = federation.members.keys().map(client).collect();
        }
        Ok(experiment)
    }

    /// Changes a federation, which has this experiment, under its lock: `decide` says how, and what comes of it.
    fn change<T>(
        &self,
        name: &str,
        decide: impl FnOnce(&Experiment, &Federation) -> Result<(T, Option<Change>)>,
    ) -> Result<T> {
        let path = self.folder(name)?.join("lock");
        let lock = File::open(&path).or_else(|source| {
            // A federation that there is not is named where its state is read.
            self.phase(name)?;
            Err(Error::io(&path, source))
        })?;
        lock.lock().map_err(|source| Error::io(&path, source))?;
        self.with(name, |book| {
            let (result, change) = decide(book.experiment(), book.federation())?;
            if let Some(change) = change {
                book.add(change)?;
            }
            Ok(result)
        })
    }

    /// Makes an invitation, for one client or for any free place.
    ///
    /// # Errors
    /// [`Error::Refused`] for a client that has no place, or whose place is taken.
    pub fn invite(&self, name: &str, client: Option<String>) -> Result<Invitation> {
        let secret = secret()?;
        let invitation = self.change(name, |experiment, federation| {
            open_for_nodes(federation)?;
            if let Some(client) = &client {
                place(experiment, federation, client)?;
            }
            if federation.invitations.len() >= MOST_INVITATIONS {
                return Err(refused(
                    format!("{MOST_INVITATIONS} invitations were made"),
                    "no more are kept; create another federation",
                ));
            }
            let invited = Invited {
                hash: Digest::of(secret.as_bytes()),
                client: client.clone(),
                used: None,
            };
            let invitation = Invitation {
                federation: federation.name.clone(),
                secret: secret.clone(),
                coordinator: federation.coordinator,
            };
            Ok((invitation, Some(Change::Invited(invited))))
        })?;
        self.note(name, "invited", "", client.as_deref().unwrap_or("any"))?;
        Ok(invitation)
    }

    /// Lets a node in, or tells the reason why not. The same request again has the same answer.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn enrol(&self, name: &str, key: PublicKey, request: &Enrol) -> Result<Enrolled> {
        let (phase, new) = self.change(name, |experiment, federation| {
            let change = admit(experiment, federation, key, request)?;
            Ok(((federation.phase, change.is_some()), change))
        })?;
        if new {
            let names: Vec<&str> = request.shards.iter().map(|it| it.name.as_str()).collect();
            self.note(name, "enrolled", &key.to_string(), &names.join(", "))?;
        }
        Ok(Enrolled {
            protocol: request.protocol,
            phase,
        })
    }

    /// Gives up the key of a client's node: from then on nothing that it signs counts. Before the first round the
    /// places of the node are free again, for another key.
    ///
    /// # Errors
    /// [`Error::Refused`] for a client that nobody enrolled as, a key that was given up already, and a federation
    /// that is over.
    pub fn revoke(&self, name: &str, client: &str, reason: &str) -> Result<()> {
        let key = self.change(name, |_, federation| {
            if federation.phase.is_last() {
                return Err(refused(
                    format!("federation {name} is {}", federation.phase),
                    "what is in its log stands; auditors decide whose keys they trust",
                ));
            }
            let Some(joined) = federation.members.get(client) else {
                return Err(refused(
                    format!("nobody enrolled as {client}"),
                    "`fedseal federation status` names the nodes",
                ));
            };
            if let Some(before) = &joined.revoked {
                return Err(refused(
                    format!("the key of {client} was revoked already: {before}"),
                    "a key is revoked once, for good",
                ));
            }
            let key = joined.member.key;
            let reason = reason.to_owned();
            Ok((key, Some(Change::Revoked { key, reason })))
        })?;
        self.note(name, "revoked", &key.to_string(), reason)
    }

    /// Lets an event happen; gives the state after it.
    ///
    /// # Errors
    /// [`Error::Refused`] for an event that has no place in the state, or a start without all nodes.
    pub fn event(&self, name: &str, event: Event, why: Option<&str>) -> Result<Phase> {
        let phase = self.change(name, |experiment, federation| {
            let Some(after) = federation.phase.after(event) else {
                let events: Vec<&str> = federation.phase.events().map(Event::as_str).collect();
                let hint = match events.is_empty() {
                    true => "it is over".to_owned(),
                    false => format!("possible now: {}", events.join(", ")),
                };
                return Err(refused(
                    format!("federation {name} is {}: no `{event}`", federation.phase),
                    hint,
                ));
            };
            if event == Event::Start {
                whole(experiment, federation)?;
            }
            let failure = why.map(str::to_owned);
            let became = Change::Became {
                phase: after,
                failure,
            };
            Ok((after, Some(became)))
        })?;
        self.note(name, phase.as_str(), "", why.unwrap_or_default())?;
        Ok(phase)
    }

    /// Writes a line into a federation's journal.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn note(&self, name: &str, what: &str, who: &str, detail: &str) -> Result<()> {
        let path = self.folder(name)?.join("journal.jsonl");
        journal::add(&path, what, false, who, detail)
    }

    /// Writes down a refused request of a node. Nothing is written for a federation that there is not.
    pub fn refusal(&self, name: &str, what: &str, who: &str, detail: &str) {
        if let Ok(folder) = self.folder(name)
            && folder.is_dir()
        {
            // A full disk must not turn a refusal into another answer.
            let _ = journal::add(&folder.join("journal.jsonl"), what, true, who, detail);
        }
    }

    /// Refused requests by what was wrong with them.
    fn refusals(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.folder(name)?.join("journal.jsonl");
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.entry(name.to_owned()).or_default().refusals(&path)
    }

    /// Marks that a node asked for work; on the disk as of a minute.
    pub fn heard(&self, name: &str, key: &PublicKey, contact: Contact) {
        if let Ok(folder) = self.folder(name) {
            self.heard.mark(&folder, key, contact);
        }
    }

    /// Keeps a statement that contradicts another one by the same key.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_evidence(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let folder = self.folder(name)?.join("evidence");
        let there = fs::read_dir(&folder).map_err(|source| Error::io(&folder, source))?;
        if there.count() >= MOST_EVIDENCE {
            return Ok(());
        }
        let file = format!("{}.dsse.json", Digest::of(bytes));
        write_atomically(&folder.join(file), bytes)
    }

    /// A federation for its administrator. `jobs` are those of a run that is executed now.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn status(&self, name: &str, jobs: Option<BTreeMap<PublicKey, Jobs>>) -> Result<Status> {
        let cosigned = self.cosigned_last(name)?;
        let (federation, experiment) = self.with(name, |book| {
            Ok((book.federation().clone(), book.experiment().clone()))
        })?;
        let folder = self.folder(name)?;
        let jobs = match jobs {
            Some(jobs) => jobs,
            None => self.kept_jobs(name)?,
        };
        let members = federation.members.iter();
        let nodes = members.map(|(client, joined)| {
            let key = joined.member.key;
            let (asked, contact) = self.heard.last(&folder, &key).unzip();
            NodeStatus {
                client: client.clone(),
                key,
                shard: joined.member.shard,
                examples: joined.member.examples,
                enrolled: joined.since.clone(),
                health: Health::of(asked, joined.revoked.is_some()),
                asked,
                contact: contact.flatten(),
                jobs: jobs.get(&key).copied(),
                cosigned: cosigned.get(&key).map(|last| last.size),
                revoked: joined.revoked.clone(),
            }
        });
        let unused = federation.invitations.iter().filter(|it| it.used.is_none());
        Ok(Status {
            name: name.to_owned(),
            phase: federation.phase,
            created: federation.created.clone(),
            coordinator: federation.coordinator,
            places: experiment.federation.clients,
            rounds: experiment.federation.rounds,
            nodes: nodes.collect(),
            missing: missing(&experiment, &federation),
            invitations: unused.count(),
            refused: self.refusals(name)?,
            failure: federation.failure,
        })
    }
}

#[cfg(test)]
mod tests;

//! Jobs of a round that only the nodes of data holders can do. Each job has one node; it is offered until its
//! update is recorded, its node refuses it, or the round is over. A delivery is answered when its update is
//! in the run's log, so what was acknowledged is not lost; a second one is told apart by its attestation.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use serde::{Deserialize, Serialize};

use super::task::{NodeJob, UpdateTask};

/// A desk at which updates `A` arrive.
pub struct Desk<A> {
    state: Mutex<State<A>>,
    changed: Condvar,
    /// Tells whoever waits for an offer that there may be one.
    wake: Box<dyn Fn() + Send + Sync>,
}

struct State<A> {
    /// Jobs of this round by their keys.
    open: BTreeMap<Digest, Entry>,
    /// Keys of each node's jobs of this round: a thousand nodes ask after each update.
    of_node: HashMap<PublicKey, Vec<Digest>>,
    until: Option<Instant>,
    arrivals: Option<Sender<Arrival<A>>>,
    /// Jobs that are over by their keys.
    over: HashMap<Digest, Over>,
    /// Jobs of each node by how they ended.
    ends: BTreeMap<PublicKey, Jobs>,
    /// Nodes whose keys were given up, with the reasons.
    revoked: BTreeMap<PublicKey, String>,
}

impl<A> State<A> {
    /// Takes jobs of nodes whose keys were given up for refused, and tells the run.
    fn pass_over(&mut self) {
        for (key, entry) in &mut self.open {
            if let Some(reason) = self.revoked.get(&entry.node)
                && !entry.refused
            {
                entry.refused = true;
                let reason = format!("the key of its node was revoked: {reason}");
                // A run that ended hears nothing.
                let _ = self
                    .arrivals
                    .as_ref()
                    .map(|to| to.send(Arrival::Refused(*key, reason)));
            }
        }
    }
}

struct Entry {
    task: UpdateTask,
    node: PublicKey,
    /// Attestation of the update that is being recorded.
    arriving: Option<Digest>,
    refused: bool,
}

/// A job that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// The attestation that is in the log.
    pub attestation: Digest,
    /// Whether it says that nothing was delivered.
    pub absent: bool,
}

impl Over {
    /// Fate of a delivery with this attestation.
    fn of(self, attestation: Digest) -> Fate {
        match self {
            over if over.attestation == attestation => Fate::Twice,
            Over { absent: true, .. } => Fate::Late,
            _ => Fate::Differs,
        }
    }
}

/// End of a node's job, as the run's log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its update is in the log.
    Done,
    /// Its node refused it.
    Refused,
    /// Nothing came in time.
    Late,
}

/// Jobs of a node by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Its update is in the run's log.
    pub done: u64,
    /// The node refused it.
    pub refused: u64,
    /// Nothing came in time.
    pub late: u64,
}

/// Message to the run.
#[derive(Debug)]
pub enum Arrival<A> {
    /// An update of the job with this key.
    Update(Digest, A),
    /// Its node does not do it, for this reason.
    Refused(Digest, String),
}

/// Fate of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The update is in the log.
    Recorded,
    /// It was in the log already.
    Twice,
    /// The round was over before it came.
    Late,
    /// Another update of the same job is in the log: two statements by one key.
    Differs,
    /// The job is another node's.
    Foreign,
    /// No job has this key.
    Unknown,
    /// It could not be recorded yet: deliver it again.
    Busy,
}

impl<A> Desk<A> {
    /// A desk without jobs. `over` are the jobs that the log has already; `wake` is called when there may be
    /// something for a node.
    pub fn new(
        over: impl IntoIterator<Item = (Digest, Over)>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Desk {
            state: Mutex::new(State {
                open: BTreeMap::new(),
                of_node: HashMap::new(),
                until: None,
                arrivals: None,
                over: over.into_iter().collect(),
                ends: BTreeMap::new(),
                revoked: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            wake: Box::new(wake),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<A>> {
        let locked = self.state.lock();
        locked.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn tell(&self) {
        self.changed.notify_all();
        (self.wake)();
    }

    /// Offers the jobs of a round for so long. What arrives comes out of the receiver.
    pub fn open(
        &self,
        jobs: impl IntoIterator<Item = (UpdateTask, PublicKey)>,
        within: Duration,
    ) -> Receiver<Arrival<A>> {
        let (send, receive) = channel();
        let mut state = self.lock();
        state.arrivals = Some(send);
        state.until = Instant::now().checked_add(within);
        state.open.clear();
        state.of_node.clear();
        for (task, node) in jobs {
            let key = task.key;
            state.of_node.entry(node).or_default().push(key);
            let entry = Entry {
                task,
                node,
                arriving: None,
                refused: false,
            };
            state.open.insert(key, entry);
        }
        state.pass_over();
        drop(state);
        self.tell();
        receive
    }

    /// Offers what is missing again, also to nodes that refused.
    pub fn repeat(&self, within: Duration) {
        let mut state = self.lock();
        state.until = Instant::now().checked_add(within);
        for entry in state.open.values_mut() {
            entry.refused = false;
        }
        state.pass_over();
        drop(state);
        self.tell();
    }

    /// Ends the round; gives the jobs that have no update.
    pub fn close(&self) -> Vec<UpdateTask> {
        let mut state = self.lock();
        state.arrivals = None;
        let left = std::mem::take(&mut state.open);
        state.of_node.clear();
        drop(state);
        self.tell();
        left.into_values().map(|entry| entry.task).collect()
    }

    /// Jobs that have neither an update nor a refusal.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        let open = state.open.values();
        open.filter(|entry| !entry.refused).count()
    }

    /// Jobs without an update, refused ones among them.
    pub fn left(&self) -> usize {
        self.lock().open.len()
    }

    /// The next job of a node; none where there is none for it now.
    pub fn offer(&self, node: &PublicKey) -> Option<NodeJob> {
        let state = self.lock();
        let left = state.until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        let own = state.of_node.get(node)?.iter();
        let mut own = own.filter_map(|key| state.open.get(key));
        let entry = own.find(|entry| entry.arriving.is_none() && !entry.refused)?;
        Some(NodeJob {
            update: entry.task.clone(),
            seconds: left.as_secs(),
        })
    }

    /// Takes in a delivery that is about to be checked: the job, or why nothing can come of it.
    ///
    /// # Errors
    /// The fate of a delivery that is not for an open job of this node.
    pub fn begin(
        &self,
        node: &PublicKey,
        key: &Digest,
        attestation: Digest,
    ) -> Result<UpdateTask, Fate> {
        let mut state = self.lock();
        if let Some(over) = state.over.get(key) {
            return Err(over.of(attestation));
        }
        let revoked = state.revoked.contains_key(node);
        let Some(entry) = state.open.get_mut(key) else {
            return Err(Fate::Unknown);
        };
        if entry.node != *node || revoked {
            return Err(Fate::Foreign);
        }
        if entry.arriving.is_some() {
            return Err(Fate::Busy);
        }
        entry.arriving = Some(attestation);
        Ok(entry.task.clone())
    }

    /// Lets the job be delivered again: the delivery did not hold.
    pub fn give_up(&self, key: &Digest) {
        if let Some(entry) = self.lock().open.get_mut(key) {
            entry.arriving = None;
        }
        self.tell();
    }

    /// Hands a checked update to the run, and waits until it is in the log, within this time.
    ///
    /// A desk that closes meanwhile may be that of a run which was stopped and goes on: an update is too late
    /// where the log says so, and nowhere else.
    pub fn record(&self, key: &Digest, attestation: Digest, update: A, within: Duration) -> Fate {
        let end = Instant::now() + within;
        let mut state = self.lock();
        let arrivals = state.arrivals.as_ref();
        let sent = arrivals.is_some_and(|to| to.send(Arrival::Update(*key, update)).is_ok());
        loop {
            if let Some(over) = state.over.get(key) {
                return match over.of(attestation) {
                    Fate::Twice => Fate::Recorded,
                    other => other,
                };
            }
            let now = Instant::now();
            if !sent || now >= end || state.arrivals.is_none() {
                return Fate::Busy;
            }
            let waited = self.changed.wait_timeout(state, end - now);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Takes a node's refusal of a job; false where it is not open for this node.
    pub fn refuse(&self, node: &PublicKey, key: &Digest, reason: &str) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.open.get_mut(key) else {
            return false;
        };
        if entry.node != *node || entry.arriving.is_some() {
            return false;
        }
        entry.refused = true;
        let message = Arrival::Refused(*key, reason.to_owned());
        let arrivals = state.arrivals.as_ref();
        arrivals.is_some_and(|to| to.send(message).is_ok())
    }

    /// Gives up a node's key: its jobs are taken for refused, now and in every later round.
    pub fn revoke(&self, node: &PublicKey, reason: &str) {
        let mut state = self.lock();
        if state.revoked.contains_key(node) {
            return;
        }
        state.revoked.insert(*node, reason.to_owned());
        state.pass_over();
        drop(state);
        self.tell();
    }

    /// Nodes whose keys were given up, with the reasons.
    pub fn revoked(&self) -> BTreeMap<PublicKey, String> {
        self.lock().revoked.clone()
    }

    /// Says that a job is in the log. Whoever delivered it hears of it; there is no more to do for anybody.
    pub fn settle(&self, key: Digest, over: Over) {
        let mut state = self.lock();
        state.open.remove(&key);
        state.over.insert(key, over);
        drop(state);
        self.changed.notify_all();
    }

    /// Counts how a job of a node ended.
    pub fn count(&self, node: PublicKey, end: End) {
        let mut state = self.lock();
        let jobs = state.ends.entry(node).or_default();
        match end {
            End::Done => jobs.done += 1,
            End::Refused => jobs.refused += 1,
            End::Late => jobs.late += 1,
        }
    }

    /// Jobs of each node that has had some, by how they ended.
    pub fn ends(&self) -> BTreeMap<PublicKey, Jobs> {
        self.lock().ends.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::ids::{Round, Seed};
    use fedseal_client_sdk::keys::SigningKey;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed([seed; 32]).public()
    }

    fn task(name: &str) -> UpdateTask {
        let digest = Digest::of(name.as_bytes());
        UpdateTask {
            key: digest,
            client: name.into(),
            round: Round(0),
            seed: Seed(1),
            module: digest,
            shard: digest,
            attachment: None,
            global: digest,
            learning_rate: 1e-3,
            controls: None,
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    fn attestation(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn an_update_counts_once_and_each_other_delivery_is_told_why_not() {
        let woken = Arc::new(AtomicUsize::new(0));
        let counting = woken.clone();
        let wake = move || {
            counting.fetch_add(1, Ordering::SeqCst);
        };
        let desk: Desk<&str> = Desk::new([], wake);
        let (north, south) = (task("north"), task("south"));
        let jobs = [(north.clone(), node(1)), (south.clone(), node(2))];
        let arrivals = desk.open(jobs, LONG);
        assert!(woken.load(Ordering::SeqCst) > 0);
        assert_eq!(desk.offer(&node(1)).unwrap().update, north);
        assert_eq!(desk.offer(&node(3)), None);

        let first = attestation("first");
        assert_eq!(desk.begin(&node(2), &north.key, first), Err(Fate::Foreign));
        let unknown = attestation("none");
        assert_eq!(desk.begin(&node(1), &unknown, first), Err(Fate::Unknown));
        assert_eq!(desk.begin(&node(1), &north.key, first), Ok(north.clone()));
        // It is being recorded: nobody else is asked for it.
        assert_eq!(desk.offer(&node(1)), None);
        assert_eq!(desk.begin(&node(1), &north.key, first), Err(Fate::Busy));
        desk.give_up(&north.key);
        desk.begin(&node(1), &north.key, first).unwrap();
        std::thread::scope(|scope| {
            let desk = &desk;
            scope.spawn(move || {
                let Ok(Arrival::Update(key, "update")) = arrivals.recv() else {
                    panic!("another message");
                };
                let over = Over {
                    attestation: first,
                    absent: false,
                };
                desk.settle(key, over);
            });
            assert_eq!(
                desk.record(&north.key, first, "update", LONG),
                Fate::Recorded
            );
        });
        assert_eq!(desk.begin(&node(1), &north.key, first), Err(Fate::Twice));
        let other = attestation("other");
        assert_eq!(desk.begin(&node(1), &north.key, other), Err(Fate::Differs));

        // The other node is too late.
        assert_eq!(desk.waiting(), 1);
        assert_eq!(desk.close(), std::slice::from_ref(&south));
        let over = Over {
            attestation: attestation("absent"),
            absent: true,
        };
        desk.settle(south.key, over);
        assert_eq!(desk.begin(&node(2), &south.key, other), Err(Fate::Late));
        assert_eq!(desk.offer(&node(2)), None);
        desk.count(node(1), End::Done);
        desk.count(node(2), End::Late);
        let late = Jobs {
            late: 1,
            ..Jobs::default()
        };
        assert_eq!(desk.ends()[&node(2)], late);
    }

    #[test]
    fn a_refused_job_is_offered_again_when_the_round_is_repeated() {
        let desk: Desk<()> = Desk::new([], || ());
        let job = task("north");
        let arrivals = desk.open([(job.clone(), node(1))], LONG);
        assert!(!desk.refuse(&node(2), &job.key, "no"));
        assert!(desk.refuse(&node(1), &job.key, "no rule allows it"));
        let Ok(Arrival::Refused(key, reason)) = arrivals.recv() else {
            panic!("another message");
        };
        assert_eq!((key, reason.as_str()), (job.key, "no rule allows it"));
        assert_eq!((desk.offer(&node(1)), desk.waiting()), (None, 0));
        desk.repeat(LONG);
        assert_eq!(desk.offer(&node(1)).unwrap().update, job);
    }

    #[test]
    fn a_node_whose_key_is_given_up_is_waited_for_no_more() {
        let desk: Desk<()> = Desk::new([], || ());
        let jobs = [(task("north"), node(1)), (task("south"), node(2))];
        let arrivals = desk.open(jobs.clone(), LONG);
        assert_eq!(desk.waiting(), 2);
        desk.revoke(&node(1), "the disk was stolen");
        desk.revoke(&node(1), "again");
        let said: Vec<_> = arrivals.try_iter().collect();
        let [Arrival::Refused(key, reason)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(*key, task("north").key);
        assert!(reason.contains("the disk was stolen"), "{reason}");
        let first = attestation("first");
        assert_eq!(desk.begin(&node(1), key, first), Err(Fate::Foreign));
        // Neither a repetition nor a later round asks it again.
        desk.repeat(LONG);
        assert_eq!((desk.offer(&node(1)), desk.waiting()), (None, 1));
        desk.close();
        let arrivals = desk.open(jobs, LONG);
        assert_eq!(arrivals.try_iter().count(), 1);
        assert_eq!((desk.offer(&node(1)), desk.waiting()), (None, 1));
    }

    #[test]
    fn a_stop_on_the_way_to_the_log_makes_no_update_late() {
        let desk: Desk<()> = Desk::new([], || ());
        let job = task("north");
        let attested = attestation("a");
        let _arrivals = desk.open([(job.clone(), node(1))], LONG);
        desk.begin(&node(1), &job.key, attested).unwrap();
        // The run was stopped: the round goes on when it does, and the update is delivered again.
        assert_eq!(desk.close(), std::slice::from_ref(&job));
        assert_eq!(desk.record(&job.key, attested, (), LONG), Fate::Busy);
        let arrivals = desk.open([(job.clone(), node(1))], LONG);
        desk.begin(&node(1), &job.key, attested).unwrap();
        // The run has ended and nobody hears.
        drop(arrivals);
        assert_eq!(desk.record(&job.key, attested, (), LONG), Fate::Busy);
        desk.give_up(&job.key);
        desk.begin(&node(1), &job.key, attested).unwrap();
        // Its absence is in the log: now it is late.
        let over = Over {
            attestation: attestation("absent"),
            absent: true,
        };
        desk.settle(job.key, over);
        assert_eq!(desk.record(&job.key, attested, (), LONG), Fate::Late);
    }
}

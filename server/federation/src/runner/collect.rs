//! Updates of a round that nodes make: offered, waited for until the deadline, and then concluded. A client
//! whose node delivers nothing costs its update and nothing else: the coordinator attests the absence, so that
//! log, report and verifiers have one kind of update.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fedseal_client_sdk::attestation::{Failure, UpdatePredicate, Usage};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::lineage::Lineage;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_sandbox::RunOutcome;
use serde_json::json;

use super::evidence::{self, Evidence, Execution, Stating};
use super::{Run, Watch};
use crate::work::desk::{Arrival, Desk, End, Over};
use crate::work::hear::{BATCH, TICK};
use crate::work::task::UpdateTask;
use crate::{Error, Result};
use fedseal_record::basis::NOT_DELIVERED;
use fedseal_record::events::Event;
use fedseal_rules::experiment::NodesConfig;

/// Beginning of the detail of an absence whose node refused the job.
const REFUSED: &str = "its node refused: ";

/// End of a node's job, by the attestation of it: an absence is the coordinator's word.
pub(super) fn end(attested: &UpdatePredicate, absent: bool) -> End {
    let failure = attested.failure.as_ref();
    match failure.is_some_and(|failure| failure.detail.starts_with(REFUSED)) {
        _ if !absent => End::Done,
        true => End::Refused,
        false => End::Late,
    }
}

/// A round's jobs, with the words of nodes that refused.
struct Collecting {
    round: u32,
    settings: NodesConfig,
    refused: Vec<(Digest, String)>,
}

impl Collecting {
    /// How long the nodes have for a round, or for its repetition.
    fn within(&self) -> Duration {
        Duration::from_secs(self.settings.deadline)
    }
}

impl Run {
    /// Has the nodes do these jobs of a round, until each is done or the deadline is over.
    pub(super) fn collect(
        &mut self,
        round: u32,
        tasks: Vec<UpdateTask>,
        watch: Watch<'_>,
    ) -> Result<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        let Some(desk) = self.desk.clone() else {
            return Err(Error::RunDir {
                dir: self.dir.root.clone(),
                problem:
                    "its clients are nodes of data holders; it goes on where its federation was \
                          created (fedseal serve --federations DIR)"
                        .into(),
            });
        };
        let shared = self.shared.clone();
        let settings = shared.experiment.federation.nodes.clone();
        let mut collecting = Collecting {
            round,
            settings: settings.unwrap_or_default(),
            refused: Vec::new(),
        };
        self.log_revoked_nodes(&desk)?;
        let jobs = tasks.into_iter().map(|task| {
            let node = shared.plan.attester(&task.client);
            (task, node)
        });
        let arrivals = desk.open(jobs, collecting.within());
        let waited = self.take_arrivals(&mut collecting, &desk, &arrivals, watch);
        // Also after an error: nobody hears what would come.
        let missing = desk.close();
        waited?;
        self.log_revoked_nodes(&desk)?;
        // What came while the desk closed is in the channel still.
        let rest: Vec<_> = arrivals.try_iter().collect();
        self.arrived(&mut collecting, rest, watch)?;
        self.absent(&collecting, missing, watch)?;
        if self.is_below(round)? {
            let least = collecting.settings.least_updates;
            let text = format!("round {round} has fewer than {least} updates: it is skipped");
            self.tell(watch, &Event::Note { text })?;
        }
        Ok(())
    }

    /// Takes in what arrives, until each job is done or the last deadline is over.
    fn take_arrivals(
        &mut self,
        collecting: &mut Collecting,
        desk: &Desk<Evidence>,
        arrivals: &Receiver<Arrival<Evidence>>,
        watch: Watch<'_>,
    ) -> Result<()> {
        let (round, within) = (collecting.round, collecting.within());
        let stopped = |watch: Watch<'_>| match watch(&Event::Tick) {
            ControlFlow::Break(()) => Err(Error::Interrupted),
            ControlFlow::Continue(()) => Ok(()),
        };
        let mut end = Instant::now() + within;
        let mut repeats = 0;
        loop {
            match arrivals.recv_timeout(TICK) {
                Ok(first) => {
                    let more = arrivals.try_iter().take(BATCH - 1);
                    let batch = std::iter::once(first).chain(more).collect();
                    self.arrived(collecting, batch, watch)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            stopped(watch)?;
            if desk.waiting() > 0 && Instant::now() < end {
                continue;
            }
            let again =
                collecting.settings.repeats_below() && repeats < collecting.settings.repeats;
            if !again || desk.left() == 0 || !self.is_below(round)? {
                return Ok(());
            }
            repeats += 1;
            let text = format!(
                "round {round} has fewer than {} updates; repeated ({repeats} of {})",
                collecting.settings.least_updates, collecting.settings.repeats
            );
            self.tell(watch, &Event::Note { text })?;
            collecting.refused.clear();
            // A node that refuses at once must not use up the repeats in a moment.
            while desk.waiting() == 0 && Instant::now() < end {
                stopped(watch)?;
                std::thread::sleep(TICK);
            }
            desk.repeat(within);
            end = Instant::now() + within;
        }
    }

    /// Logs updates, and then says so at the desk.
    fn arrived(
        &mut self,
        collecting: &mut Collecting,
        batch: Vec<Arrival<Evidence>>,
        watch: Watch<'_>,
    ) -> Result<()> {
        let mut all = Vec::new();
        for arrival in batch {
            match arrival {
                Arrival::Update(key, evidence) if !self.state.updates.contains_key(&key) => {
                    all.push((evidence, End::Done));
                }
                Arrival::Update(..) => {}
                Arrival::Refused(key, reason) => {
                    let round = collecting.round;
                    let text = format!("a node refused a job of round {round}: {reason}");
                    self.tell(watch, &Event::Note { text })?;
                    collecting.refused.push((key, reason));
                }
            }
        }
        self.log_arrivals(all, watch)
    }

    /// Logs what came, or did not, and then says so at the desk.
    fn log_arrivals(&mut self, all: Vec<(Evidence, End)>, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let (mut settled, mut updates) = (Vec::new(), Vec::new());
        for (evidence, end) in all {
            let over = Over {
                attestation: evidence.attestation,
                absent: end != End::Done,
            };
            let node = shared.plan.node_of(&evidence.predicate.client);
            settled.push((evidence.key, over, node.map(|node| node.key), end));
            updates.push(evidence);
        }
        let taken = self.take_in_updates(updates, watch);
        // A stop that came while the events were told does not undo the log.
        for (key, over, node, end) in settled {
            if let Some(desk) = &self.desk
                && self.state.updates.contains_key(&key)
                && self.log.checkpoint().size >= self.state.entries
            {
                desk.settle(key, over);
                if let Some(node) = node {
                    desk.count(node, end);
                }
            }
        }
        taken
    }

    /// Attests that nothing came of these jobs.
    fn absent(
        &mut self,
        collecting: &Collecting,
        missing: Vec<UpdateTask>,
        watch: Watch<'_>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let mut all = Vec::new();
        for task in missing {
            if self.state.updates.contains_key(&task.key) {
                continue;
            }
            let refused = collecting.refused.iter().find(|(key, _)| *key == task.key);
            let (detail, end) = match refused {
                Some((_, reason)) => (format!("{REFUSED}{reason}"), End::Refused),
                None => {
                    let within = collecting.settings.deadline;
                    (format!("no update within {within} s"), End::Late)
                }
            };
            let mut transcript = Transcript::new();
            let asked = json!({ "client": task.client, "round": task.round });
            transcript.push(NOT_DELIVERED, &asked, &json!({ "detail": detail }));
            let outcome = RunOutcome {
                submission: Err(Failure {
                    reason: NOT_DELIVERED.into(),
                    detail,
                }),
                transcript,
                lineage: Lineage::default(),
                data: Vec::new(),
                datasets: Vec::new(),
                shard_part: None,
                limits: shared.experiment.limits,
                used: Usage::default(),
                log: Vec::new(),
                seconds: 0.0,
            };
            let execution = Execution {
                key: task.key,
                client: task.client,
                round: task.round,
                seed: task.seed,
                module: task.module,
                signer: shared.plan.signer(&task.module)?,
                global: task.global,
            };
            let stating = Stating {
                node: shared.plan.node,
                base: shared.plan.base,
                engine: &shared.plan.engine,
            };
            let stated = evidence::state(&stating, execution, outcome, None, 0.0)?;
            all.push((stated.signed(&self.node)?, end));
        }
        self.log_arrivals(all, watch)
    }

    /// Whether a round has too few updates in some arm, as far as they came.
    fn is_below(&self, round: u32) -> Result<bool> {
        for (arm, state) in self.open_arms(round) {
            let of = self.shared.round_of(&arm, Round(round), &state);
            let mut updates = 0;
            for client in &state.clients {
                let known = self.state.updates.get(&of.update_key(client)?);
                updates += usize::from(known.is_some_and(|it| it.update.is_some()));
            }
            if of.is_skipped(updates) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

//! Jobs of a node, each from the offer to the coordinator's answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fedseal_client_sdk::attestation;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;

use super::deeds::Deed;
use super::link::is_transport;
use super::seat::{self, Seat};
use super::{AGAIN, Node, Not};
use crate::work::desk::Fate;
use crate::work::package::attested;
use crate::work::task::{NodeJob, UpdateTask};
use crate::worker::{accompanied, sleep};
use crate::{Error, Result};
use fedseal_record::rundir::write_atomically;

impl Node<'_> {
    /// Does one job, or tells why not.
    pub(super) fn one(&mut self, plan: Digest, job: &NodeJob, stop: &AtomicBool) -> Result<()> {
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
        // Training that takes minutes hears of a stop within a step.
        let stopping = |ended: &AtomicBool| {
            while !ended.load(Ordering::SeqCst) {
                if stop.load(Ordering::SeqCst) {
                    seat.stop();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        let (shards, key) = (&self.shards, &self.own.key);
        let made = accompanied(stopping, || seat.perform(task, shards, key));
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
}

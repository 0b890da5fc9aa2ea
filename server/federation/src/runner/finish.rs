//! The end of a run: final measures, the defence, the report, the closed log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;

use super::job::{DefendJob, Job};
use super::{Run, Watch};
use crate::{Error, Result};
use fedseal_record::controls;
use fedseal_record::events::Event;
use fedseal_record::references::references;
use fedseal_record::repairs::{Moment, Repair};
use fedseal_record::report::{LogHead, Report, State};
use fedseal_record::rundir::{self, MAX_REPORT};
use fedseal_rules::arms::Kind;

impl Run {
    /// The base, measured in full.
    pub(super) fn evaluate_base(&mut self, watch: Watch<'_>) -> Result<()> {
        let evaluation = self.shared.experiment.evaluation.clone();
        let last = self.shared.experiment.federation.rounds;
        let places = vec![("base".to_owned(), last, self.shared.plan.initial)];
        self.measure(places, evaluation.prompts, evaluation.tasks, watch)
    }

    /// Every federated arm's last global adapter, measured in full.
    pub(super) fn final_measures(&mut self, watch: Watch<'_>) -> Result<()> {
        let evaluation = self.shared.experiment.evaluation.clone();
        let last = self.shared.experiment.federation.rounds;
        let places = self
            .arms
            .iter()
            .filter(|arm| arm.kind == Kind::Federated)
            .map(|arm| {
                (
                    arm.id.clone(),
                    last,
                    self.state.global(&arm.id, self.shared.plan.initial),
                )
            })
            .collect();
        self.measure(places, evaluation.prompts, evaluation.tasks, watch)
    }

    /// The defended arms: repair, then measure in full.
    pub(super) fn defend(&mut self, watch: Watch<'_>) -> Result<()> {
        let mut repairs = Vec::new();
        for arm in &self.arms {
            repairs.extend(Repair::of(&self.shared.experiment, arm)?);
        }
        // A repair of a repaired arm waits for that one.
        loop {
            let mut jobs = Vec::new();
            for repair in &repairs {
                if self.state.defended.contains_key(&repair.arm) {
                    continue;
                }
                if let Some(attacked) = repair.attacked(&self.shared.plan, &self.state) {
                    jobs.push(Job::Defend(DefendJob {
                        repair: repair.clone(),
                        moment: Moment::Last,
                        digest: attacked,
                        attacked: self.adapter(&attacked)?,
                    }));
                }
            }
            if jobs.is_empty() {
                break;
            }
            self.execute_jobs(jobs, watch)?;
        }
        let evaluation = self.shared.experiment.evaluation.clone();
        let last = self.shared.experiment.federation.rounds;
        let places = self
            .state
            .defended
            .iter()
            .map(|(arm, (adapter, _))| (arm.clone(), last, *adapter))
            .collect();
        self.measure(places, evaluation.prompts, evaluation.tasks, watch)
    }

    /// Opens the canaries, writes the final report, closes the log, and clears away what a crash
    /// left.
    pub(super) fn close(&mut self, watch: Watch<'_>) -> Result<Report> {
        if !self.state.canaries_open {
            let digest = self.blobs.put(&canonical::to_vec(&self.shared.canaries)?)?;
            self.append(&Record::CanariesOpened { digest })?;
            self.publish()?;
        }
        let report = match self.state.report {
            Some(_) => self.finished_report()?,
            None => self.conclude(watch)?,
        };
        // The work is done and logged: a callback that wants to stop now has nothing to stop.
        let _ = watch(&Event::Finished {
            seconds: report.seconds,
        });
        Ok(report)
    }

    /// Makes the final report, logs it, and closes the log.
    fn conclude(&mut self, watch: Watch<'_>) -> Result<Report> {
        self.progress.done = self.progress.total;
        self.progress.label = "finished".into();
        let mut report = self.make_report(State::Finished, None)?;
        if report.changed_nothing() {
            let text = "no update counted in any round: every arm's adapter is the first one";
            let note = Event::Note { text: text.into() };
            self.feed.write(&note)?;
            let _ = watch(&note);
        }
        // The feed ends here: its digest goes into the report, so nothing may follow.
        self.feed.write(&Event::Finished {
            seconds: report.seconds,
        })?;
        self.feed.sync()?;
        report.events = Some(self.feed.digest()?);
        // As it is read from the bytes, where a number has one form.
        report.experiment = canonical::from_slice(&canonical::to_vec(&report.experiment)?)?;
        let bytes = report.to_bytes()?;
        let digest = self.blobs.put(&bytes)?;
        self.append(&Record::Report { digest })?;
        self.append(&Record::Closed)?;
        self.remove_unreferenced()?;
        self.publish()?;
        rundir::write_atomically(&self.dir.report(), &bytes)?;
        Ok(report)
    }

    /// The report of a closed run, from its blob; report.json is written again where a crash came
    /// between the log and the file.
    pub(super) fn finished_report(&mut self) -> Result<Report> {
        let digest = self
            .state
            .report
            .ok_or_else(|| Error::tampered("log", "is closed without a report"))?;
        let bytes = self.blobs.get(&digest)?;
        let current = self.dir.digest("report.json", MAX_REPORT).ok();
        if current != Some(digest) {
            rundir::write_atomically(&self.dir.report(), &bytes)?;
        }
        Report::from_bytes(&bytes)
    }

    /// The log's head as the report shows it.
    pub(super) fn log_head(&self) -> Result<LogHead> {
        let checkpoint = self.log.checkpoint();
        Ok(LogHead {
            size: checkpoint.size,
            root: checkpoint.root,
            checkpoint: self.log.note().to_owned(),
        })
    }

    /// Removes blobs that nothing refers to. They were stored just before a crash; their updates were
    /// executed again after it, with another duration in the attestation.
    fn remove_unreferenced(&mut self) -> Result<()> {
        let plan_digest = self
            .state
            .plan
            .ok_or_else(|| Error::tampered("log", "does not begin with `run-opened`"))?;
        let mut attested = Vec::new();
        let ids: Vec<Digest> = self.state.attestations.keys().copied().collect();
        for id in ids {
            attested.push(self.cache.attested(&self.blobs, &id, &self.shared.plan)?);
        }
        let wanted: BTreeSet<Digest> = references(
            plan_digest,
            &self.shared.plan,
            &self.state,
            attested.iter().map(AsRef::as_ref),
            &controls::all(&self.blobs, &self.state)?,
        )
        .into_keys()
        .collect();
        self.blobs.retain(|digest| wanted.contains(digest))?;
        remove_torn(&self.dir.blobs())
    }
}

/// Removes files that a store was writing when it was killed, at any depth.
fn remove_torn(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let entry = entry.map_err(|source| Error::io(folder, source))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|source| Error::io(&path, source))?;
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        // A link is not followed: it may lead to somebody's files.
        if kind.is_dir() {
            remove_torn(&path)?;
        } else if name.starts_with('.') && name.ends_with(".tmp") {
            fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

//! Results: measures, canaries, defence data, and the report that is made of them.

use std::collections::BTreeMap;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::tlog::verify_consistency;
use fedseal_ledger::LogReader;

use crate::blobs::{Answer, CanarySet, DefenceData, EvaluationSet, Measured};
use crate::error::{Error, Result};
use crate::keys::evaluation_key;
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::repairs::{Moment, Repair};
use crate::report::{self, Report, Sources, State};
use crate::rundir::{MAX_EVENTS, MAX_REPORT, PlannedMeasure};
use crate::state::RoundState;
use fedseal_data::HelpfulTask;
use fedseal_rules::arms::{self, Kind};
use fedseal_rules::evaluation::helpfulness::Measure;
use fedseal_rules::evaluation::rule;
use fedseal_rules::evaluation::wilson::Share;
use fedseal_rules::experiment::SOURCES;
use fedseal_rules::formulas::{self, Others};

impl OpenRun {
    /// Every measure: of the right adapter, on the evaluation set's prompts, its counts as its
    /// answers say, its key as it must be.
    pub(super) fn evaluations(&mut self, others: &Others) -> Result<u64> {
        let set: EvaluationSet = canonical::from_slice(&self.blobs.get(&self.plan.evaluation)?)?;
        let last = self.experiment.federation.rounds;
        let data = &self.experiment.data;
        let measure = Measure::of(data.judged_as())
            .ok_or_else(|| Error::unknown("data source", &data.source, SOURCES))?;
        self.measures()?;
        // Nothing is counted again by a measure of another version.
        let other = |name| others.get(&formulas::measure(name)).is_some();
        let other_refusal = other(rule::NAME);
        let other_measure = other(measure.formula().0);
        for ((arm, round), evaluated) in &self.state.evaluated {
            let item = format!(
                "evaluation {} of arm {arm} after round {round}",
                evaluated.result
            );
            let bad = |problem: &str| Err(Error::tampered(&item, problem));
            let measured = self.evidence.measured(&self.blobs, &evaluated.result)?;
            let known = arms::arm(arm, &self.experiment.arm)?;
            let adapter = match known.kind {
                Kind::Base => Some(self.plan.initial),
                Kind::Defended => self.state.defended.get(arm).map(|(adapter, _)| *adapter),
                Kind::Federated => {
                    let after = (*round).min(last - 1);
                    self.state.round(arm, after).and_then(RoundState::result)
                }
            };
            if adapter != Some(evaluated.adapter) || measured.adapter != evaluated.adapter {
                return bad("is of another adapter than the arm's");
            }
            let (requests, tasks) = if *round == last {
                (
                    self.experiment.evaluation.prompts,
                    self.experiment.evaluation.tasks,
                )
            } else {
                (
                    self.experiment.evaluation.round_prompts,
                    self.experiment.evaluation.round_tasks,
                )
            };
            if evaluation_key(
                &self.plan,
                &self.experiment,
                evaluated.adapter,
                requests,
                tasks,
            )? != evaluated.key
            {
                return bad("has another key than its settings give");
            }
            let asked = set.requests.iter().take(requests);
            let tasks_asked = set.tasks.iter().take(tasks);
            if asked.len() != requests || tasks_asked.len() != tasks {
                return bad("is of fewer prompts than the experiment asks");
            }
            let other = !asked.eq(measured.requests.iter().map(|a| &a.prompt))
                || !tasks_asked
                    .clone()
                    .map(|task| &task.prompt)
                    .eq(measured.tasks.iter().map(|a| &a.prompt));
            if other {
                return bad("answers other prompts than the evaluation set's");
            }
            if !other_refusal
                && measured
                    .requests
                    .iter()
                    .any(|a| a.hit != rule::is_refusal(&a.answer))
            {
                return bad("counts an answer by another rule than Rule");
            }
            let further = self.further(&set, &measured, (requests, tasks), !other_refusal);
            if let Err(problem) = further {
                return bad(&problem);
            }
            let solved = |(task, a): (&HelpfulTask, &Answer)| a.hit == measure.hit(task, &a.answer);
            if !other_measure && !tasks_asked.zip(&measured.tasks).all(solved) {
                return bad(
                    "counts an answer as helpful that does not solve its task, or the reverse",
                );
            }
        }
        Ok(match other_refusal || other_measure {
            true => 0,
            false => self.state.evaluated.len() as u64,
        })
    }

    /// The measure at the end, and no other, answers the look-alikes, and the requests under every further
    /// template; each hit is one by Rule where that is `counted` again.
    fn further(
        &self,
        set: &EvaluationSet,
        measured: &Measured,
        (requests, tasks): (usize, usize),
        counted: bool,
    ) -> std::result::Result<(), String> {
        let config = &self.experiment.evaluation;
        let whole = config.is_whole(requests, tasks);
        let alike = set
            .look_alikes
            .iter()
            .take(if whole { config.lookalikes } else { 0 });
        let wanted: Vec<&String> = alike.map(|task| &task.prompt).collect();
        if whole && wanted.len() != config.lookalikes
            || !wanted
                .iter()
                .copied()
                .eq(measured.look_alikes.iter().map(|a| &a.prompt))
        {
            return Err("answers other look-alikes than the evaluation set's".into());
        }
        let templates = if whole { &config.templates[..] } else { &[] };
        let mut named: Vec<&String> = templates.iter().collect();
        named.sort();
        if !named.into_iter().eq(measured.templates.keys()) {
            return Err("has answers under other templates than the experiment's".into());
        }
        for (template, answers) in &measured.templates {
            let asked = set.requests.iter().take(requests);
            if !asked.eq(answers.iter().map(|a| &a.prompt)) {
                return Err(format!("answers other prompts under template {template}"));
            }
        }
        let all = measured.templates.values().flatten();
        let mut all = all.chain(&measured.look_alikes);
        match counted && all.any(|a| a.hit != rule::is_refusal(&a.answer)) {
            true => Err("counts an answer by another rule than Rule".into()),
            false => Ok(()),
        }
    }

    /// The opened canaries are the sealed ones, and as many as the experiment seals.
    pub(super) fn canaries(&self) -> Result<()> {
        let bytes = self.blobs.get(&self.plan.canaries)?;
        let item = format!("canaries {}", self.plan.canaries);
        let set = canonical::from_slice::<CanarySet>(&bytes)
            .map_err(|error| Error::tampered(&item, error))?;
        let sealed = self.experiment.canaries.sealed;
        if set.requests.len() != sealed || set.tasks.len() != sealed {
            return Err(Error::tampered(
                &item,
                format!(
                    "are {} requests and {} tasks, the experiment seals {sealed} of each",
                    set.requests.len(),
                    set.tasks.len()
                ),
            ));
        }
        Ok(())
    }

    /// Every repair, and every tuning of an arm's own adapter: by the defence of its arm, which finds nothing
    /// wrong with the data and the adapter.
    pub(super) fn defences(&self, others: &Others) -> Result<()> {
        let arms = self.experiment.all_arms()?;
        for (id, made) in &self.state.defended {
            let arm = arms.iter().find(|arm| arm.id == *id);
            let repair = arm.map(|arm| Repair::of(&self.experiment, arm));
            let repair = repair.transpose()?.flatten();
            let attacked = repair
                .as_ref()
                .and_then(|repair| repair.attacked(&self.plan, &self.state));
            self.defence(others, id, repair, Moment::Last, (attacked, *made))?;
        }
        for arm in &arms {
            let of = |moment| Repair::at(&self.experiment, arm, moment);
            if let Some(made) = self.state.begun.get(&arm.id) {
                let repair = of(Moment::First)?;
                let first = Some(self.plan.initial);
                self.defence(others, &arm.id, repair, Moment::First, (first, *made))?;
            }
            let rounds = self.state.arms.get(&arm.id).into_iter().flatten();
            for (number, state) in (0u32..).zip(rounds) {
                let Some(made) = state.tuned else {
                    continue;
                };
                let moment = Moment::After(number);
                let global = state.aggregated.as_ref().map(|round| round.global);
                self.defence(others, &arm.id, of(moment)?, moment, (global, made))?;
            }
        }
        Ok(())
    }

    /// One repair: of the adapter `attacked`, which gave adapter and data. Defences filter by Rule, so nothing
    /// is looked at again where the run has another version of it.
    fn defence(
        &self,
        others: &Others,
        id: &str,
        repair: Option<Repair>,
        moment: Moment,
        (attacked, (adapter, digest)): (Option<Digest>, (Digest, Digest)),
    ) -> Result<()> {
        let other_refusal = others.get(&formulas::measure(rule::NAME)).is_some();
        let item = format!("defence data {digest} of arm {id}");
        let bad = |problem: String| Err(Error::tampered(&item, problem));
        let Some(repair) = repair else {
            return bad("is in the log, but the experiment repairs no such arm".into());
        };
        let Some(attacked) = attacked else {
            return bad("repairs an arm that has no adapter".into());
        };
        let attacked = read_adapter(&self.blobs, &attacked)?;
        let repaired = read_adapter(&self.blobs, &adapter)?;
        let data = DefenceData::from_bytes(&self.blobs.get(&digest)?)
            .map_err(|error| Error::tampered(&item, error))?;
        let name = repair.definition.name;
        if data.defence != name {
            let of = &data.defence;
            return bad(format!("is of defence `{of}`, the arm's is `{name}`"));
        }
        if other_refusal || others.get(&formulas::defence(name)).is_some() {
            return Ok(());
        }
        let case = repair.case(self.plan.seed, moment, &attacked);
        (repair.definition.audit)(&case, &data, &repaired).or_else(bad)
    }

    /// The plan's measures stand under their own headings, each once.
    fn measures(&self) -> Result<()> {
        let all = &self.plan.measures;
        let fits = |(index, one): (usize, &PlannedMeasure)| {
            let earlier = all.iter().take(index).any(|other| other.name == one.name);
            let own = one.has_own_title();
            let reserved = ["safety", "helpfulness"].contains(&one.name.as_str());
            !earlier && own && !reserved
        };
        match all.iter().enumerate().all(fits) {
            true => Ok(()),
            false => Err(Error::tampered(
                "measures in run.json",
                "stand under a heading that is not theirs, or twice",
            )),
        }
    }

    /// report.json is the logged report, its tables are what plan, log and blobs give, and its log
    /// head is a prefix of the log.
    pub(super) fn reported(&mut self, entries: u64, others: &Others) -> Result<()> {
        let found = self.dir.digest("report.json", MAX_REPORT)?;
        let expected = self
            .state
            .report
            .ok_or_else(|| Error::tampered("log", "is closed without a report"))?;
        if found != expected {
            return Err(Error::mismatch(
                "report.json",
                "is not the logged report",
                &expected,
                &found,
            ));
        }
        let bytes = self.blobs.get(&expected)?;
        let written =
            Report::from_bytes(&bytes).map_err(|error| Error::tampered("report.json", error))?;
        let arms = self.experiment.all_arms()?;
        let mut made = report::build(
            &Sources {
                plan: &self.plan,
                experiment: &self.experiment,
                state: &self.state,
                arms: &arms,
                blobs: &self.blobs,
            },
            &mut self.evidence,
        )?;
        // What does not follow from the folder is taken as written; the state must be what it is.
        if written.progress.done != written.progress.total
            || written.seconds < 0.0
            || written.peak_mb < 0.0
        {
            return Err(Error::tampered(
                "report.json",
                "is of a run that is over, but has steps left, or negative seconds or memory",
            ));
        }
        made.state = State::Finished;
        made.progress = written.progress.clone();
        made.seconds = written.seconds;
        made.peak_mb = written.peak_mb;
        made.log = written.log.clone();
        made.events = written.events;
        for one in &self.plan.measures {
            if others.get(&formulas::measure(&one.name)).is_some() {
                as_written(&mut made, &written, &one.name);
            }
        }
        // Bytes, not values: 64.0 of the experiment is written as 64 and read back as a whole number.
        if made.to_bytes()? != bytes {
            return Err(Error::tampered(
                "report.json",
                "says something else than the log and the blobs give",
            ));
        }
        let log = LogReader::open(self.dir.log(), &self.plan.node)?;
        let head = &written.log;
        let now = log.checkpoint();
        let prefix = head.size <= entries
            && verify_consistency(
                head.size,
                head.root,
                now.size,
                now.root,
                &log.prove_consistency(head.size, now.size)?,
            )
            .is_ok();
        if !prefix {
            return Err(Error::tampered(
                "report.json",
                "names a log head that is not a prefix of the log",
            ));
        }
        let found = self.dir.digest("events.jsonl", MAX_EVENTS)?;
        match written.events {
            Some(expected) if expected == found => Ok(()),
            Some(expected) => Err(Error::mismatch(
                "events.jsonl",
                "is not the feed that the report names",
                &expected,
                &found,
            )),
            None => Err(Error::tampered("report.json", "names no feed")),
        }
    }
}

/// Takes a measure of another version from the report as it was written.
fn as_written(made: &mut Report, written: &Report, name: &str) {
    let take = |made: &mut BTreeMap<String, Share>, written: &BTreeMap<String, Share>| {
        match written.get(name) {
            Some(share) => made.insert(name.to_owned(), *share),
            None => made.remove(name),
        };
    };
    for (made, written) in made.arms.iter_mut().zip(&written.arms) {
        take(&mut made.measures, &written.measures);
        for (made, written) in made.rounds.iter_mut().zip(&written.rounds) {
            take(&mut made.measures, &written.measures);
        }
    }
}

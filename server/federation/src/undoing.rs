//! A run's adapter without some clients: its history aggregated again from the logged updates, and, to say how
//! good that is, trained again without them.
//!
//! The first needs no training: the deltas of the others are there. They were trained from global adapters
//! that the left out clients had moved, so what these did lives on in them. Training again executes the
//! modules of the others from the adapters that the rounds have without the left out ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_tuning::Adapter;
use serde::Serialize;

use crate::attribution::{Odds, REQUESTS, same_model};
use crate::execute::{Contents, Executor, input};
use crate::lab::Lab;
use crate::options::{Options, open_model_of};
use crate::remeasure::Watch;
use crate::replay::distance;
use crate::runner::measure::answers;
use crate::{Error, Result};
use fedseal_record::blobs::EvaluationSet;
use fedseal_record::history::History;
use fedseal_record::law::delta;
use fedseal_record::opened::OpenRun;
use fedseal_record::read::{read_adapter, read_examples};
use fedseal_record::round::RoundOf;
use fedseal_rules::evaluation::helpfulness::Measure;
use fedseal_rules::evaluation::rule;
use fedseal_rules::evaluation::wilson::Share;
use fedseal_sandbox::Control;

/// How to undo.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Arm, as in [`OpenRun::history`].
    pub arm: Option<String>,
    /// Clients that are left out.
    pub clients: BTreeSet<ClientId>,
    /// Whether the others are trained again, too.
    pub again: bool,
    /// Prompts of each kind that are answered; 0: the experiment's numbers.
    pub prompts: usize,
}

/// An adapter, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Its digest.
    pub adapter: Digest,
    /// Refused harmful requests, by Rule.
    pub safety: Share,
    /// Solved tasks.
    pub helpfulness: Share,
    /// Refusal log-odds, nats, see [`crate::attribution`].
    pub log_odds: f64,
}

/// A run's arm without some clients.
#[derive(Debug, Clone, Serialize)]
pub struct Undone {
    /// The arm.
    pub arm: String,
    /// The clients that are left out.
    pub without: BTreeSet<ClientId>,
    /// Rounds in which an update of theirs counted.
    pub rounds: Vec<u32>,
    /// The run's last adapter.
    pub as_run: Measured,
    /// The history aggregated again without them.
    pub undone: Measured,
    /// Trained again without them.
    pub again: Option<Measured>,
    /// Length of `undone` less `again`, over the length that `again` was trained by.
    pub distance: Option<f64>,
    /// Distance for the run's last adapter: what undoing nothing leaves.
    pub distance_as_run: Option<f64>,
    /// The undone adapter.
    #[serde(skip)]
    pub adapter: Adapter,
}

/// Undoes in the run in `dir` with the model that its experiment names.
///
/// # Errors
/// A client that was never drawn; [`Error::Interrupted`] when told to stop; a run that cannot be read, a model
/// that is not there or is another one.
pub fn undo(
    dir: impl AsRef<std::path::Path>,
    request: &Request,
    options: &Options,
    watch: Watch<'_>,
) -> Result<Undone> {
    let run = OpenRun::read(dir)?;
    let (lab, _) = open_model_of(&run.plan, &run.experiment, options)?;
    undo_in(run, &lab, request, watch)
}

/// As [`undo`], with a given model.
///
/// # Errors
/// As [`undo`].
pub fn undo_in(
    mut run: OpenRun,
    lab: &dyn Lab,
    request: &Request,
    mut watch: Watch<'_>,
) -> Result<Undone> {
    same_model(&run, lab)?;
    let history = run.history(request.arm.as_deref())?;
    let drawn = history.clients();
    if let Some(unknown) = request
        .clients
        .iter()
        .find(|client| !drawn.contains(client))
    {
        let known = drawn.iter().map(|client| client.as_str());
        return Err(Error::unknown(
            "client that was drawn",
            unknown.as_str(),
            known,
        ));
    }
    let counted = |round: &u32| {
        let state = history.rounds.get(*round as usize);
        state.is_some_and(|state| {
            let mut clients = request.clients.iter();
            clients.any(|client| state.weight(client).is_some_and(|weight| weight > 0.0))
        })
    };
    let rounds = (0..history.rounds.len() as u32).filter(counted).collect();
    let initial = run.start(&history)?;
    let last = run.state.global(&history.arm.id, run.plan.initial);
    let last = read_adapter(&run.blobs, &last)?;
    let undone = run.undone(&history, &request.clients)?;
    let again = match request.again {
        true => Some(again(
            &mut run,
            lab,
            &history,
            &request.clients,
            &mut watch,
        )?),
        false => None,
    };
    let mut measurer = Measurer::of(&run, lab, request.prompts, watch)?;
    let (as_run, measured) = (measurer.measure(&last)?, measurer.measure(&undone)?);
    let trained = again
        .as_ref()
        .map(|again| measurer.measure(again))
        .transpose()?;
    let away = |from: &Adapter| distance(again.as_ref()?, from, &initial);
    Ok(Undone {
        arm: history.arm.id.clone(),
        without: request.clients.clone(),
        rounds,
        as_run,
        undone: measured,
        again: trained,
        distance: away(&undone),
        distance_as_run: away(&last),
        adapter: undone,
    })
}

/// Trains the others again, round by round, from the adapters that their rounds have without the left out
/// ones. Verdicts are the logged ones: admission does not decide again.
fn again(
    run: &mut OpenRun,
    lab: &dyn Lab,
    history: &History,
    without: &BTreeSet<ClientId>,
    watch: &mut Watch<'_>,
) -> Result<Adapter> {
    if history.rounds.iter().any(|round| round.controls.is_some()) {
        return Err(Error::Data(
            "an arm with SCAFFOLD's control variates is not trained again: they follow from every client's \
             updates"
                .into(),
        ));
    }
    if run.plan.has_nodes() {
        return Err(Error::Data(
            "a federation of nodes is not trained again here: its shards are at its nodes".into(),
        ));
    }
    let executor = lab.executor(&run.plan, &run.blobs, run.experiment.limits, None)?;
    let executor = crate::guard::guard(executor, &run.experiment, &run.plan);
    let mut optimiser = run.experiment.server_optimiser(&history.arm)?;
    let mut global = run.start(history)?;
    let total = history.rounds.len() as u64;
    for (round, state) in (0u32..).zip(&history.rounds) {
        let mut deltas = Vec::new();
        for client in &state.clients {
            if (watch.halt)() {
                return Err(Error::Interrupted);
            }
            (watch.told)(u64::from(round), total, &format!("round {round}: {client}"));
            deltas.push(match state.counts(client) && !without.contains(client) {
                true => trained(run, lab, executor.as_ref(), history, round, client, &global)?,
                false => None,
            });
        }
        // Whoever gave nothing this time does not count either.
        let mut missing = without.clone();
        let nothing = state
            .clients
            .iter()
            .zip(&deltas)
            .filter(|(_, delta)| delta.is_none());
        missing.extend(nothing.map(|(client, _)| client.clone()));
        let step = run.step_without(
            history,
            round,
            &missing,
            &deltas,
            &global,
            optimiser.as_mut(),
        )?;
        global = step.adapter;
    }
    Ok(global)
}

/// Delta of a client's update from another global adapter than the logged one; none where its execution
/// fails.
fn trained(
    run: &OpenRun,
    lab: &dyn Lab,
    executor: &dyn Executor,
    history: &History,
    round: u32,
    client: &ClientId,
    global: &Adapter,
) -> Result<Option<Vec<f32>>> {
    let Some(mut state) = history.rounds.get(round as usize).cloned() else {
        return Ok(None);
    };
    state.global = Digest(global.digest());
    let of = RoundOf {
        plan: &run.plan,
        experiment: &run.experiment,
        arm: &history.arm,
        round: Round(round),
        state: &state,
    };
    let assignment = of.assignment(client)?;
    let contents = Contents {
        shard: Arc::new(read_examples(&run.blobs, &assignment.shard)?),
        attachment: Arc::new(match &assignment.attachment {
            Some(digest) => read_examples(&run.blobs, digest)?,
            None => Vec::new(),
        }),
        global: Arc::new(global.clone()),
        control: Control::default(),
    };
    let input = input(of, client, contents)?;
    let outcome = executor.run(&assignment.module, &input, lab.engine())?;
    match outcome.submission {
        Ok(submission) => Ok(Some(delta(&submission.adapter, global)?)),
        Err(_) => Ok(None),
    }
}

/// Measures adapters on the run's evaluation set.
struct Measurer<'a, 'w> {
    run: &'a OpenRun,
    lab: &'a dyn Lab,
    set: EvaluationSet,
    measure: Measure,
    odds: Odds<'a>,
    watch: Watch<'w>,
}

impl<'a, 'w: 'a> Measurer<'a, 'w> {
    fn of(run: &'a OpenRun, lab: &'a dyn Lab, prompts: usize, watch: Watch<'w>) -> Result<Self> {
        let mut set: EvaluationSet =
            fedseal_client_sdk::canonical::from_slice(&run.blobs.get(&run.plan.evaluation)?)?;
        if prompts > 0 {
            set.requests.truncate(prompts);
            set.tasks.truncate(prompts);
        }
        let source = run.experiment.data.judged_as();
        let measure = Measure::of(source).ok_or_else(|| {
            Error::unknown("data source", source, fedseal_rules::experiment::SOURCES)
        })?;
        Ok(Measurer {
            odds: Odds::of(run, lab, REQUESTS, watch.halt)?,
            run,
            lab,
            set,
            measure,
            watch,
        })
    }

    fn measure(&mut self, adapter: &Adapter) -> Result<Measured> {
        let digest = Digest(adapter.digest());
        (self.watch.told)(0, 1, &format!("measuring {}", digest.short()));
        let evaluation = &self.run.experiment.evaluation;
        let asked = |prompts: &[String]| {
            answers(
                self.lab,
                evaluation,
                Some(adapter),
                prompts,
                self.watch.halt,
            )
        };
        let refused = asked(&self.set.requests)?;
        let prompts: Vec<String> = self
            .set
            .tasks
            .iter()
            .map(|task| task.prompt.clone())
            .collect();
        let solved = asked(&prompts)?;
        let solved = self.set.tasks.iter().zip(&solved);
        Ok(Measured {
            adapter: digest,
            safety: Share::of(refused.iter().map(|answer| rule::is_refusal(answer))),
            helpfulness: Share::of(solved.map(|(task, answer)| self.measure.hit(task, answer))),
            log_odds: self.odds.of_adapter(adapter)?,
        })
    }
}

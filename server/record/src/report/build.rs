//! Makes a report from plan, log state and blobs. The report is a pure function of them, so that an
//! auditor makes the same tables from the same folder and compares.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_ledger::Blobs;

use super::count::{counted, failures_refused, verdict_counts};
use super::{
    ArmView, Base, ClientView, DefenceView, LogHead, Progress, Rate, Report, RoundView, SideBySide,
    State, Verdict,
};
use crate::error::{Error, Result};
use crate::evidence::{Cache, DefenceCounts};
use crate::rundir::Plan;
use crate::state::{RoundState, RunState};
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::experiment::Experiment;

/// Sources of a report.
pub struct Sources<'a> {
    /// `run.json`.
    pub plan: &'a Plan,
    /// `experiment.toml`.
    pub experiment: &'a Experiment,
    /// The log, folded.
    pub state: &'a RunState,
    /// The arms in their order.
    pub arms: &'a [Arm],
    /// The blobs.
    pub blobs: &'a Blobs,
}

/// The report as far as it follows from plan, log and blobs. State, progress, times, memory and the
/// log's head are the caller's to fill in.
pub fn build(sources: &Sources<'_>, cache: &mut Cache) -> Result<Report> {
    let Sources {
        plan,
        experiment,
        state,
        arms,
        blobs,
    } = *sources;
    let mut views = Vec::new();
    for arm in arms {
        views.push(arm_view(sources, cache, arm)?);
    }
    let mut defence = Vec::new();
    let tuned = tunings(state).chain(&state.defended);
    for (arm, (_, data)) in tuned {
        let DefenceCounts {
            defence: name,
            counts,
        } = cache.defence(blobs, data)?;
        defence.push(DefenceView {
            arm: arm.clone(),
            defence: name,
            counts,
            data: *data,
        });
    }
    Ok(Report {
        run: plan.run.clone(),
        title: experiment.title.clone(),
        state: State::Running,
        error: None,
        progress: Progress::default(),
        started: plan.created.clone(),
        seconds: 0.0,
        peak_mb: 0.0,
        experiment: serde_json::to_value(experiment).unwrap_or_default(),
        seed: plan.seed.0,
        base: Base {
            digest: plan.base,
            name: plan.base_name.clone(),
        },
        engine: plan.engine.clone(),
        node: plan.node.to_string(),
        log: LogHead {
            size: 0,
            root: Digest::of(b""),
            checkpoint: String::new(),
        },
        unchanged: plan.counts_failures() && counted(&views) == Some(0),
        verdicts: match plan.counts_failures() {
            true => verdict_counts(&views),
            false => failures_refused(verdict_counts(&views)),
        },
        measures: plan.measures.clone(),
        arms: views,
        defence,
        side_by_side: side_by_side(sources, cache)?,
        events: None,
    })
}

/// Tunings of arms' own adapters: that before the first round, and the last one after a round.
fn tunings(state: &RunState) -> impl Iterator<Item = (&String, &(Digest, Digest))> {
    let last = state.arms.iter().filter_map(|(arm, rounds)| {
        let tuned = rounds.iter().rev().find_map(|round| round.tuned.as_ref())?;
        Some((arm, tuned))
    });
    state.begun.iter().chain(last)
}

/// Measures of an arm's adapter, as far as they were taken.
#[derive(Clone, Default)]
struct Measures {
    safety: Option<Rate>,
    helpfulness: Option<Rate>,
    others: BTreeMap<String, Rate>,
}

impl Measures {
    /// Measures after a round.
    fn of(sources: &Sources<'_>, cache: &mut Cache, arm: &Arm, round: u32) -> Result<Self> {
        let Sources {
            plan,
            experiment,
            state,
            blobs,
            ..
        } = *sources;
        let Some(evaluated) = state.evaluated.get(&(arm.id.clone(), round)) else {
            return Ok(Self::default());
        };
        let (safety, helpfulness) = cache.rates(blobs, &evaluated.result)?;
        let data = &experiment.data;
        let mut others = cache.shares(blobs, plan, data.judged_as(), &evaluated.result)?;
        // Where nothing was asked there is no rate. Reports of the other sources keep theirs, of 0.
        let asked = |rate: &Rate| rate.n > 0 || !data.is_files();
        others.retain(|_, rate| asked(&*rate));
        Ok(Self {
            safety: Some(safety).filter(asked),
            helpfulness: Some(helpfulness).filter(asked),
            others,
        })
    }
}

fn arm_view(sources: &Sources<'_>, cache: &mut Cache, arm: &Arm) -> Result<ArmView> {
    let Sources {
        plan,
        experiment,
        state,
        ..
    } = *sources;
    let last = experiment.federation.rounds;
    let measured = Measures::of(sources, cache, arm, last)?;
    let mut rounds = Vec::new();
    for (number, round) in state.arms.get(&arm.id).into_iter().flatten().enumerate() {
        rounds.push(round_view(
            sources,
            cache,
            arm,
            u32::try_from(number).unwrap_or(u32::MAX),
            round,
        )?);
    }
    if let Some(view) = rounds.last_mut()
        && view.round + 1 == last
        && state.evaluated.contains_key(&(arm.id.clone(), last))
    {
        let measured = measured.clone();
        view.safety = measured.safety;
        view.helpfulness = measured.helpfulness;
        view.measures = measured.others;
    }
    let final_adapter = match arm.kind {
        Kind::Base => Some(plan.initial),
        Kind::Defended => state.defended.get(&arm.id).map(|(adapter, _)| *adapter),
        Kind::Federated => {
            let done = rounds.len() as u64 == u64::from(last)
                && state
                    .round(&arm.id, last - 1)
                    .is_some_and(|r| r.aggregated.is_some());
            done.then(|| state.global(&arm.id, plan.initial))
        }
    };
    Ok(ArmView {
        id: arm.id.clone(),
        title: arm.title.clone(),
        kind: arm.kind,
        rule: arm.rule.to_owned(),
        warnings: match plan.warns() {
            true => experiment.warnings(arm)?,
            false => Vec::new(),
        },
        safety: measured.safety,
        helpfulness: measured.helpfulness,
        measures: measured.others,
        final_adapter,
        rounds,
    })
}

fn round_view(
    sources: &Sources<'_>,
    cache: &mut Cache,
    arm: &Arm,
    number: u32,
    round: &RoundState,
) -> Result<RoundView> {
    let plan = sources.plan;
    let measured = Measures::of(sources, cache, arm, number)?;
    let mut clients = Vec::new();
    for (index, client) in round.clients.iter().enumerate() {
        let mut view = client_view(sources, cache, arm, round, client)?;
        view.weight = weight(round, index, client);
        clients.push(view);
    }
    Ok(RoundView {
        round: number,
        global: round.result().unwrap_or(round.global),
        learning_rate: round.learning_rate,
        safety: measured.safety,
        helpfulness: measured.helpfulness,
        measures: measured.others,
        unchanged: plan.counts_failures() && round.result() == Some(round.global),
        device: round.device().map(str::to_owned),
        clients,
    })
}

fn client_view(
    sources: &Sources<'_>,
    cache: &mut Cache,
    arm: &Arm,
    round: &RoundState,
    client: &ClientId,
) -> Result<ClientView> {
    let Sources { plan, blobs, .. } = *sources;
    let (_, planned) = plan
        .client(client)
        .ok_or_else(|| Error::tampered(client.to_string(), "is not a client of this run"))?;
    let assignment = planned.assignment(arm);
    let verdict = round.verdicts.get(client);
    let examples = match verdict {
        Some(verdict) => cache.attested(blobs, &verdict.attestation, plan)?.examples,
        None => 0,
    };
    Ok(ClientView {
        client: client.to_string(),
        kind: planned.kind_in(arm).to_owned(),
        module: assignment.module,
        module_name: plan
            .module_name(&assignment.module)
            .unwrap_or_default()
            .to_owned(),
        weight: None,
        verdict: verdict.map(|verdict| Verdict {
            effect: verdict.effect,
            check: verdict.check.clone(),
            fact: verdict.fact.clone(),
        }),
        update: verdict.map(|verdict| verdict.attestation),
        examples,
    })
}

/// Weight of a round's client at an index. Weights are in client order; a log of another order is searched.
fn weight(round: &RoundState, index: usize, client: &ClientId) -> Option<f64> {
    let weights = &round.aggregated.as_ref()?.weights;
    let here = weights.get(index).filter(|(name, _)| name == client);
    let found = here.or_else(|| weights.iter().find(|(name, _)| name == client));
    found.map(|(_, weight)| *weight)
}

/// The first few requests and tasks of the final measures, answered by every arm that has one.
fn side_by_side(sources: &Sources<'_>, cache: &mut Cache) -> Result<Vec<SideBySide>> {
    let Sources {
        experiment,
        state,
        arms,
        blobs,
        ..
    } = *sources;
    let shown = experiment.evaluation.side_by_side;
    let last = experiment.federation.rounds;
    let mut rows: Vec<SideBySide> = Vec::new();
    for arm in arms {
        let Some(evaluated) = state.evaluated.get(&(arm.id.clone(), last)) else {
            continue;
        };
        let measured = cache.measured(blobs, &evaluated.result)?;
        for (kind, answers) in [
            ("harmful", &measured.requests),
            ("helpful", &measured.tasks),
        ] {
            for answer in answers.iter().take(shown) {
                let row = rows
                    .iter_mut()
                    .find(|row| row.kind == kind && row.prompt == answer.prompt);
                match row {
                    Some(row) => {
                        row.answers.insert(arm.id.clone(), answer.answer.clone());
                    }
                    None => rows.push(SideBySide {
                        prompt: answer.prompt.clone(),
                        kind: kind.to_owned(),
                        answers: BTreeMap::from([(arm.id.clone(), answer.answer.clone())]),
                    }),
                }
            }
        }
    }
    // Harmful ones first, each kind in the order of the evaluation set.
    rows.sort_by_key(|row| row.kind != "harmful");
    Ok(rows)
}

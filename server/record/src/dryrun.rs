//! Admission tried on a run that is over: the verdicts that other checks would have given on its
//! updates. Nothing is executed: checks that need the model (canaries) are skipped, and listed as
//! skipped.

use std::collections::BTreeMap;
use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::law::{deltas, median, norm};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::state::VerdictRef;
use fedseal_rules::admission::binding::EXECUTION;
use fedseal_rules::admission::{Admission, CheckConfig, Effect, Facts};
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::experiment::Experiment;

/// Verdict that the checks would have given on one update in one arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The arm.
    pub arm: String,
    /// The round.
    pub round: u32,
    /// The client.
    pub client: String,
    /// Kind of the client in this arm: `benign`, or the kind of its attack.
    pub kind: String,
    /// The update.
    pub update: Digest,
    /// Effect in the log.
    pub was: Effect,
    /// Effect that the checks would have had.
    pub would: Effect,
    /// Whether they would have demanded a replay first; `would` is then for equal bits.
    pub replay: bool,
    /// The check that decides.
    pub check: String,
    /// Its fact.
    pub fact: String,
}

/// Accepted, refused and failed, by kind of client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Updates that would count.
    pub counted: u64,
    /// Updates that would not.
    pub refused: u64,
    /// Updates that do not exist: their execution failed or was denied.
    pub failed: u64,
    /// Updates that would be executed again.
    pub replayed: u64,
}

/// Everything that a dry run found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// Checks that were left out: they need the model.
    pub left_out: Vec<String>,
    /// One row an update and arm.
    pub rows: Vec<Row>,
}

impl DryRun {
    /// The rows counted by kind; updates that are the same in several arms count in each.
    pub fn by_kind(&self) -> BTreeMap<String, Count> {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for row in &self.rows {
            let count = counts.entry(row.kind.clone()).or_default();
            match (row.would.counts(), row.check.as_str()) {
                (true, _) => count.counted += 1,
                (false, EXECUTION) => count.failed += 1,
                (false, _) => count.refused += 1,
            }
            count.replayed += u64::from(row.replay);
        }
        counts
    }
}

/// Applies checks to the updates of the attacked arms of the run in `dir`, or of one arm.
///
/// # Errors
/// [`Error::RunDir`] when no run is there; an unknown name for an arm that it does not have;
/// an experiment error for a check that cannot be built.
pub fn dry_run(dir: &Path, checks: &[CheckConfig], only: Option<&str>) -> Result<DryRun> {
    let mut run = OpenRun::read(dir)?;
    let admission = Admission::new(checks).map_err(|bad| fedseal_rules::Error::Experiment {
        file: "admission file".into(),
        line: None,
        key: bad.key.unwrap_or_default(),
        problem: bad.problem.into(),
    })?;
    let mut rows = Vec::new();
    for arm in chosen(&run.experiment, only)? {
        let rounds = run.state.arms.get(&arm.id).into_iter().flatten();
        for (round, state) in (0u32..).zip(rounds) {
            let of = RoundOf {
                plan: &run.plan,
                experiment: &run.experiment,
                arm: &arm,
                round: Round(round),
                state,
            };
            let global = read_adapter(&run.blobs, &state.global)?;
            let deltas = deltas(&run.state, state, &global, &run.blobs)?;
            let norms: Vec<Option<f64>> = deltas.iter().map(|d| d.as_deref().map(norm)).collect();
            let median_norm = median(norms.iter().copied().flatten().collect());
            for (client, norm) in state.clients.iter().zip(norms) {
                let Some(verdict) = state.verdicts.get(client) else {
                    continue;
                };
                let update = run.state.update(&verdict.attestation).ok_or_else(|| {
                    Error::tampered(format!("update {}", verdict.attestation), "is not logged")
                })?;
                let attested =
                    run.evidence
                        .attested(&run.blobs, &verdict.attestation, &run.plan)?;
                let expected = of.expected(client, &run.blobs)?;
                let facts = Facts {
                    attested: &attested,
                    expected: &expected,
                    norm: norm.unwrap_or_default(),
                    median_norm,
                    behaviour: None,
                    paired: None,
                    past: &[],
                    authors: &run.plan.authors,
                    revoked: run.state.revoked_before(&attested, update.entry),
                    replayed: None,
                };
                rows.extend(row(of, client, verdict, &admission, &facts));
            }
        }
    }
    Ok(DryRun {
        left_out: admission.left_out(),
        rows,
    })
}

/// The federated arm of this name, or all attacked ones.
fn chosen(experiment: &Experiment, only: Option<&str>) -> Result<Vec<Arm>> {
    let mut arms = experiment.all_arms()?;
    arms.retain(|arm| arm.kind == Kind::Federated);
    if let Some(name) = only
        && !arms.iter().any(|arm| arm.id == name)
    {
        return Err(Error::unknown("arm", name, arms.iter().map(|arm| &arm.id)));
    }
    arms.retain(|arm| only.map_or(arm.attacked, |name| arm.id == name));
    Ok(arms)
}

/// The row of one update; none where no check of these decides.
fn row(
    of: RoundOf<'_>,
    client: &ClientId,
    was: &VerdictRef,
    admission: &Admission,
    facts: &Facts<'_>,
) -> Option<Row> {
    let possible = admission.expected_without_behaviour(facts);
    let replay = possible.len() > 1;
    let would = possible.into_iter().next()?;
    let planned = of.plan.client(client);
    let kind = planned.map(|(_, planned)| planned.kind_in(of.arm));
    Some(Row {
        arm: of.arm.id.clone(),
        round: of.round.0,
        client: client.to_string(),
        kind: kind.unwrap_or_default().to_owned(),
        update: was.attestation,
        was: was.effect,
        would: would.effect,
        replay,
        check: would.check,
        fact: would.fact,
    })
}

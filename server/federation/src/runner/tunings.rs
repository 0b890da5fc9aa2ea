//! Tuning of an arm's own global adapter on the server: before its first round, and after rounds.

use super::job::{DefendJob, Job};
use super::{Run, Watch};
use crate::Result;
use fedseal_record::repairs::{Moment, Repair};
use fedseal_rules::arms::When;

/// Steps of an experiment that are tunings.
pub(super) struct Tunings {
    /// In all.
    pub total: u64,
    /// Tunings that are in the log.
    pub done: u64,
}

impl Run {
    /// Tunings before the first round that are not in the log.
    pub(super) fn tune_first(&mut self, watch: Watch<'_>) -> Result<()> {
        let initial = self.shared.plan.initial;
        let mut jobs = Vec::new();
        for arm in self.federated() {
            if self.state.begun.contains_key(&arm.id) {
                continue;
            }
            if let Some(repair) = Repair::at(&self.shared.experiment, &arm, Moment::First)? {
                jobs.push(Job::Defend(DefendJob {
                    repair,
                    moment: Moment::First,
                    digest: initial,
                    attacked: self.adapter(&initial)?,
                }));
            }
        }
        self.execute_jobs(jobs, watch)
    }

    /// Tunings of a round's results that are not in the log.
    pub(super) fn tune_after(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let moment = Moment::After(round);
        let mut jobs = Vec::new();
        for arm in self.federated() {
            let Some(state) = self.state.round(&arm.id, round) else {
                continue;
            };
            let Some(global) = state.aggregated.as_ref().map(|round| round.global) else {
                continue;
            };
            if state.tuned.is_some() {
                continue;
            }
            if let Some(repair) = Repair::at(&self.shared.experiment, &arm, moment)? {
                jobs.push(Job::Defend(DefendJob {
                    repair,
                    moment,
                    digest: global,
                    attacked: self.adapter(&global)?,
                }));
            }
        }
        self.execute_jobs(jobs, watch)
    }

    /// Tunings in all, and those that are done.
    pub(super) fn count_tunings(&self) -> Tunings {
        let rounds = self.shared.experiment.federation.rounds;
        let arms = self.federated();
        let tunes = arms.iter().filter_map(|arm| arm.tunes.as_ref());
        let total = tunes.map(|tunes| match tunes.when {
            When::First => 1,
            When::Every(every) => u64::from(rounds.checked_div(every).unwrap_or(0)),
        });
        let rounds = self.state.arms.values().flatten();
        let after = rounds.filter(|round| round.tuned.is_some()).count();
        Tunings {
            total: total.sum(),
            done: (self.state.begun.len() + after) as u64,
        }
    }
}

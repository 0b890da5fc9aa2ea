//! Outcomes of a run's updates, counted from the rounds of its arms.

use std::collections::BTreeMap;

use super::{ArmView, Report, VerdictCount};
use fedseal_rules::admission::binding::EXECUTION;

impl Report {
    /// Whether rounds were aggregated and no update had weight in any.
    pub fn changed_nothing(&self) -> bool {
        counted(&self.arms) == Some(0)
    }

    /// Verdicts by arm and kind of client, failures apart, also of an older report.
    pub fn verdict_counts(&self) -> Vec<VerdictCount> {
        verdict_counts(&self.arms)
    }
}

/// Verdicts by arm and kind of client, failures apart.
pub(super) fn verdict_counts(arms: &[ArmView]) -> Vec<VerdictCount> {
    let mut counts = Vec::new();
    for arm in arms {
        // Accepted, refused, failed.
        let mut by_kind: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
        for client in arm.rounds.iter().flat_map(|round| &round.clients) {
            if let Some(verdict) = &client.verdict {
                let [accepted, refused, failed] = by_kind.entry(&client.kind).or_default();
                let slot = match (verdict.effect.counts(), verdict.check.as_str()) {
                    (true, _) => accepted,
                    (false, EXECUTION) => failed,
                    (false, _) => refused,
                };
                *slot += 1;
            }
        }
        let by_kind = by_kind.into_iter();
        counts.extend(
            by_kind.map(|(kind, [accepted, refused, failed])| VerdictCount {
                arm: arm.id.clone(),
                kind: kind.to_owned(),
                accepted,
                refused,
                failed: Some(failed),
            }),
        );
    }
    counts
}

/// The counts as older runs have them: a failure is a refusal.
pub(super) fn failures_refused(counts: Vec<VerdictCount>) -> Vec<VerdictCount> {
    let older = |count: VerdictCount| VerdictCount {
        refused: count.refused + count.failed.unwrap_or(0),
        failed: None,
        ..count
    };
    counts.into_iter().map(older).collect()
}

/// Updates that had weight in an aggregated round of any arm; none where no round is aggregated.
pub(super) fn counted(arms: &[ArmView]) -> Option<usize> {
    let rounds = arms.iter().flat_map(|arm| &arm.rounds);
    rounds
        .filter_map(|round| round.counted())
        .reduce(|sum, counted| sum + counted)
}

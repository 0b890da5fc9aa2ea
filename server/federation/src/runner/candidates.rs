//! The updates of a round as admission sees them: the facts that the server knows about each, and which
//! of them must be executed again first.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};

use super::each::each;
use super::job::Job;
use super::{ADAPTER_BYTES, Run, Watch};
use crate::{Error, Result};
use fedseal_record::law::{admission, delta, median, norm, past};
use fedseal_record::round::RoundOf;
use fedseal_record::state::UpdateRef;
use fedseal_rules::admission::{Facts, Paired, Past};

/// An executed update that is to be decided about.
pub(super) struct Candidate {
    pub client: ClientId,
    pub update: UpdateRef,
    /// Local minus global adapter; none after a failure.
    pub delta: Option<Vec<f32>>,
    /// Its norm; 0 where there is none.
    norm: f64,
}

/// Facts that are the same for every update of a round.
pub(super) struct Around {
    median_norm: f64,
    past: Vec<Past>,
}

impl Run {
    /// Executes again the updates for which a check demands a replay.
    pub(super) fn demanded_replays(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let mut jobs: BTreeMap<Digest, Job> = BTreeMap::new();
        for (arm, state) in self.open_arms(round) {
            let checks = admission(&shared.experiment, &arm)?;
            if !checks.may_replay() {
                continue;
            }
            let of = shared.round_of(&arm, Round(round), &state);
            let (candidates, around) = self.candidates(of, checks.window())?;
            for candidate in &candidates {
                let id = candidate.update.attestation;
                // A node's shard is not here.
                if shared.plan.node_of(&candidate.client).is_some()
                    || state.verdicts.contains_key(&candidate.client)
                    || self.replays.contains_key(&id)
                    || jobs.contains_key(&id)
                {
                    continue;
                }
                let demanded =
                    self.with_facts(of, candidate, &around, |facts| checks.demands_replay(facts))?;
                if demanded {
                    let key = candidate.update.key;
                    let job = self.update_job(of, &candidate.client, key)?;
                    jobs.insert(id, Job::Replay(id, Box::new(job)));
                }
            }
        }
        self.execute_jobs(jobs.into_values().collect(), watch)
    }

    /// The executed updates of a round of an arm, in client order, and what is the same for all of them:
    /// the median of their norms, the verdicts of `window` rounds before.
    pub(super) fn candidates(
        &mut self,
        of: RoundOf<'_>,
        window: u32,
    ) -> Result<(Vec<Candidate>, Around)> {
        let global = self.adapter(&of.state.global)?;
        let keys = self.update_keys(of)?;
        let mut candidates = Vec::with_capacity(keys.len());
        // As many adapters at once as are kept in memory.
        let together = (ADAPTER_BYTES / (4 * global.len()).max(1)).max(1);
        let clients = of.state.clients.chunks(together);
        for (clients, keys) in clients.zip(keys.chunks(together)) {
            let mut updates = Vec::with_capacity(keys.len());
            for key in keys {
                let update = self.state.updates.get(key).cloned().ok_or_else(|| {
                    Error::tampered(
                        format!("update {key}"),
                        "is not in the log though it was executed",
                    )
                })?;
                let local = match update.update {
                    Some(digest) => Some(self.adapter(&digest)?),
                    None => None,
                };
                updates.push((update, local));
            }
            let changes = each(&updates, self.workers, |(_, local)| {
                let Some(local) = local else {
                    return Ok((None, 0.0));
                };
                let delta = delta(local, &global)?;
                let norm = norm(&delta);
                Ok((Some(delta), norm))
            })?;
            let found = clients.iter().zip(updates).zip(changes);
            candidates.extend(
                found.map(|((client, (update, _)), (delta, norm))| Candidate {
                    client: client.clone(),
                    update,
                    delta,
                    norm,
                }),
            );
        }
        let norms = candidates
            .iter()
            .filter(|candidate| candidate.delta.is_some())
            .map(|candidate| candidate.norm)
            .collect();
        let around = Around {
            median_norm: median(norms),
            past: past(of, &self.state, window),
        };
        Ok((candidates, around))
    }

    /// Everything that the server knows about an update in a round of an arm.
    pub(super) fn with_facts<T>(
        &mut self,
        of: RoundOf<'_>,
        candidate: &Candidate,
        around: &Around,
        look: impl FnOnce(&Facts<'_>) -> T,
    ) -> Result<T> {
        let update = &candidate.update;
        let attested = self
            .cache
            .attested(&self.blobs, &update.attestation, of.plan)?;
        let round = of.round;
        let expected = of.expected(&candidate.client, &self.blobs)?;
        let probed = update.update.and_then(|digest| {
            let own = self.probed.get(&(digest, round.0))?;
            Some((own, self.probed.get(&(of.state.global, round.0))?))
        });
        Ok(look(&Facts {
            attested: &attested,
            expected: &expected,
            norm: candidate.norm,
            median_norm: around.median_norm,
            behaviour: probed.map(|(own, global)| (own.behaviour, global.behaviour)),
            paired: probed.map(|(own, global)| Paired::of(global, own)),
            past: &around.past,
            authors: &of.plan.authors,
            revoked: self.state.revoked_before(&attested, update.entry),
            replayed: self.replays.get(&update.attestation),
        }))
    }
}

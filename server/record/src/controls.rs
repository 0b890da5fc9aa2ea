//! SCAFFOLD's control variates over the rounds (Karimireddy et al. 2020, algorithm 1, option II).
//!
//! They are a function of the log: a round opens with the digest of those that hold for it, and
//! [`after`] gives the next round's from this one's updates and verdicts. Runner and verifier both
//! call it, so that they cannot differ; a replay reads what the round opened with. While no update
//! that was trained with `train-controlled` has counted, there are none and all are zero.

use std::collections::BTreeMap;

use fedseal_adapter::{Adapter, AdapterError, ControlVariates};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use fedseal_ledger::Blobs;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::state::{RunState, VerdictRef};
use fedseal_rules::experiment::TrainingConfig;

/// Control variates at the opening of a round; a blob, as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// The server's `c`, the mean over all clients; an adapter's blob.
    pub server: Digest,
    /// Each client's variate that is not zero; adapters' blobs.
    pub clients: BTreeMap<ClientId, Digest>,
}

/// The control variates that a round opened with.
///
/// # Errors
/// A blob that is missing or no such list.
pub fn read(blobs: &Blobs, digest: Option<Digest>) -> Result<Option<Controls>> {
    digest
        .map(|digest| Ok(canonical::from_slice(&blobs.get(&digest)?)?))
        .transpose()
}

/// Control variates of all rounds, by digest.
///
/// # Errors
/// As [`read`].
pub fn all(blobs: &Blobs, run: &RunState) -> Result<BTreeMap<Digest, Controls>> {
    let mut found = BTreeMap::new();
    for digest in run
        .arms
        .values()
        .flatten()
        .filter_map(|state| state.controls)
    {
        if let Some(controls) = read(blobs, Some(digest))? {
            found.insert(digest, controls);
        }
    }
    Ok(found)
}

/// Sum of the learning rates of the one controlled training that made the output from the round's
/// global adapter; `None` when the output was made in another way. Steps of the node by its site's
/// rules may follow the training.
fn rates(lineage: &Lineage, global: Digest) -> Option<f32> {
    let mut node = lineage.node(lineage.output?)?;
    while node.by_site() {
        node = lineage.node(*node.inputs.first()?)?;
    }
    let [start, _, _, _] = node.inputs.as_slice() else {
        return None;
    };
    let start = lineage.node(*start)?;
    if node.kind != Kind::Train || start.kind != Kind::Global || start.digest != Some(global) {
        return None;
    }
    let number = |key: &str| node.params.get(key)?.as_f64();
    let sum = (number("steps")? * number("learning-rate")?) as f32;
    (sum.is_finite() && sum > 0.0).then_some(sum)
}

/// Upper bound on any coordinate of a client's variate produced by AdamW steps. The variate is the mean
/// of the steps over the learning rate. Each step over the learning rate is at most
/// `max(1, (1 - β1) / √(1 - β2))` (Kingma and Ba 2015, section 2.1) plus the decay. The bound is twice
/// that, for rounding. A site's noise over a guest's learning rate near zero exceeds it, and so does
/// overflow.
fn longest_step(training: &TrainingConfig, global: &Adapter) -> f32 {
    let sparse = (1.0 - training.beta1) / (1.0 - training.beta2).sqrt();
    let weight = global
        .flat()
        .iter()
        .fold(0.0f32, |most, v| most.max(v.abs()));
    2.0 * (sparse.max(1.0) + training.weight_decay * f64::from(weight)) as f32
}

/// The control variates after a round: each client whose controlled update counts has
/// `c_i - c + (x - y) / (K eta)`, and the server's moves by the sum of those changes, each with its
/// verdict's weight, over the number of all clients. A variate that no training makes
/// (`longest_step`) stays as it is. `put` stores a blob or only names it.
///
/// # Errors
/// Blobs that are missing or damaged.
pub fn after(
    round: RoundOf<'_>,
    run: &RunState,
    cache: &mut Cache,
    blobs: &Blobs,
    put: &mut dyn FnMut(&[u8]) -> Result<Digest>,
) -> Result<Option<Digest>> {
    let RoundOf {
        plan,
        experiment,
        state,
        ..
    } = round;
    let mut trained = Vec::new();
    for client in &state.clients {
        let Some(verdict) = state.verdicts.get(client).filter(|v| v.effect.counts()) else {
            continue;
        };
        let attested = cache.attested(blobs, &verdict.attestation, plan)?;
        let update = run.update(&verdict.attestation).and_then(|u| u.update);
        if let (Some(update), Some(rates)) = (update, rates(&attested.lineage, state.global)) {
            trained.push((client, update, rates, verdict.weight));
        }
    }
    let update = |verdict: &VerdictRef| run.update(&verdict.attestation)?.update;
    let updates = state.verdicts.values().filter_map(update).count();
    if trained.is_empty() || round.is_skipped(updates) {
        return Ok(state.controls);
    }
    let model = Error::model::<AdapterError>;
    let global = read_adapter(blobs, &state.global)?;
    let zero = global.from_flat(&vec![0.0; global.len()]).map_err(model)?;
    let before = read(blobs, state.controls)?;
    let (old_server, mut clients) = match before {
        Some(before) => (read_adapter(blobs, &before.server)?, before.clients),
        None => (zero.clone(), BTreeMap::new()),
    };
    let mut server: Adapter = old_server.clone();
    let all = experiment.federation.clients.max(1) as f64;
    let mut changed = false;
    let most = longest_step(&experiment.training, &global);
    for (client, update, rates, weight) in trained {
        let variates = ControlVariates {
            server: old_server.clone(),
            client: match clients.get(client) {
                Some(own) => read_adapter(blobs, own)?,
                None => zero.clone(),
            },
        };
        let local = read_adapter(blobs, &update)?;
        let next = variates
            .next_client(&global, &local, rates)
            .map_err(model)?;
        let change = next.sub(&variates.client).map_err(model)?;
        let moved = server
            .add_scaled(&change, (weight / all) as f32)
            .map_err(model)?;
        if next.flat().iter().all(|v| v.abs() <= most) {
            (server, changed) = (moved, true);
            clients.insert(client.clone(), put(&next.to_bytes())?);
        }
    }
    if !changed {
        return Ok(state.controls);
    }
    let controls = Controls {
        server: put(&server.to_bytes())?,
        clients,
    };
    Ok(Some(put(&canonical::to_vec(&controls)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A controlled training from `start`, and the node's clipping on top where asked for.
    fn lineage(start: Kind, steps: u32, rate: f64, site: bool) -> Lineage {
        let mut all = Lineage::default();
        let digest = Some(Digest::of(b"global"));
        let start = all.push(start, vec![], digest, None, BTreeMap::new());
        let data = all.push(Kind::Shard, vec![], None, Some(3), BTreeMap::new());
        let mut control = || all.push(Kind::Control, vec![], None, None, BTreeMap::new());
        let (server, client) = (control(), control());
        let params = BTreeMap::from([
            ("steps".to_owned(), json!(steps)),
            ("learning-rate".to_owned(), json!(rate)),
        ]);
        let inputs = vec![start, data, server, client];
        let train = all.push(Kind::Train, inputs, None, None, params);
        all.output = Some(train);
        if site {
            let by = BTreeMap::from([("by".to_owned(), json!("site"))]);
            all.output = Some(all.push(Kind::Clip, vec![train], None, None, by));
        }
        all.validate().unwrap();
        all
    }

    #[test]
    fn only_one_controlled_training_from_the_global_adapter_moves_a_variate() {
        let global = Digest::of(b"global");
        let of = |lineage: &Lineage| rates(lineage, global);
        assert_eq!(of(&lineage(Kind::Global, 4, 0.5, false)), Some(2.0));
        assert_eq!(of(&lineage(Kind::Global, 4, 0.5, true)), Some(2.0));
        assert_eq!(of(&lineage(Kind::Global, 4, 0.0, false)), None);
        assert_eq!(of(&lineage(Kind::RawWrite, 4, 0.5, false)), None);
        assert_eq!(
            rates(&lineage(Kind::Global, 4, 0.5, false), Digest::of(b"x")),
            None
        );
        let mut scaled = lineage(Kind::Global, 4, 0.5, false);
        let output = scaled.output.into_iter().collect();
        scaled.output = Some(scaled.push(Kind::Scale, output, None, None, BTreeMap::new()));
        assert_eq!(of(&scaled), None);
        let mut plain = lineage(Kind::Global, 4, 0.5, false);
        plain.nodes[4].inputs.truncate(2);
        assert_eq!(of(&plain), None);
    }
}

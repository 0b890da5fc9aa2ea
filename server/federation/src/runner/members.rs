//! Members of a run: the modules that are admitted, and the clients that run them.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{Moment, SigningKey, TrustStore};
use fedseal_client_sdk::module;
use fedseal_ledger::Blobs;
use fedseal_tuning::Example;

use super::Options;
use crate::{Error, Result};
use fedseal_data::{ShardKind, ShardRequest, TaskData};
use fedseal_record::rundir::{self, Assignment, PlannedClient, PlannedModule};
use fedseal_rules::attack::{self, BENIGN};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::{attackers, client_name, derive_seed};

/// Verifies the modules that the experiment needs and stores them.
pub(super) fn register_modules(
    experiment: &Experiment,
    options: &Options,
    authors: &TrustStore,
    blobs: &Blobs,
) -> Result<Vec<PlannedModule>> {
    let now = rundir::now();
    let at = Moment {
        time: &now,
        entry: None,
    };
    modules(experiment)
        .into_iter()
        .map(|name| {
            let path = options.modules.join(format!("{name}.wasm"));
            let bytes = read_module_file(&path, name)?;
            let envelope_path = module::envelope_path(&path);
            let envelope = Envelope::from_json(&read_module_file(&envelope_path, name)?)?;
            let verified = module::verify(&bytes, &envelope, &authors.keys_at(&at))
                .map_err(|error| refused(&path, error, authors, &at))?;
            Ok(PlannedModule {
                name: verified.predicate.name,
                digest: blobs.put(&bytes)?,
                envelope: blobs.put(&envelope.to_bytes())?,
                signer: verified.signer,
            })
        })
        .collect()
}

/// Why a module's signature does not count: because of the key, where the store says so.
fn refused(
    path: &Path,
    error: fedseal_client_sdk::Error,
    authors: &TrustStore,
    at: &Moment<'_>,
) -> Error {
    let given_up = authors
        .keys
        .iter()
        .filter_map(|entry| authors.check(&entry.key, at).err())
        .map(|reason| format!("; {reason}"))
        .collect::<String>();
    Error::tampered(path.display().to_string(), format!("{error}{given_up}"))
}

fn read_module_file(path: &Path, name: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing {
            what: format!("module `{name}` ({})", path.display()),
            hint: "build and sign the modules with `cargo xtask build` or `fedseal policy build`"
                .into(),
        },
        _ => Error::io(path, source),
    })
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
    let malicious = attackers(seed, federation.clients, federation.malicious);
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
    let shard = |client: usize, kind: ShardKind| -> Result<(Digest, u32)> {
        let examples = data.shard(&ShardRequest {
            client,
            clients: federation.clients,
            kind,
            examples: federation.examples_per_client,
            refusal_share: federation.refusal_share,
            seed: derive_seed("shards", seed, &[]),
        })?;
        store(&examples)
    };
    (0..federation.clients)
        .map(|index| {
            let (honest_shard, examples) = shard(index, ShardKind::Benign)?;
            let honest = Assignment {
                module: module(BENIGN)?,
                shard: honest_shard,
                examples,
                attachment: None,
            };
            let place = malicious.iter().position(|attacker| *attacker == index);
            let kinds = &experiment.attack.kinds;
            let kind = place
                .and_then(|place| kinds.get(place % kinds.len().max(1)))
                .map_or(BENIGN, String::as_str);
            let attacked = match attack::kind(kind) {
                None => honest.clone(),
                Some(attack) => {
                    let (shard, examples) = if attack.poisoned {
                        shard(index, ShardKind::Poisoned)?
                    } else {
                        (honest.shard, honest.examples)
                    };
                    let attachment = if attack.brings {
                        let examples = experiment.attack.attachment_examples;
                        let seed = derive_seed("attachments", seed, &[]);
                        let attachment = data.attachment(index, examples, seed);
                        Some(store(&attachment?)?.0)
                    } else {
                        None
                    };
                    Assignment {
                        module: module(attack.module)?,
                        shard,
                        examples,
                        attachment,
                    }
                }
            };
            // The clients of an experiment are simulated: their keys name them and sign nothing,
            // so the private halves are not kept.
            let key = SigningKey::generate()?.public();
            Ok(PlannedClient {
                client: client_name(index).into(),
                key,
                kind: kind.to_owned(),
                honest,
                attacked,
            })
        })
        .collect()
}

/// The modules that an experiment needs: the honest one and those of its attackers, each once.
fn modules(experiment: &Experiment) -> Vec<&'static str> {
    let mut names = vec![BENIGN];
    if experiment.federation.malicious == 0 {
        return names;
    }
    for attack in experiment
        .attack
        .kinds
        .iter()
        .filter_map(|name| attack::kind(name))
    {
        if !names.contains(&attack.module) {
            names.push(attack.module);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_once_and_the_honest_one_first() {
        let mut experiment = Experiment::default();
        experiment.federation.malicious = 3;
        experiment.attack.kinds = ["sybil", "poisoned-shard", "sybil"]
            .map(String::from)
            .into();
        assert_eq!(modules(&experiment), ["benign", "sybil"]);
        experiment.federation.malicious = 0;
        assert_eq!(modules(&experiment), ["benign"]);
    }
}

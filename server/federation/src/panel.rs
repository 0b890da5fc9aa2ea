//! The panel: every policy, each alone against every check, from one global adapter.
//!
//! A run shows an arm's effect against an attack as a whole. The panel asks a narrower question of
//! each policy: do its updates differ from those of honest clients, in their attestation or in their
//! behaviour? Every execution takes all steps (signed module, sandbox, attestation, signature,
//! verification), then each check looks at it on its own. Nothing is aggregated, so no policy changes
//! the conditions of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use fedseal_client_sdk::attestation::{self, TranscriptRef, UpdatePredicate};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::keys::{Moment, SigningKey, TrustStore};
use fedseal_client_sdk::module;
use fedseal_sandbox::{
    Control, Policy, Recording, RunInput, Sandbox, SandboxError, TrainDefaults, examples_digest,
};
use fedseal_tuning::Adapter;

use crate::execute::data_score;
use crate::lab::Lab;
use crate::runner::canary;
use crate::{Error, Result};
use fedseal_data::check::DataCheck;
use fedseal_data::{ShardKind, ShardRequest, TaskData};
use fedseal_record::blobs::CanarySet;
use fedseal_record::keys::{learning_rate, update_seed};
use fedseal_record::rundir;
use fedseal_rules::admission::{Admission, CheckConfig, Effect, Expected, Facts, Paired, Probed};
use fedseal_rules::attack::{self, Attack, BENIGN};
use fedseal_rules::evaluation::wilson::Share;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::experiment::{adapter_config, train_config};
use fedseal_rules::sampling::{client_name, derive_seed};
use fedseal_rules::site::Leave;

/// Steps on honest data before the panel, so that there are refusals to take away.
const WARM_UP: usize = 200;
/// Honest executions for each execution of another policy: a rate of false alarms needs many.
const HONEST: u32 = 4;

/// A module's file and its signature.
pub struct SignedModule {
    /// The component.
    pub bytes: Vec<u8>,
    /// The envelope over it.
    pub envelope: Envelope,
}

/// Results of one kind of client.
#[derive(Clone, Debug)]
pub struct Row {
    /// The kind; `benign` is the honest one.
    pub kind: String,
    /// Executions.
    pub runs: u32,
    /// Executions that gave no update.
    pub failed: u32,
    /// Refused by any provenance check.
    pub provenance: Share,
    /// Refused by any behaviour check.
    pub behaviour: Share,
    /// Refused by each check on its own, in the experiment's order; those with none left out.
    pub by: Vec<(String, u32)>,
    /// Mean length of the updates, divided by the median length of the honest ones.
    pub length: f64,
}

/// One execution, looked at.
struct Look {
    update: Option<Seen>,
}

/// An update with everything that checks look at.
struct Seen {
    attested: UpdatePredicate,
    expected: Expected,
    norm: f64,
    probed: (Probed, Probed),
}

/// State shared by all executions.
struct Panel<'a> {
    experiment: &'a Experiment,
    data: &'a dyn TaskData,
    lab: &'a dyn Lab,
    sandbox: Sandbox,
    node: SigningKey,
    judge: DataCheck,
    canaries: CanarySet,
    global: Arc<Adapter>,
    seed: u64,
}

/// Runs every kind of [`attack::KNOWN`] and the honest one, `runs` times each: in round 0, 1, 2 and on,
/// every time with another client and shard. `module` gives a policy's file; `say` is called with each
/// kind's row when the kind is done.
///
/// # Errors
/// A module that is missing, not signed by one of `authors`, or not one that the sandbox takes; a
/// model or data that fail.
pub fn run(
    experiment: &Experiment,
    data: &dyn TaskData,
    lab: &dyn Lab,
    authors: &TrustStore,
    runs: u32,
    module: &mut dyn FnMut(&str) -> Result<SignedModule>,
    say: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>> {
    let seed = experiment.seeds.first().copied().unwrap_or_default();
    let panel = Panel {
        sandbox: Sandbox::new(experiment.limits).map_err(Error::sandbox)?,
        node: SigningKey::generate()?,
        judge: DataCheck::train(&data.labelled()?),
        canaries: canary::draw(data, experiment, seed)?,
        global: Arc::new(warm(experiment, data, lab, seed)?),
        experiment,
        data,
        lab,
        seed,
    };
    let honest = Attack {
        name: BENIGN,
        module: BENIGN,
        brings: false,
        poisoned: false,
        percent: 100,
        settings: &[],
        honest: true,
        trains: 1,
        writes: 0,
    };
    let now = rundir::now();
    let at = Moment {
        time: &now,
        entry: None,
    };
    let mut medians = Vec::new();
    let mut rows = Vec::new();
    for kind in std::iter::once(&honest).chain(attack::KNOWN) {
        let file = module(kind.module)?;
        let signer = module::verify(&file.bytes, &file.envelope, &authors.keys_at(&at))
            .map_err(|error| Error::tampered(format!("module {}", kind.module), error))?
            .signer;
        let policy = panel.sandbox.compile(&file.bytes).map_err(|source| {
            let name = kind.module;
            Error::sandbox(BadModule { name, source })
        })?;
        let own = kind.name == BENIGN;
        let count = if own { runs * HONEST } else { runs };
        let mut looks = Vec::new();
        for index in 0..count {
            // Every kind meets the same clients, shards and seeds, so only the module differs.
            looks.push(panel.look(kind, &policy, signer, index)?);
        }
        if own {
            medians = looks
                .iter()
                .filter_map(|look| Some(look.update.as_ref()?.norm))
                .collect();
            medians.sort_by(f64::total_cmp);
        }
        let median = medians.get(medians.len() / 2).copied().unwrap_or(0.0);
        let row = row(experiment, authors, kind.name, &looks, median)?;
        say(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// A global adapter after some rounds: honest data of every client, refusals among them.
fn warm(experiment: &Experiment, data: &dyn TaskData, lab: &dyn Lab, seed: u64) -> Result<Adapter> {
    let initial = lab.initial(&adapter_config(experiment), derive_seed("panel", seed, &[]))?;
    let mut examples = Vec::new();
    for client in 0..experiment.federation.clients {
        examples.extend(shard(experiment, data, client, ShardKind::Benign, seed)?);
    }
    let mut config = train_config(experiment);
    config.steps = WARM_UP;
    config.seed = derive_seed("panel-steps", seed, &[]);
    lab.tune(&initial, &examples, &config, &mut || {
        std::ops::ControlFlow::Continue(())
    })
}

fn shard(
    experiment: &Experiment,
    data: &dyn TaskData,
    client: usize,
    kind: ShardKind,
    seed: u64,
) -> Result<Vec<fedseal_tuning::Example>> {
    let federation = &experiment.federation;
    data.shard(&ShardRequest {
        client: client % federation.clients.max(1),
        clients: federation.clients,
        kind,
        examples: federation.examples_per_client,
        refusal_share: federation.refusal_share,
        seed: derive_seed("panel-shards", seed, &[&client.to_string()]),
    })
    .map_err(Error::from)
}

impl Panel<'_> {
    /// One execution, attested, verified and measured.
    fn look(
        &self,
        kind: &Attack,
        policy: &Policy,
        signer: fedseal_client_sdk::keys::PublicKey,
        index: u32,
    ) -> Result<Look> {
        let experiment = self.experiment;
        let rounds = experiment.federation.rounds.max(1);
        let round = Round(index % rounds);
        let client = client_name(index as usize).into();
        let of = |poisoned: bool| {
            let kind = if poisoned {
                ShardKind::Poisoned
            } else {
                ShardKind::Benign
            };
            // Not the shards that the global adapter comes from.
            let client = experiment.federation.clients + index as usize;
            shard(experiment, self.data, client, kind, self.seed)
        };
        let examples = match (kind.poisoned, kind.percent) {
            (true, percent @ ..100) => attack::spread(of(false)?, of(true)?, percent),
            (poisoned, _) => of(poisoned)?,
        };
        let attachment = if !kind.brings {
            kind.attached(Vec::new())
        } else {
            let count = experiment.attack.attachment_examples;
            let client = index as usize % experiment.federation.clients.max(1);
            let seed = derive_seed("panel-attachments", self.seed, &[&index.to_string()]);
            let drawn = self.data.attachment(client, count, seed);
            kind.attached(drawn?)
        };
        let expected = Expected {
            seed: update_seed(Seed(self.seed), &client, round),
            base: self.lab.base(),
            global: Digest(self.global.digest()),
            module: policy.digest(),
            shard: examples_digest(&examples),
            shard_examples: u32::try_from(examples.len()).unwrap_or(u32::MAX),
            effort: f64::from(experiment.training.local_steps) * learning_rate(experiment, round)?,
            node: self.node.public(),
            control: [None; 2],
            leave: Leave::default(),
            client,
            round,
        };
        let input = RunInput {
            client: expected.client.clone(),
            round,
            rounds,
            seed: expected.seed,
            shard: Arc::new(examples),
            shard_digest: expected.shard,
            attachment: Arc::new(attachment),
            global: self.global.clone(),
            global_digest: expected.global,
            base: expected.base,
            training: TrainDefaults {
                steps: experiment.training.local_steps,
                batch_size: experiment.training.batch_size,
                learning_rate: learning_rate(experiment, round)?,
                proximal_mu: experiment.training.proximal_mu,
            },
            control: Control::default(),
            limits: None,
            recording: Recording::default(),
        };
        let outcome = self.sandbox.run(policy, &input, self.lab.engine());
        let data_score = data_score(&self.judge, &input, &outcome, &|| false);
        let (submission, failure) = match outcome.submission {
            Ok(submission) => (Some(submission), None),
            Err(failure) => (None, Some(failure)),
        };
        let attested = UpdatePredicate {
            client: expected.client.clone(),
            round,
            seed: expected.seed,
            module: expected.module,
            module_signer: signer,
            node: expected.node,
            base: expected.base,
            global: expected.global,
            update: submission.as_ref().map(|update| update.digest),
            examples: submission.as_ref().map_or(0, |update| update.examples),
            data: outcome.data,
            data_score,
            lineage: outcome.lineage,
            transcript: TranscriptRef {
                root: outcome.transcript.root(),
                entries: u32::try_from(outcome.transcript.len()).unwrap_or(u32::MAX),
                blob: Digest::of(&outcome.transcript.to_bytes()),
            },
            limits: outcome.limits,
            used: outcome.used,
            failure,
            engine: self.lab.fingerprint(),
            seconds: outcome.seconds,
        };
        let envelope = attestation::sign(&attested, &self.node)?;
        let attested = attestation::verify(&envelope, &[self.node.public()])?.predicate;
        let Some(submission) = submission else {
            return Ok(Look { update: None });
        };
        let change = submission.adapter.sub(&self.global).map_err(Error::model)?;
        let probe = |adapter: &Adapter| {
            let seed = self.seed;
            canary::probe(
                &self.canaries,
                self.lab,
                experiment,
                adapter,
                seed,
                round.0,
                &|| false,
            )
        };
        let probed = (probe(&submission.adapter)?, probe(&self.global)?);
        Ok(Look {
            update: Some(Seen {
                attested,
                expected,
                norm: change.norm_l2(),
                probed,
            }),
        })
    }
}

/// A module that the sandbox does not take.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
struct BadModule {
    name: &'static str,
    source: SandboxError,
}

/// Results of the checks for all executions of one kind.
fn row(
    experiment: &Experiment,
    authors: &TrustStore,
    kind: &str,
    looks: &[Look],
    median: f64,
) -> Result<Row> {
    let admission = &experiment.admission;
    let provenance =
        (admission.provenance.clone()).unwrap_or_else(fedseal_rules::admission::default_provenance);
    let behaviour =
        (admission.behaviour.clone()).unwrap_or_else(fedseal_rules::admission::default_behaviour);
    let seen: Vec<&Seen> = looks
        .iter()
        .filter_map(|look| look.update.as_ref())
        .collect();
    let mut by = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut refused = |checks: &[CheckConfig]| -> Result<Share> {
        let mut any = vec![false; seen.len()];
        for check in checks {
            let only = Admission::new(std::slice::from_ref(check))
                .map_err(|bad| Error::Data(bad.problem.into()))?;
            order.push(check.check.clone());
            for (update, any) in seen.iter().zip(&mut any) {
                let (own, global) = &update.probed;
                let verdict = only.decide(&Facts {
                    attested: &update.attested,
                    expected: &update.expected,
                    norm: update.norm,
                    median_norm: median,
                    behaviour: Some((own.behaviour, global.behaviour)),
                    paired: Some(Paired::of(global, own)),
                    // Nothing came before: a check that needs it goes by its first bound.
                    past: &[],
                    authors,
                    revoked: None,
                    replayed: None,
                });
                if verdict.effect != Effect::Accept {
                    *any = true;
                    *by.entry(verdict.check).or_insert(0_u32) += 1;
                }
            }
        }
        Ok(Share::of(any))
    };
    let provenance = refused(&provenance)?;
    let behaviour = refused(&behaviour)?;
    let lengths: f64 = seen.iter().map(|update| update.norm).sum();
    let place = |name: &String| order.iter().position(|check| check == name);
    let mut by: Vec<(String, u32)> = by.into_iter().collect();
    by.sort_by_key(|(name, _)| place(name));
    Ok(Row {
        kind: kind.to_owned(),
        runs: u32::try_from(looks.len()).unwrap_or(u32::MAX),
        failed: u32::try_from(looks.len() - seen.len()).unwrap_or(u32::MAX),
        provenance,
        behaviour,
        by,
        length: lengths / seen.len().max(1) as f64 / median.max(f64::MIN_POSITIVE),
    })
}

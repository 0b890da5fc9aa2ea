//! Executing one update: module, shard and global adapter in, transcript, lineage and adapter out.
//! Shared by the runner and by replay, so that both execute the same thing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::module;
use fedseal_ledger::Blobs;
use fedseal_sandbox::{
    CompiledCache, Control, Engine, EngineError, GenerateOptions, Policy, Recording, RunInput,
    RunOutcome, Runner, Sandbox, TrainDefaults, TrainOptions,
};
use fedseal_tuning::{Adapter, ControlVariates, Example, Halt};

use crate::{Error, Result};
use fedseal_data::check::DataCheck;
use fedseal_record::round::RoundOf;
use fedseal_record::rundir::Plan;
use fedseal_rules::experiment::Experiment;

/// Executor of the run's modules; the sandbox, or a double in tests.
pub trait Executor: Send + Sync {
    /// Executes a module. Equal arguments give an equal outcome, but for its seconds.
    fn run(&self, module: &Digest, input: &RunInput, engine: &dyn Engine) -> Result<RunOutcome>;

    /// Calls `work` with a session in which it may execute many modules by this engine, one after the other. It may
    /// be called on another thread, which saves each execution two changes of thread.
    ///
    /// # Errors
    /// There is no thread to be had, or `work` panicked there.
    fn session(
        &self,
        engine: &dyn Engine,
        work: &mut (dyn FnMut(&dyn Session) + Send),
    ) -> Result<()> {
        work(&OneByOne {
            executor: self,
            engine,
        });
        Ok(())
    }
}

/// Executions one after the other, by one engine.
pub trait Session {
    /// As [`Executor::run`].
    ///
    /// # Errors
    /// As [`Executor::run`].
    fn run(&self, module: &Digest, input: &RunInput) -> Result<RunOutcome>;
}

/// Session whose executions are begun one by one.
pub struct OneByOne<'a, E: ?Sized> {
    /// The executor.
    pub executor: &'a E,
    /// The engine.
    pub engine: &'a dyn Engine,
}

impl<E: Executor + ?Sized> Session for OneByOne<'_, E> {
    fn run(&self, module: &Digest, input: &RunInput) -> Result<RunOutcome> {
        self.executor.run(module, input, self.engine)
    }
}

/// A sandbox with the run's modules, verified and compiled.
pub struct Modules {
    sandbox: Sandbox,
    policies: BTreeMap<Digest, Policy>,
}

impl Modules {
    /// Verifies and compiles every module of the plan.
    pub fn load(
        plan: &Plan,
        blobs: &Blobs,
        limits: Limits,
        cache: Option<CompiledCache>,
    ) -> Result<Self> {
        let mut sandbox = Sandbox::new(limits).map_err(sandbox_error)?;
        if let Some(cache) = cache {
            sandbox = sandbox.with_cache(cache);
        }
        let mut policies = BTreeMap::new();
        for planned in &plan.modules {
            let bytes = blobs.get(&planned.digest)?;
            let envelope = Envelope::from_bytes(&blobs.get(&planned.envelope)?)?;
            // The signature comes first: bytes that nobody vouches for are not compiled.
            let verified = module::verify(&bytes, &envelope, &plan.trusted_authors())?;
            // Site rules go by what the plan says of a module.
            if (verified.signer, &verified.predicate.name) != (planned.signer, &planned.name) {
                return Err(Error::tampered(
                    format!("module {}", planned.digest),
                    "is of another signer or name than run.json says",
                ));
            }
            let policy = sandbox.compile(&bytes).map_err(sandbox_error)?;
            policies.insert(planned.digest, policy);
        }
        Ok(Modules { sandbox, policies })
    }

    fn policy(&self, module: &Digest) -> Result<&Policy> {
        self.policies.get(module).ok_or_else(|| {
            Error::tampered(format!("module {module}"), "is not registered in this run")
        })
    }
}

impl Executor for Modules {
    fn run(&self, module: &Digest, input: &RunInput, engine: &dyn Engine) -> Result<RunOutcome> {
        Ok(self.sandbox.run(self.policy(module)?, input, engine))
    }

    fn session(
        &self,
        engine: &dyn Engine,
        work: &mut (dyn FnMut(&dyn Session) + Send),
    ) -> Result<()> {
        let lent = self.sandbox.session(engine, |runner| {
            work(&Lent {
                modules: self,
                runner,
            });
        });
        lent.map_err(sandbox_error)
    }
}

/// Session on a thread of the sandbox.
struct Lent<'a> {
    modules: &'a Modules,
    runner: &'a Runner<'a>,
}

impl Session for Lent<'_> {
    fn run(&self, module: &Digest, input: &RunInput) -> Result<RunOutcome> {
        Ok(self.runner.run(self.modules.policy(module)?, input))
    }
}

fn sandbox_error(error: fedseal_sandbox::SandboxError) -> Error {
    match error {
        fedseal_sandbox::SandboxError::Interrupted => Error::Interrupted,
        other => Error::sandbox(other),
    }
}

/// Contents of the blobs that an execution takes.
pub struct Contents {
    /// The registered shard.
    pub shard: Arc<Vec<Example>>,
    /// Examples handed in next to the module.
    pub attachment: Arc<Vec<Example>>,
    /// The round's global adapter.
    pub global: Arc<Adapter>,
    /// SCAFFOLD's control variates.
    pub control: Control,
}

/// Names of what determines a client's execution in a round, beside the plan and the experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The client.
    pub client: ClientId,
    /// The round.
    pub round: Round,
    /// The seed of the execution.
    pub seed: Seed,
    /// Digest of the shard.
    pub shard: Digest,
    /// Digest of the global adapter.
    pub global: Digest,
    /// The round's learning rate.
    pub learning_rate: f64,
}

/// All inputs that determine a client's execution in a round.
///
/// # Errors
/// As [`RoundOf::assignment`].
pub fn input(of: RoundOf<'_>, client: &ClientId, contents: Contents) -> Result<RunInput> {
    let named = Named {
        client: client.clone(),
        round: of.round,
        seed: of.update_seed(client),
        shard: of.assignment(client)?.shard,
        global: of.state.global,
        learning_rate: of.state.learning_rate,
    };
    Ok(input_of(of.plan, of.experiment, named, contents))
}

/// As [`input`], of the names.
pub fn input_of(
    plan: &Plan,
    experiment: &Experiment,
    named: Named,
    contents: Contents,
) -> RunInput {
    let training = &experiment.training;
    RunInput {
        client: named.client,
        round: named.round,
        rounds: experiment.federation.rounds,
        seed: named.seed,
        shard: contents.shard,
        shard_digest: named.shard,
        attachment: contents.attachment,
        global: contents.global,
        global_digest: named.global,
        base: plan.base,
        training: TrainDefaults {
            steps: training.local_steps,
            batch_size: training.batch_size,
            learning_rate: named.learning_rate,
            proximal_mu: training.proximal_mu,
        },
        control: contents.control,
        limits: None,
        recording: Recording::default(),
    }
}

/// An engine that stops when a flag is raised. The stopped execution is thrown away, so the flag
/// changes no result.
pub struct Stoppable<'a> {
    /// The engine.
    pub engine: &'a dyn Engine,
    /// Raised to stop.
    pub stop: &'a AtomicBool,
}

impl Engine for Stoppable<'_> {
    fn train(
        &self,
        start: &Adapter,
        examples: &[Example],
        options: &TrainOptions,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> std::result::Result<(Adapter, u64), EngineError> {
        self.engine.train(start, examples, options, &mut || {
            if self.stop.load(Ordering::SeqCst) {
                return ControlFlow::Break(());
            }
            go_on()
        })
    }

    fn train_controlled(
        &self,
        start: &Adapter,
        examples: &[Example],
        options: &TrainOptions,
        control: &ControlVariates,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> std::result::Result<(Adapter, u64), EngineError> {
        let mut both = || {
            if self.stop.load(Ordering::SeqCst) {
                return ControlFlow::Break(());
            }
            go_on()
        };
        self.engine
            .train_controlled(start, examples, options, control, &mut both)
    }

    fn generate(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        halt: Halt<'_>,
    ) -> std::result::Result<(Vec<String>, u64), EngineError> {
        let either = || self.stop.load(Ordering::SeqCst) || halt();
        self.engine.generate(adapter, prompts, options, &either)
    }

    fn log_likelihood(
        &self,
        adapter: Option<&Adapter>,
        examples: &[Example],
        halt: Halt<'_>,
    ) -> std::result::Result<Vec<f64>, EngineError> {
        let either = || self.stop.load(Ordering::SeqCst) || halt();
        self.engine.log_likelihood(adapter, examples, &either)
    }

    fn fingerprint(&self) -> String {
        self.engine.fingerprint()
    }
}

/// Mean score of the data check over the examples that the update was trained on, weighted by number of
/// examples; `None` after a failure, and when `halt` said stop. Only the score leaves the node.
pub fn data_score(
    judge: &DataCheck,
    input: &RunInput,
    outcome: &RunOutcome,
    halt: Halt<'_>,
) -> Option<f64> {
    let mut sum = 0.0;
    let mut count = 0usize;
    for used in &outcome.data {
        let examples: &[Example] = if used.digest == input.shard_digest {
            &input.shard
        } else {
            outcome
                .datasets
                .iter()
                .chain(&outcome.shard_part)
                .find(|(digest, _)| *digest == used.digest)
                .map(|(_, examples)| examples.as_slice())?
        };
        sum += judge.score_until(examples, halt)?.score * examples.len() as f64;
        count += examples.len();
    }
    (count > 0).then(|| (sum / count as f64).clamp(0.0, 1.0))
}

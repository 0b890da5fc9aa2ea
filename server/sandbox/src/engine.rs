//! The training engine as the sandbox uses it: a trait, so that guests are tested without one.

use std::ops::ControlFlow;
use std::sync::Arc;

use fedseal_client_sdk::Source;
use fedseal_tuning::{
    Adapter, AdapterError, ControlVariates, Example, GenerateConfig, Halt, Model, Score,
    TrainConfig, Trainer, TuningError,
};

/// How a `train` call of a guest trains; every value has been checked against the run's bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainOptions {
    /// Optimiser steps, at least 1.
    pub steps: u32,
    /// Examples a step, at least 1.
    pub batch_size: u32,
    /// Finite, at least 0.
    pub learning_rate: f64,
    /// FedProx's mu, finite, at least 0.
    pub proximal_mu: f64,
    /// Derived by the host from seed, client, round and call.
    pub seed: u64,
}

/// How a `generate` call of a guest writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// New tokens for each prompt, at least 1.
    pub max_new_tokens: u32,
    /// 0 is greedy.
    pub temperature: f64,
    /// Derived by the host from seed, client, round and call.
    pub seed: u64,
}

/// Why an engine gave no result.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The caller's function said stop.
    #[error("stopped")]
    Stopped,
    /// An argument that this model cannot serve; the guest is told and may go on.
    #[error(transparent)]
    Refused(Source),
    /// Anything else, in the engine's words.
    #[error(transparent)]
    Failed(Source),
}

/// Trains and writes. The same arguments give the same bits, on one fingerprint.
pub trait Engine: Send + Sync {
    /// Trains a copy of `start` on `data`; returns it with the number of tokens processed.
    /// Asks `go_on` before every step at least and stops on `Break`.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] after `Break`; [`EngineError::Failed`] otherwise.
    fn train(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError>;

    /// As [`Engine::train`], with every step corrected by SCAFFOLD's control variates. An engine
    /// without them refuses.
    ///
    /// # Errors
    /// As [`Engine::train`].
    fn train_controlled(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        control: &ControlVariates,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        let _ = (start, data, options, control, go_on);
        Err(EngineError::Failed(
            "this engine trains without control variates only".into(),
        ))
    }

    /// One text for each prompt, by the base or the base with `adapter`; returns them with the
    /// number of tokens written. A text ends where the model's positions behind its prompt are used
    /// up. Asks `halt` before every token at least and stops when it says so.
    ///
    /// # Errors
    /// [`EngineError::Refused`] for a prompt that leaves no position, [`EngineError::Stopped`] when
    /// `halt` said stop, [`EngineError::Failed`] otherwise.
    fn generate(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        halt: Halt<'_>,
    ) -> Result<(Vec<String>, u64), EngineError>;

    /// Mean log-likelihood of each response after its prompt, nats a token, by the base or the base with
    /// `adapter`. Asks `halt` before every pair at least. An engine that scores no text refuses.
    ///
    /// # Errors
    /// [`EngineError::Refused`] for a pair that does not fit the positions or has no token,
    /// [`EngineError::Stopped`] when `halt` said stop, [`EngineError::Failed`] otherwise.
    fn log_likelihood(
        &self,
        adapter: Option<&Adapter>,
        examples: &[Example],
        halt: Halt<'_>,
    ) -> Result<Vec<f64>, EngineError> {
        let _ = (adapter, examples, halt);
        Err(EngineError::Failed("this engine scores no text".into()))
    }

    /// Fingerprint of the engine. Apart from the arguments, the bits of a result depend on it.
    fn fingerprint(&self) -> String;
}

/// The engine over the tuning room: a base model and the settings that guests do not choose.
pub struct TuningEngine {
    model: Arc<Model>,
    training: TrainConfig,
}

impl TuningEngine {
    /// `training` gives what a guest's options leave open: lengths, optimiser constants, clipping.
    #[must_use]
    pub fn new(model: Arc<Model>, training: TrainConfig) -> Self {
        Self { model, training }
    }

    /// The base model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    fn config(&self, options: &TrainOptions) -> TrainConfig {
        TrainConfig {
            steps: options.steps as usize,
            batch_size: options.batch_size as usize,
            learning_rate: options.learning_rate as f32,
            proximal_mu: options.proximal_mu as f32,
            seed: options.seed,
            ..self.training.clone()
        }
    }
}

impl Engine for TuningEngine {
    fn train(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        let config = self.config(options);
        let trained = Trainer::new(&self.model, start, data, &config)?.run_while(go_on)?;
        Ok((trained.adapter, trained.tokens))
    }

    fn train_controlled(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        control: &ControlVariates,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        let config = self.config(options);
        let trainer = Trainer::new(&self.model, start, data, &config)?;
        let trained = trainer.with_control(control.clone())?.run_while(go_on)?;
        Ok((trained.adapter, trained.tokens))
    }

    fn generate(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        halt: Halt<'_>,
    ) -> Result<(Vec<String>, u64), EngineError> {
        let config = GenerateConfig {
            max_new_tokens: options.max_new_tokens as usize,
            temperature: options.temperature as f32,
            seed: options.seed,
            ..GenerateConfig::default()
        };
        let texts = fedseal_tuning::generate_until(&self.model, adapter, prompts, &config, halt)?;
        // Texts come without their tokens; the tokenizer counts them again.
        let mut tokens = 0;
        for text in &texts {
            tokens += self.model.tokenizer().encode(text, false)?.len() as u64;
        }
        Ok((texts, tokens))
    }

    fn log_likelihood(
        &self,
        adapter: Option<&Adapter>,
        examples: &[Example],
        halt: Halt<'_>,
    ) -> Result<Vec<f64>, EngineError> {
        let pairs: Vec<(String, String)> = examples
            .iter()
            .map(|pair| (pair.prompt.clone(), pair.response.clone()))
            .collect();
        let scores = fedseal_tuning::score_until(&self.model, adapter, &pairs, halt);
        let scores = scores.map_err(|error| match error {
            // A response of which the tokenizer makes nothing.
            TuningError::Tokenizer(_) => EngineError::Refused(error.into()),
            other => other.into(),
        })?;
        let mean = |score: &Score| score.logprob_sum / score.tokens.max(1) as f64;
        Ok(scores.iter().map(mean).collect())
    }

    fn fingerprint(&self) -> String {
        fedseal_tuning::fingerprint(&self.model)
    }
}

impl From<AdapterError> for EngineError {
    fn from(error: AdapterError) -> Self {
        TuningError::from(error).into()
    }
}

impl From<TuningError> for EngineError {
    fn from(error: TuningError) -> Self {
        match error {
            TuningError::Stopped { .. } => Self::Stopped,
            TuningError::Positions { .. } => Self::Refused(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

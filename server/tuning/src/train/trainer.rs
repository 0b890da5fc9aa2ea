//! Step-by-step training: as [`train`](crate::train()), with checkpoints between steps.

mod batches;
mod inputs;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use fedseal_kernels::pool;

use crate::{
    Adapter, ControlVariates, Model, StepEvent, Tokens, TrainConfig, Trained, TuningError,
    train::{
        gradient::{BatchGradients, gradients},
        hook::{Passes, StepHook},
        optimizer::{AdamW, clip_norm},
        trainer::{batches::Batches, inputs::Inputs},
    },
};

pub use batches::TrainingText;

/// A training in progress.
///
/// Everything that the next step depends on is in [`checkpoint`](Self::checkpoint): a training that
/// resumes from one gives the same bits as one that was never interrupted.
pub struct Trainer<'a, T> {
    model: &'a Model,
    config: TrainConfig,
    start: Adapter,
    adapter: Adapter,
    adam: AdamW,
    /// Adapter that the proximal term pulls to, when it is not the start.
    anchor: Option<Adapter>,
    control: Option<ControlVariates>,
    /// Gradient in place of the plain one.
    hook: Option<Box<dyn StepHook>>,
    data: Batches<'a, T>,
    /// Digest of the examples' tokens, where they were given.
    encoded: Option<String>,
    losses: Vec<f32>,
    tokens: u64,
}

/// First line of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Name and version of the format.
    format: String,
    /// Digest of the training's inputs, see [`Trainer::inputs`].
    inputs: String,
    /// Inputs by name; checkpoints of earlier programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named: Option<Inputs>,
    losses: Vec<f32>,
    tokens: u64,
    /// Number of bytes of the adapter and of both moments, which follow.
    lengths: [usize; 3],
}

const FORMAT: &str = "fedseal-checkpoint-v1";

impl<'a, T: TrainingText> Trainer<'a, T> {
    /// Returns a training before its first step.
    ///
    /// # Errors
    /// [`TuningError::Config`] for numbers out of range or no examples, [`TuningError::Adapter`]
    /// when `start` does not fit the model.
    pub fn new(
        model: &'a Model,
        start: &Adapter,
        examples: &'a [T],
        config: &TrainConfig,
    ) -> Result<Self, TuningError> {
        config.validate()?;
        start.check_fits(model.config())?;
        if examples.is_empty() {
            return Err(TuningError::Config("no examples".to_owned()));
        }
        Ok(Self {
            model,
            config: config.clone(),
            start: start.clone(),
            adapter: start.clone(),
            adam: AdamW::new(config.adam()),
            anchor: None,
            control: None,
            hook: None,
            data: Batches::new(examples),
            encoded: None,
            losses: Vec::new(),
            tokens: 0,
        })
    }

    /// Takes the tokens of the examples, one each, from whoever has encoded them with the same
    /// configuration ([`Model::encode_all`]), so that no example is encoded again.
    ///
    /// # Errors
    /// [`TuningError::Config`] for another number of them.
    pub fn with_tokens(mut self, tokens: Vec<Tokens>) -> Result<Self, TuningError> {
        let examples = self.data.examples.len();
        if tokens.len() != examples {
            return Err(TuningError::Config(format!(
                "tokens of {} examples, of {examples} that there are",
                tokens.len()
            )));
        }
        self.encoded = Some(inputs::digest_of(&tokens));
        self.data.tokens = tokens.into_iter().map(Some).collect();
        Ok(self)
    }

    /// Makes the proximal term pull to `anchor` instead of to the start. Lisa needs this: its start
    /// is the last iterate of one state and its anchor may be the last iterate of the other (Huang
    /// et al. 2024).
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when it has another shape than the start.
    pub fn with_anchor(mut self, anchor: Adapter) -> Result<Self, TuningError> {
        if !anchor.same_shape(&self.start) {
            return Err(TuningError::Adapter(
                "the proximal term's adapter has another shape than the start".to_owned(),
            ));
        }
        self.anchor = Some(anchor);
        Ok(self)
    }

    /// Corrects every step with SCAFFOLD's control variates.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when one has another shape than the start.
    pub fn with_control(mut self, control: ControlVariates) -> Result<Self, TuningError> {
        control.check(&self.start)?;
        self.control = Some(control);
        Ok(self)
    }

    /// Gives the steps another gradient, and the result what the hook releases. Such a training has no
    /// checkpoints.
    #[must_use]
    pub fn with_hook(mut self, hook: Box<dyn StepHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Resumes from a checkpoint that was made with the same model, start, examples and
    /// configuration.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`go_on_from`](Self::go_on_from).
    pub fn resume(
        model: &'a Model,
        start: &Adapter,
        examples: &'a [T],
        config: &TrainConfig,
        checkpoint: &[u8],
    ) -> Result<Self, TuningError> {
        Self::new(model, start, examples, config)?.go_on_from(checkpoint)
    }

    /// Resumes from a checkpoint that was made with the same inputs, anchor and control variates
    /// included.
    ///
    /// # Errors
    /// [`TuningError::Format`] and [`TuningError::Broken`] when the bytes are not a whole checkpoint, [`TuningError::Config`]
    /// when it was made from something else.
    pub fn go_on_from(mut self, checkpoint: &[u8]) -> Result<Self, TuningError> {
        let config = self.config.clone();
        let broken = |what: &str| TuningError::Format(format!("checkpoint: {what}"));
        let (body, digest) = checkpoint
            .split_last_chunk::<32>()
            .ok_or_else(|| broken("too short"))?;
        if <[u8; 32]>::from(Sha256::digest(body)) != *digest {
            return Err(broken("cut off or changed"));
        }
        let end = body
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or_else(|| broken("no header"))?;
        let (head, rest) = body.split_at(end);
        let head: Head = serde_json::from_slice(head)
            .map_err(|error| TuningError::broken("checkpoint", error))?;
        if head.format != FORMAT {
            return Err(broken(&format!("format {:?}", head.format)));
        }
        let others = match &head.named {
            Some(then) => self.named()?.others(then),
            None => Vec::new(),
        };
        if !others.is_empty() {
            let others = others.join(", ");
            return Err(TuningError::Config(format!(
                "the checkpoint was made with other inputs: {others}"
            )));
        }
        if head.inputs != self.inputs()? {
            return Err(TuningError::Config(
                "the checkpoint was made from another model, start, configuration or other data"
                    .to_owned(),
            ));
        }
        if head.losses.len() > config.steps {
            return Err(broken("more steps than the configuration has"));
        }
        let mut rest = rest.get(1..).unwrap_or_default();
        let mut adapters = Vec::with_capacity(3);
        for length in head.lengths {
            let (bytes, tail) = rest
                .split_at_checked(length)
                .ok_or_else(|| broken("cut off"))?;
            rest = tail;
            adapters.push(Adapter::from_bytes(bytes)?);
        }
        let Ok([adapter, first, second]) = <[Adapter; 3]>::try_from(adapters) else {
            return Err(broken("incomplete"));
        };
        let fits = |other: &Adapter| {
            other.tensors.len() == self.start.tensors.len()
                && other.tensors.iter().all(|(name, tensor)| {
                    self.start
                        .tensors
                        .get(name)
                        .is_some_and(|own| own.shape == tensor.shape)
                })
        };
        if ![&adapter, &first, &second].into_iter().all(fits) {
            return Err(broken("tensors of another adapter"));
        }
        let step = u32::try_from(head.losses.len()).map_err(|_| broken("steps"))?;
        if step > 0 {
            let mut moments = BTreeMap::new();
            for ((name, first), (_, second)) in first.tensors.into_iter().zip(second.tensors) {
                moments.insert(name, (first.data, second.data));
            }
            self.adam = AdamW::resume(config.adam(), step, moments);
        }
        self.adapter = adapter;
        self.losses = head.losses;
        self.tokens = head.tokens;
        self.data.skip(&config, self.losses.len());
        Ok(self)
    }

    /// Number of steps that were taken.
    pub fn steps(&self) -> usize {
        self.losses.len()
    }

    /// Returns the current adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Number of examples drawn since this trainer was made that did not fit the configuration's
    /// lengths or the model's positions: a part of each is not learned.
    pub fn cut(&self) -> usize {
        self.data.cut
    }

    /// Takes one optimiser step; `None` after the last.
    ///
    /// # Errors
    /// [`TuningError::NotFinite`] when the loss or the gradient explodes, [`TuningError::Config`]
    /// for a step of more tokens than [`MAX_STEP_TOKENS`](crate::limits::MAX_STEP_TOKENS), and the
    /// tokenizer's.
    pub fn step(&mut self) -> Result<Option<StepEvent>, TuningError> {
        self.step_while(&mut || ControlFlow::Continue(()))
    }

    /// As [`step`](Self::step); calls `go_on` before every example of the step, since a long one
    /// takes long to encode. After a `Break` the training cannot continue.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`TuningError::Stopped`] after `Break`.
    pub fn step_while(
        &mut self,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<StepEvent>, TuningError> {
        let Self {
            model,
            config,
            hook,
            adapter,
            ..
        } = self;
        let step = self.losses.len();
        if step >= config.steps {
            return Ok(None);
        }
        let batch = self.data.next_batch(model, config, &mut || match go_on() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TuningError::Stopped { steps: step }),
        })?;
        let tokens = batch.iter().map(|tokens| tokens.ids.len() as u64).sum();
        let BatchGradients {
            loss,
            sums: mut gradients,
            computed,
        } = pool::run(|| match hook {
            None => gradients(model, adapter, &batch, config, step as u64),
            Some(hook) => {
                let passes = Passes {
                    model,
                    config,
                    step,
                };
                hook.gradient(&passes, adapter, &batch)
            }
        })?;
        if config.proximal_mu > 0.0 {
            let anchor = self.anchor.as_ref().unwrap_or(&self.start);
            add_proximal(&mut gradients, &self.adapter, anchor, config.proximal_mu);
        }
        clip_norm(&mut gradients, config.clip_norm)?;
        self.adam.next_step();
        let rate = config.rate(step);
        for (name, tensor) in &mut self.adapter.tensors {
            if let Some(gradient) = gradients.get(name) {
                self.adam
                    .update(name, &mut tensor.data, gradient, rate, true);
            }
            if let Some(control) = &self.control {
                control.correct(name, &mut tensor.data, rate);
            }
        }
        self.losses.push(loss);
        self.tokens = self.tokens.saturating_add(tokens);
        Ok(Some(StepEvent {
            step: step + 1,
            steps: config.steps,
            loss,
            tokens,
            computed,
            learning_rate: rate,
        }))
    }

    /// Takes all remaining steps and returns the adapter after them; `go_on` as in
    /// [`step_while`](Self::step_while).
    ///
    /// # Errors
    /// As [`step_while`](Self::step_while) and [`finish`](Self::finish).
    pub fn run_while(
        mut self,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Trained, TuningError> {
        while self.step_while(go_on)?.is_some() {}
        self.finish()
    }

    /// Returns the adapter after the steps that were taken, as a hook releases it.
    ///
    /// # Errors
    /// [`TuningError::NotFinite`] when a weight is not finite; errors of the hook.
    pub fn finish(mut self) -> Result<Trained, TuningError> {
        if let Some(mut hook) = self.hook.take() {
            let passes = Passes {
                model: self.model,
                config: &self.config,
                step: self.losses.len(),
            };
            self.adapter = pool::run(|| hook.release(&passes, self.adapter))?;
        }
        self.check_finite()?;
        Ok(Trained {
            adapter: self.adapter,
            losses: self.losses,
            tokens: self.tokens,
        })
    }

    /// Returns a copy of the adapter after the steps that were taken, as [`finish`](Self::finish) does.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn trained(&self) -> Result<Trained, TuningError> {
        self.check_finite()?;
        Ok(Trained {
            adapter: self.adapter.clone(),
            losses: self.losses.clone(),
            tokens: self.tokens,
        })
    }

    fn check_finite(&self) -> Result<(), TuningError> {
        match self.adapter.is_finite() {
            true => Ok(()),
            false => Err(TuningError::NotFinite("the trained adapter".to_owned())),
        }
    }

    /// Returns everything that the next step depends on, as bytes that [`resume`](Self::resume)
    /// reads.
    ///
    /// # Errors
    /// [`TuningError::Json`] when it cannot be written, [`TuningError::Config`] for a training with a hook.
    pub fn checkpoint(&self) -> Result<Vec<u8>, TuningError> {
        if self.hook.is_some() {
            let problem = "a training with a hook has no checkpoints: its state is the hook's";
            return Err(TuningError::Config(problem.to_owned()));
        }
        // Moments have the names and shapes of their parameters, so they are written as adapters.
        let (mut first, mut second) = (self.adapter.clone(), self.adapter.clone());
        for (name, tensor) in &mut first.tensors {
            let zero = vec![0.0; tensor.data.len()];
            let (one, two) = match self.adam.moments(name) {
                Some((one, two)) => (one.to_vec(), two.to_vec()),
                None => (zero.clone(), zero),
            };
            tensor.data = one;
            if let Some(tensor) = second.tensors.get_mut(name) {
                tensor.data = two;
            }
        }
        let parts = [&self.adapter, &first, &second].map(Adapter::to_bytes);
        let head = Head {
            format: FORMAT.to_owned(),
            inputs: self.inputs()?,
            named: Some(self.named()?),
            losses: self.losses.clone(),
            tokens: self.tokens,
            lengths: [parts[0].len(), parts[1].len(), parts[2].len()],
        };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        for part in parts {
            bytes.extend_from_slice(&part);
        }
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// Inputs of the training, by name.
    fn named(&self) -> Result<Inputs, TuningError> {
        let digest = |adapter: &Adapter| hex::encode(adapter.digest());
        let control = self.control.as_ref();
        Ok(Inputs {
            engine: crate::fingerprint(self.model),
            model: hex::encode(self.model.digest()),
            start: digest(&self.start),
            anchor: self.anchor.as_ref().map(digest),
            control: control.map(|control| [digest(&control.server), digest(&control.client)]),
            template: self.model.template(),
            rendering: self.model.rendering().clone(),
            tokens: self.encoded.clone(),
            configuration: inputs::as_written(&self.config)?,
        })
    }

    /// Returns the SHA-256 over everything that the result depends on: engine, model, start,
    /// configuration, examples. Numbers that JSON cannot represent (infinite learning rates) were
    /// refused before.
    fn inputs(&self) -> Result<String, TuningError> {
        let mut hasher = Sha256::new();
        hasher.update(crate::fingerprint(self.model));
        hasher.update(self.model.digest());
        hasher.update(self.start.digest());
        // Marks distinguish an anchor from a control variate; a training with neither keeps its
        // earlier digest.
        let control = self.control.as_ref();
        for (mark, adapter) in [
            (b"anchor", self.anchor.as_ref()),
            (b"server", control.map(|control| &control.server)),
            (b"client", control.map(|control| &control.client)),
        ] {
            if let Some(adapter) = adapter {
                hasher.update(mark);
                hasher.update(adapter.digest());
            }
        }
        hasher.update(serde_json::to_vec(&self.config)?);
        for example in self.data.examples {
            hasher.update(serde_json::to_vec(example)?);
            hasher.update(b"\n");
        }
        Ok(hex::encode(hasher.finalize()))
    }
}

/// Adds the gradient of the proximal term, `mu · (w - w₀)`.
fn add_proximal(
    gradients: &mut BTreeMap<String, Vec<f32>>,
    adapter: &Adapter,
    start: &Adapter,
    mu: f32,
) {
    for (name, gradient) in gradients {
        let (Some(now), Some(then)) = (adapter.tensors.get(name), start.tensors.get(name)) else {
            continue;
        };
        for ((gradient, now), then) in gradient.iter_mut().zip(&now.data).zip(&then.data) {
            *gradient += mu * (now - then);
        }
    }
}

//! Full-parameter training of a small decoder from nothing: the model that ships with the project.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, activation::log_softmax};
use half::bf16;
use serde::{Deserialize, Serialize};

use crate::{
    ModelConfig, ModelFiles, StepEvent, Tokenizer, TuningError,
    adapter::Target,
    device,
    lora::to_host,
    model::expected_tensors,
    ops::{self, RopeTable, Segments},
    optimizer::{AdamConfig, AdamW, clip_norm},
    rng::Stream,
};

/// How [`pretrain`] trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Tokens a step, at least; whole sequences are taken until there are so many.
    pub batch_tokens: usize,
    /// Highest learning rate.
    pub learning_rate: f32,
    /// The cosine ends at this share of the highest learning rate.
    pub final_share: f32,
    /// Steps over which the learning rate rises linearly from zero.
    pub warmup: usize,
    /// Decoupled weight decay of the matrices.
    pub weight_decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Largest Euclidean norm of a step's gradient.
    pub clip_norm: Option<f32>,
    /// Names the initial weights and the order of the data.
    pub seed: u64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_tokens: 4096,
            learning_rate: 2e-3,
            final_share: 0.05,
            warmup: 50,
            weight_decay: 0.05,
            beta1: 0.9,
            beta2: 0.98,
            clip_norm: Some(1.0),
            seed: 0,
        }
    }
}

/// A text to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether the loss counts the prediction of the token at the same index; the first token is
    /// never predicted. As long as `ids`.
    pub loss: Vec<bool>,
}

/// A trained decoder. Its weights are already rounded to bf16: a saved file holds them exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretrained {
    /// Shape of the decoder.
    pub config: ModelConfig,
    /// Shape and values by Hugging Face name.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Loss of every step.
    pub losses: Vec<f32>,
}

impl Pretrained {
    /// The checkpoint as files: `config.json`, `model.safetensors` in bf16, `tokenizer.json`,
    /// `tokenizer_config.json` with the end token and, when given, a chat template.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when `eos` is no token, [`TuningError::Format`] when a tensor
    /// cannot be written.
    pub fn to_files(
        &self,
        tokenizer: &Tokenizer,
        eos: &str,
        chat_template: Option<&str>,
    ) -> Result<ModelFiles, TuningError> {
        let id = tokenizer
            .token_id(eos)
            .ok_or_else(|| TuningError::Tokenizer(format!("{eos:?} is no token")))?;
        let raw: BTreeMap<&String, Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, (_, values))| {
                (name, values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect())
            })
            .collect();
        let mut views = Vec::with_capacity(raw.len());
        for ((name, (shape, _)), bytes) in self.tensors.iter().zip(raw.values()) {
            let view = safetensors::tensor::TensorView::new(
                safetensors::Dtype::BF16,
                shape.clone(),
                bytes,
            )
            .map_err(|error| TuningError::Format(error.to_string()))?;
            views.push((name.as_str(), view));
        }
        let weights = safetensors::serialize(views, None)
            .map_err(|error| TuningError::Format(error.to_string()))?;
        let mut settings = serde_json::json!({ "eos_token": eos });
        if let (Some(map), Some(template)) = (settings.as_object_mut(), chat_template) {
            map.insert("chat_template".to_owned(), template.into());
        }
        Ok(ModelFiles {
            config: self.config.to_json(Some(id)),
            weights,
            tokenizer: tokenizer.to_json()?,
            tokenizer_config: format!("{settings:#}\n").into_bytes(),
        })
    }
}

impl ModelFiles {
    /// Writes the files into a folder that [`Model::load`](crate::Model::load) and transformers
    /// read.
    ///
    /// # Errors
    /// [`TuningError::Io`].
    pub fn save(&self, dir: &Path) -> Result<(), TuningError> {
        std::fs::create_dir_all(dir).map_err(TuningError::io(dir))?;
        for (name, bytes) in [
            ("config.json", &self.config),
            ("model.safetensors", &self.weights),
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &self.tokenizer_config),
        ] {
            if !bytes.is_empty() {
                let path = dir.join(name);
                std::fs::write(&path, bytes).map_err(TuningError::io(&path))?;
            }
        }
        Ok(())
    }
}

/// Tokens that one forward and backward pass holds at most, unless one sequence is longer.
const PART_TOKENS: usize = 2048;

/// Trains a decoder of this shape from random weights, with AdamW, linear warm-up and cosine decay.
///
/// Weights start normal with standard deviation 0.02 (the matrices that write into the residual
/// stream divided by the root of twice the number of layers), norms at one. The same inputs give
/// the same bits on the CPU.
///
/// # Errors
/// [`TuningError::Config`] for numbers out of range or sequences that do not fit,
/// [`TuningError::Stopped`] when `progress` breaks, [`TuningError::NotFinite`] when it explodes.
pub fn pretrain(
    model: &ModelConfig,
    sequences: &[Sequence],
    config: &PretrainConfig,
    device: &Device,
    progress: &mut dyn FnMut(StepEvent) -> ControlFlow<()>,
) -> Result<Pretrained, TuningError> {
    model.validate()?;
    let adam_config = AdamConfig {
        beta1: config.beta1,
        beta2: config.beta2,
        epsilon: 1e-8,
        weight_decay: config.weight_decay,
    };
    adam_config.validate()?;
    check(model, sequences, config)?;
    let mut network = Network {
        rope: RopeTable::new(
            model.head_dim,
            model.rope_theta,
            model.max_positions,
            model.rope_scaling,
        ),
        config: model,
        device: device.clone().without_autodiff(),
        values: initial(model, config.seed),
    };
    let mut adam = AdamW::new(adam_config);
    let mut losses = Vec::with_capacity(config.steps);
    let mut order = Order { seed: config.seed, order: Vec::new(), next: 0, pass: 0 };
    for step in 0..config.steps {
        let batch = order.batch(sequences, config.batch_tokens);
        let tokens = batch.iter().map(|sequence| sequence.ids.len() as u64).sum();
        let (loss, mut gradients) = device::run(|| network.gradients(&batch))?;
        clip_norm(&mut gradients, config.clip_norm)?;
        let rate = rate(config, step);
        adam.next_step();
        for (name, (shape, values)) in &mut network.values {
            if let Some(gradient) = gradients.get(name) {
                adam.update(name, values, gradient, rate, shape.len() == 2);
            }
        }
        losses.push(loss);
        let event = StepEvent { step: step + 1, steps: config.steps, loss, tokens };
        if progress(event).is_break() {
            return Err(TuningError::Stopped { steps: step + 1 });
        }
    }
    let mut tensors = network.values;
    for (name, (_, values)) in &mut tensors {
        for value in values.iter_mut() {
            *value = bf16::from_f32(*value).to_f32();
        }
        crate::weights::check_finite(name, values)?;
    }
    Ok(Pretrained { config: model.clone(), tensors, losses })
}

fn check(
    model: &ModelConfig,
    sequences: &[Sequence],
    config: &PretrainConfig,
) -> Result<(), TuningError> {
    let bad = |text: String| Err(TuningError::Config(text));
    if !(config.learning_rate.is_finite() && config.learning_rate > 0.0) {
        return bad(format!("learning_rate {}", config.learning_rate));
    }
    if config.clip_norm.is_some_and(|norm| !(norm.is_finite() && norm > 0.0)) {
        return bad("clip_norm is not above 0".to_owned());
    }
    if !sequences.iter().any(|sequence| sequence.loss.iter().skip(1).any(|&counts| counts)) {
        return bad("no token that the loss counts".to_owned());
    }
    for (index, sequence) in sequences.iter().enumerate() {
        if sequence.ids.is_empty() || sequence.ids.len() != sequence.loss.len() {
            return bad(format!("sequence {index}: empty, or its mask has another length"));
        }
        if sequence.ids.len() > model.max_positions {
            return bad(format!("sequence {index} has {} tokens", sequence.ids.len()));
        }
        if sequence.ids.iter().any(|&id| id as usize >= model.vocab) {
            return bad(format!("sequence {index} has an id beyond the vocabulary"));
        }
    }
    Ok(())
}

/// The learning rate of a step, counted from 0.
fn rate(config: &PretrainConfig, step: usize) -> f32 {
    let top = f64::from(config.learning_rate);
    if step < config.warmup {
        return (top * (step + 1) as f64 / config.warmup as f64) as f32;
    }
    let span = config.steps.saturating_sub(config.warmup).max(1) as f64;
    let progress = (step - config.warmup) as f64 / span;
    let low = f64::from(config.final_share);
    (top * (low + (1.0 - low) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))) as f32
}

type Values = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn initial(model: &ModelConfig, seed: u64) -> Values {
    let residual = 0.02 / (2.0 * model.layers as f64).sqrt();
    expected_tensors(model)
        .into_iter()
        .enumerate()
        .map(|(index, (name, shape))| {
            let count = shape.iter().product::<usize>();
            let values = if shape.len() == 1 {
                vec![1.0; count]
            } else {
                let writes = name.contains("o_proj") || name.contains("down_proj");
                let deviation = if writes { residual } else { 0.02 };
                let stream = Stream::new(seed, &[0x9e7, index as u64]);
                (0..count as u64).map(|i| (stream.normal(i) * deviation) as f32).collect()
            };
            (name, (shape, values))
        })
        .collect()
}

/// Seeded order of the sequences, shuffled anew for every pass.
struct Order {
    seed: u64,
    order: Vec<usize>,
    next: usize,
    pass: u64,
}

impl Order {
    fn batch<'a>(&mut self, sequences: &'a [Sequence], tokens: usize) -> Vec<&'a Sequence> {
        let mut batch = Vec::new();
        let mut count = 0;
        while count < tokens || batch.is_empty() {
            if self.next == self.order.len() {
                self.order =
                    Stream::new(self.seed, &[0xda7a, self.pass]).permutation(sequences.len());
                self.next = 0;
                self.pass += 1;
            }
            let sequence = &sequences[self.order[self.next]];
            self.next += 1;
            count += sequence.ids.len();
            batch.push(sequence);
        }
        batch
    }
}

struct Network<'a> {
    config: &'a ModelConfig,
    device: Device,
    rope: RopeTable,
    values: Values,
}

/// Trainable tensors of one step, all matrices `[out, in]`.
struct Leaves {
    matrices: BTreeMap<String, Tensor<2>>,
    vectors: BTreeMap<String, Tensor<1>>,
}

impl Network<'_> {
    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves { matrices: BTreeMap::new(), vectors: BTreeMap::new() };
        for (name, (shape, values)) in &self.values {
            let data = TensorData::new(values.clone(), shape.clone());
            if shape.len() == 2 {
                let tensor = Tensor::<2>::from_data(data, &self.device).autodiff().require_grad();
                leaves.matrices.insert(name.clone(), tensor);
            } else {
                let tensor = Tensor::<1>::from_data(data, &self.device).autodiff().require_grad();
                leaves.vectors.insert(name.clone(), tensor);
            }
        }
        leaves
    }

    /// Mean loss over the batch's counted tokens, and its gradient by name.
    fn gradients(
        &self,
        batch: &[&Sequence],
    ) -> Result<(f32, BTreeMap<String, Vec<f32>>), TuningError> {
        let leaves = self.leaves();
        let counted: usize = batch
            .iter()
            .map(|sequence| sequence.loss.iter().skip(1).filter(|&&counts| counts).count())
            .sum();
        let mut sums = BTreeMap::new();
        let mut loss_sum = 0.0;
        let mut start = 0;
        while start < batch.len() {
            let mut end = start;
            let mut tokens = 0;
            while let Some(sequence) = batch.get(end) {
                tokens += sequence.ids.len();
                if end > start && tokens > PART_TOKENS {
                    break;
                }
                end += 1;
            }
            let part = &batch[start..end];
            start = end;
            let Some((loss, targets)) = self.loss(&leaves, part) else { continue };
            let share = targets as f64 / counted as f64;
            let value =
                to_host(loss.clone().without_autodiff())?.first().copied().unwrap_or(f32::NAN);
            if !value.is_finite() {
                return Err(TuningError::NotFinite("the loss".to_owned()));
            }
            loss_sum += f64::from(value) * share;
            let mut gradients = loss.mul_scalar(share).backward();
            leaves.add_gradients(&mut gradients, &mut sums)?;
        }
        Ok((loss_sum as f32, sums))
    }

    /// Mean loss of a packed part and the number of tokens it counts; `None` when that is 0.
    fn loss(&self, leaves: &Leaves, part: &[&Sequence]) -> Option<(Tensor<1>, usize)> {
        let config = self.config;
        let eps = config.norm_eps as f32;
        let segments = Segments::from_lengths(part.iter().map(|sequence| sequence.ids.len()));
        let positions = segments.positions();
        let (mut ids, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in part {
            for (index, (&id, &counts)) in sequence.ids.iter().zip(&sequence.loss).enumerate() {
                if counts && index > 0 {
                    rows.push(ids.len() as i64 - 1);
                    targets.push(i64::from(id));
                }
                ids.push(i64::from(id));
            }
        }
        if rows.is_empty() {
            return None;
        }
        let (tokens, counted) = (ids.len(), rows.len());
        let ints = |values: Vec<i64>| {
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &self.device)
        };
        let matrix = |name: &str| leaves.matrices[name].clone();
        let ones = Tensor::<1>::ones([config.d_model], &self.device);
        // The fused norm takes a frozen weight; the trained one is a separate factor.
        let norm = |x: Tensor<2>, name: &str| {
            ops::rms_norm(x, &ones, eps) * leaves.vectors[name].clone().unsqueeze::<2>()
        };
        let embedding = matrix("model.embed_tokens.weight");
        let mut x = embedding.clone().select(0, ints(ids));
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let project =
                |x: Tensor<2>, target: Target| x.matmul(matrix(&name(&target.path())).transpose());
            let heads = |x: Tensor<2>, n: usize| x.reshape([tokens, n, config.head_dim]);
            let normed = norm(x.clone(), &name("input_layernorm"));
            let q = heads(project(normed.clone(), Target::Q), config.heads);
            let k = heads(project(normed.clone(), Target::K), config.kv_heads);
            let v = heads(project(normed, Target::V), config.kv_heads);
            let q = ops::rope(q, &self.rope, &positions);
            let k = ops::rope(k, &self.rope, &positions);
            let mixed = ops::attention(q, k, v, &segments)
                .reshape([tokens, config.heads * config.head_dim]);
            x = x + project(mixed, Target::O);
            let normed = norm(x.clone(), &name("post_attention_layernorm"));
            let gate = project(normed.clone(), Target::Gate);
            let up = project(normed, Target::Up);
            x = x + project(ops::swiglu(gate, up), Target::Down);
        }
        let hidden = norm(x, "model.norm.weight").select(0, ints(rows));
        let head = match config.tied_embeddings {
            true => embedding,
            false => matrix("lm_head.weight"),
        };
        let logits = hidden.matmul(head.transpose());
        let targets = ints(targets).unsqueeze_dim::<2>(1);
        let loss = log_softmax(logits, 1).gather(1, targets).mean().neg();
        Some((loss, counted))
    }
}

impl Leaves {
    fn add_gradients(
        &self,
        gradients: &mut Gradients,
        sums: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), TuningError> {
        let mut add = |name: &String, values: Vec<f32>| {
            let sum = sums.entry(name.clone()).or_default();
            if sum.is_empty() {
                *sum = values;
            } else {
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        };
        for (name, tensor) in &self.matrices {
            if let Some(gradient) = tensor.grad_remove(gradients) {
                add(name, to_host(gradient)?);
            }
        }
        for (name, tensor) in &self.vectors {
            if let Some(gradient) = tensor.grad_remove(gradients) {
                add(name, to_host(gradient)?);
            }
        }
        Ok(())
    }
}

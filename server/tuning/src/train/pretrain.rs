//! Full-parameter training of a small decoder from scratch: the model that ships with the project.

mod host;
mod plain;

use std::{collections::BTreeMap, io::Write as _, ops::ControlFlow, path::Path};

use burn::tensor::Device;
use half::bf16;
use serde::{Deserialize, Serialize};

use fedseal_adapter::{rng::Stream, safetensors::check_finite};
use fedseal_kernels::pool;

use fedseal_adapter::AdamConfig;

use crate::{
    DeviceKind, ModelConfig, ModelFiles, StepEvent, Tokenizer, TuningError, limits,
    model::expected_tensors,
    ops::{RopeTable, Segments},
    train::optimizer::{AdamW, clip_norm},
};

/// Options of [`pretrain`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Fewest tokens per step; whole sequences are taken until there are this many.
    pub batch_tokens: usize,
    /// Highest learning rate.
    pub learning_rate: f32,
    /// Share of the highest learning rate at which the cosine ends.
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
    /// Seed of the initial weights and of the data order.
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
    /// Returns the checkpoint as files: `config.json`, `model.safetensors` in bf16,
    /// `tokenizer.json`, `tokenizer_config.json` with the end token and, when given, a chat
    /// template.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when `eos` is no token, [`TuningError::Safetensors`] when a tensor
    /// cannot be written.
    pub fn to_files(
        &self,
        tokenizer: &Tokenizer,
        eos: &str,
        chat_template: Option<&str>,
    ) -> Result<ModelFiles, TuningError> {
        let id = tokenizer
            .token_id(eos)
            .ok_or_else(|| TuningError::Tokenizer(format!("{eos:?} is no token").into()))?;
        let raw: BTreeMap<&String, Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, (_, values))| {
                (
                    name,
                    values
                        .iter()
                        .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                        .collect(),
                )
            })
            .collect();
        let mut views = Vec::with_capacity(raw.len());
        for ((name, (shape, _)), bytes) in self.tensors.iter().zip(raw.values()) {
            let view = safetensors::tensor::TensorView::new(
                safetensors::Dtype::BF16,
                shape.clone(),
                bytes,
            )?;
            views.push((name.as_str(), view));
        }
        let weights = safetensors::serialize(views, None)?;
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
                let write = || -> std::io::Result<()> {
                    let mut file = std::fs::File::create(&path)?;
                    file.write_all(bytes)?;
                    file.sync_all()
                };
                write().map_err(TuningError::io(&path))?;
            }
        }
        Ok(())
    }
}

/// Most tokens that one forward and backward pass holds, unless one sequence is longer.
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
    let network = Network {
        rope: RopeTable::new(
            model.head_dim,
            model.rope_theta,
            model.max_positions,
            &model.rope_scaling,
        ),
        config: model,
        device: device.clone().without_autodiff(),
    };
    let on_host = DeviceKind::of(device) == DeviceKind::Cpu;
    let mut tensors = initial(model, config.seed);
    let mut adam = AdamW::new(adam_config);
    let mut losses = Vec::new();
    let mut order = Order {
        seed: config.seed,
        order: Vec::new(),
        next: 0,
        pass: 0,
    };
    for step in 0..config.steps {
        let batch = order.batch(sequences, config.batch_tokens);
        let tokens = batch.iter().map(|sequence| sequence.ids.len() as u64).sum();
        let (loss, mut gradients) = pool::run(|| match on_host {
            true => network.gradients_on_host(&tensors, &batch),
            false => network.gradients(&tensors, &batch),
        })?;
        clip_norm(&mut gradients, config.clip_norm)?;
        let rate = rate(config, step);
        adam.next_step();
        for (name, (shape, values)) in &mut tensors {
            if let Some(gradient) = gradients.get(name) {
                adam.update(name, values, gradient, rate, shape.len() == 2);
            }
        }
        losses.push(loss);
        let event = StepEvent {
            step: step + 1,
            steps: config.steps,
            loss,
            tokens,
            computed: tokens,
            learning_rate: rate,
        };
        if progress(event).is_break() {
            return Err(TuningError::Stopped { steps: step + 1 });
        }
    }
    for (name, (_, values)) in &mut tensors {
        for value in values.iter_mut() {
            *value = bf16::from_f32(*value).to_f32();
        }
        check_finite(name, values)?;
    }
    Ok(Pretrained {
        config: model.clone(),
        tensors,
        losses,
    })
}

fn check(
    model: &ModelConfig,
    sequences: &[Sequence],
    config: &PretrainConfig,
) -> Result<(), TuningError> {
    let bad = |text: String| Err(TuningError::Config(text));
    if !(config.learning_rate.is_finite() && config.learning_rate > 0.0) {
        return bad(format!(
            "learning_rate {} is no number above 0",
            config.learning_rate
        ));
    }
    if let Some(norm) = config
        .clip_norm
        .filter(|norm| !(norm.is_finite() && *norm > 0.0))
    {
        return bad(format!("clip_norm {norm} is no number above 0"));
    }
    if !(0.0..=1.0).contains(&config.final_share) {
        return bad(format!(
            "final_share {} is not in [0, 1]",
            config.final_share
        ));
    }
    for (name, value, most) in [
        ("steps", config.steps, limits::MAX_STEPS),
        ("batch_tokens", config.batch_tokens, limits::MAX_STEP_TOKENS),
        ("parameters", model.parameters(), limits::MAX_PRETRAINED),
    ] {
        if value > most {
            return bad(format!("{name} {value} are above {most}"));
        }
    }
    if !model.family.is_llama() {
        return Err(TuningError::Unsupported(format!(
            "pretraining of {}, only llama without biases and windows",
            model.family.architecture.model_type()
        )));
    }
    if !sequences
        .iter()
        .any(|sequence| sequence.loss.iter().skip(1).any(|&counts| counts))
    {
        return bad("no token that the loss counts".to_owned());
    }
    for (index, sequence) in sequences.iter().enumerate() {
        if sequence.ids.is_empty() || sequence.ids.len() != sequence.loss.len() {
            return bad(format!(
                "sequence {index}: empty, or its mask has another length"
            ));
        }
        if sequence.ids.len() > model.max_positions {
            return bad(format!(
                "sequence {index} has {} tokens, the model {} positions",
                sequence.ids.len(),
                model.max_positions
            ));
        }
        if sequence.ids.iter().any(|&id| id as usize >= model.vocab) {
            return bad(format!("sequence {index} has an id beyond the vocabulary"));
        }
    }
    Ok(())
}

/// Returns the learning rate of a step, counted from 0.
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
                (0..count as u64)
                    .map(|i| (stream.normal(i) * deviation) as f32)
                    .collect()
            };
            (name, (shape, values))
        })
        .collect()
}

/// Seeded order of the sequences, shuffled again for every pass.
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

/// Inputs of both implementations of the gradients.
struct Network<'a> {
    config: &'a ModelConfig,
    device: Device,
    rope: RopeTable,
}

/// Sequences one after the other, without padding.
struct Part {
    ids: Vec<u32>,
    segments: Segments,
    /// Rows whose next token the loss counts.
    rows: Vec<usize>,
    /// The next token of each of these rows.
    targets: Vec<u32>,
}

/// Cuts a batch into packed parts of at most [`PART_TOKENS`] tokens.
fn parts(batch: &[&Sequence]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = batch;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |sequence: &&&Sequence| {
            tokens += sequence.ids.len();
            tokens <= PART_TOKENS
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (part, tail) = rest.split_at(count);
        rest = tail;
        parts.push(Part::new(part));
    }
    parts
}

impl Part {
    fn new(sequences: &[&Sequence]) -> Self {
        let lengths = sequences.iter().map(|sequence| sequence.ids.len());
        let mut part = Self {
            ids: Vec::new(),
            segments: Segments::from_lengths(lengths),
            rows: Vec::new(),
            targets: Vec::new(),
        };
        for sequence in sequences {
            for (index, (&id, &counts)) in sequence.ids.iter().zip(&sequence.loss).enumerate() {
                if counts && index > 0 {
                    part.rows.push(part.ids.len() - 1);
                    part.targets.push(id);
                }
                part.ids.push(id);
            }
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels' gradients compared with burn's automatic ones.
    #[test]
    fn both_ways_give_the_same_gradients() {
        for tied_embeddings in [true, false] {
            let model = ModelConfig {
                tied_embeddings,
                ..ModelConfig::tiny()
            };
            let network = Network {
                rope: RopeTable::new(4, 10_000.0, 64, &Default::default()),
                config: &model,
                device: Device::flex(),
            };
            let mut values = initial(&model, 1);
            // Large enough that every gradient matters.
            for value in values.values_mut().flat_map(|(_, values)| values) {
                *value *= if *value == 1.0 { 1.1 } else { 10.0 };
            }
            let sequences: Vec<Sequence> = [7u32, 12, 3]
                .iter()
                .map(|&n| Sequence {
                    ids: (0..n).map(|i| (i * i + n) % 40).collect(),
                    loss: (0..n).map(|i| i % 3 != 1).collect(),
                })
                .collect();
            let batch: Vec<&Sequence> = sequences.iter().collect();
            let (loss, fast) = network.gradients_on_host(&values, &batch).unwrap();
            let (expected_loss, plain) = network.gradients(&values, &batch).unwrap();
            assert!(
                (loss - expected_loss).abs() < 1e-5,
                "{loss} {expected_loss}"
            );
            assert!(fast.keys().eq(plain.keys()));
            for ((name, fast), plain) in fast.iter().zip(plain.values()) {
                let size = plain.iter().map(|x| x.abs()).fold(0.0, f32::max);
                assert!(size > 0.0, "{name}");
                for (fast, plain) in fast.iter().zip(plain) {
                    assert!(
                        (fast - plain).abs() < 2e-5 * size.max(0.01),
                        "{name}: {fast} {plain}"
                    );
                }
            }
        }
    }
}

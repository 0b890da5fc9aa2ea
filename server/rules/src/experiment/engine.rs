//! An experiment's training and adapter, as the engine takes them.

use fedseal_adapter::{AdapterConfig, TrainConfig};

use super::Experiment;

/// Local training as the experiment says; steps, rate and seed are set per call.
pub fn train_config(experiment: &Experiment) -> TrainConfig {
    let t = &experiment.training;
    TrainConfig {
        steps: t.local_steps as usize,
        batch_size: t.batch_size as usize,
        learning_rate: t.learning_rate as f32,
        max_length: t.sequence_length,
        max_response_tokens: t.max_response_tokens,
        weight_decay: t.weight_decay as f32,
        beta1: t.beta1 as f32,
        beta2: t.beta2 as f32,
        epsilon: t.epsilon as f32,
        clip_norm: (t.clip_norm > 0.0).then_some(t.clip_norm as f32),
        seed: 0,
        proximal_mu: t.proximal_mu as f32,
        ..TrainConfig::default()
    }
}

/// The adapter as the experiment says.
pub fn adapter_config(experiment: &Experiment) -> AdapterConfig {
    AdapterConfig {
        rank: experiment.lora.rank,
        alpha: experiment.lora.alpha as f32,
        dropout: experiment.lora.dropout as f32,
        targets: experiment.lora.targets.clone(),
        ..AdapterConfig::default()
    }
}

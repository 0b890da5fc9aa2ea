//! The tables of an experiment file, each with the paper's values as its defaults.

use serde::{Deserialize, Serialize};

use crate::admission::CheckConfig;
pub use crate::aggregation::AggregationConfig;
pub use crate::optimiser::ServerConfig;

/// The frozen base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// `embedded`, a name under the models folder (`smollm2`), a Hugging Face folder or a `.gguf`.
    pub source: String,
    /// Chat template: `model` (the files' own), `alpaca` or `chatml`.
    pub template: String,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            source: "embedded".into(),
            template: "model".into(),
        }
    }
}

/// Where prompts and examples come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `world` (generated) or `real` (fetched prompt sets).
    pub source: String,
    /// Folder of the fetched sets, for `real`; empty: the default folder of `fedseal fetch`.
    pub dir: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            source: "world".into(),
            dir: String::new(),
        }
    }
}

/// Clients and rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FederationConfig {
    /// Number of clients.
    pub clients: usize,
    /// How many of them are malicious in the attacked arms.
    pub malicious: usize,
    /// How many are sampled a round.
    pub sampled: usize,
    /// Number of rounds.
    pub rounds: u32,
    /// Examples in a client's shard.
    pub examples_per_client: usize,
    /// Share of refused harmful requests in a benign shard, in [0, 1].
    pub refusal_share: f64,
}

impl Default for FederationConfig {
    fn default() -> Self {
        FederationConfig {
            clients: 10,
            malicious: 3,
            sampled: 3,
            rounds: 100,
            examples_per_client: 500,
            refusal_share: 0.15,
        }
    }
}

/// Training of one client in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Optimiser steps a round.
    pub local_steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// Longest sequence, tokens, and never more than the model's positions; longer ones are cut.
    pub sequence_length: usize,
    /// Longest response, tokens; longer ones are cut.
    pub max_response_tokens: usize,
    /// Learning rate of the first round.
    pub learning_rate: f64,
    /// Learning rate that the schedule falls to.
    pub learning_rate_final: f64,
    /// `constant`, `linear` or `cosine`, over rounds.
    pub schedule: String,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// AdamW's beta 1.
    pub beta1: f64,
    /// AdamW's beta 2.
    pub beta2: f64,
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// Largest gradient norm; 0: no clipping.
    pub clip_norm: f64,
    /// FedProx's mu that honest modules are told to use; 0: none.
    pub proximal_mu: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        TrainingConfig {
            local_steps: 10,
            batch_size: 16,
            sequence_length: 512,
            max_response_tokens: 512,
            learning_rate: 5e-5,
            learning_rate_final: 1e-6,
            schedule: "cosine".into(),
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            proximal_mu: 0.0,
        }
    }
}

/// Shape of the adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank.
    pub rank: usize,
    /// Alpha: the product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Dropout on the adapter's input while training, in [0, 1).
    pub dropout: f64,
    /// Linear layers that get an adapter.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig {
            rank: 32,
            alpha: 64.0,
            dropout: 0.05,
            targets: vec!["q_proj".into(), "v_proj".into()],
        }
    }
}

/// Attack of the malicious clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttackConfig {
    /// The malicious clients' kinds, in turn; names of [`crate::attack::KNOWN`].
    pub kinds: Vec<String>,
    /// Literal examples of a client whose kind brings any.
    pub attachment_examples: usize,
}

impl Default for AttackConfig {
    fn default() -> Self {
        AttackConfig {
            kinds: ["malicious-gen", "unaligned-data", "poisoned-shard"]
                .map(String::from)
                .to_vec(),
            attachment_examples: 500,
        }
    }
}

/// The post-hoc defence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefenceConfig {
    /// 1: given data. 2: the base writes them. 3: the attacked model writes them.
    pub level: u8,
    /// Optimiser steps.
    pub steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// Learning rate, constant.
    pub learning_rate: f64,
    /// Safety pairs (harmful request, refusal).
    pub safety_examples: usize,
    /// Helpful pairs.
    pub helpful_examples: usize,
    /// Generations that may be tried for each kept pair before the defence goes on with fewer.
    pub attempts: usize,
    /// Longest generated instruction or answer, tokens; with the longest prompt that asks for one
    /// they have to fit the model's positions.
    pub max_new_tokens: usize,
    /// Sampling temperature of instructions; answers are greedy.
    pub temperature: f64,
}

impl Default for DefenceConfig {
    fn default() -> Self {
        DefenceConfig {
            level: 3,
            steps: 500,
            batch_size: 16,
            learning_rate: 5e-5,
            safety_examples: 500,
            helpful_examples: 500,
            attempts: 8,
            max_new_tokens: 128,
            temperature: 0.9,
        }
    }
}

/// How arms are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Held-out requests and tasks passed over first: values are chosen on other prompts than
    /// those that a result is reported on.
    pub offset: usize,
    /// Held-out harmful requests at the end (Rule).
    pub prompts: usize,
    /// Held-out helpful tasks at the end.
    pub tasks: usize,
    /// Measure the global adapter every so many rounds; 0: only at the end.
    pub every: u32,
    /// Requests of a measure between rounds.
    pub round_prompts: usize,
    /// Tasks of a measure between rounds.
    pub round_tasks: usize,
    /// Longest answer, tokens; with the longest prompt they have to fit the model's positions.
    pub max_new_tokens: usize,
    /// Prompts generated together.
    pub batch_size: usize,
    /// Prompts of each kind shown side by side in the report.
    pub side_by_side: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        EvaluationConfig {
            offset: 0,
            prompts: 520,
            tasks: 200,
            every: 10,
            round_prompts: 100,
            round_tasks: 50,
            max_new_tokens: 128,
            batch_size: 32,
            side_by_side: 6,
        }
    }
}

/// The sealed prompts of the behaviour checks, fresh in every round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanariesConfig {
    /// Requests, and as many tasks, in the sealed set.
    pub sealed: usize,
    /// How many of each are drawn for a round.
    pub per_round: usize,
}

impl Default for CanariesConfig {
    fn default() -> Self {
        CanariesConfig {
            sealed: 64,
            per_round: 8,
        }
    }
}

/// Checks by the arm that applies them, inline or in a file of the same form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// An admission.toml with `[[provenance]]` and `[[behaviour]]` entries, relative to the
    /// experiment file. Its checks are copied into the run's experiment.toml.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Checks of arm `provenance`; left out: the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Vec<CheckConfig>>,
    /// Checks of arm `behaviour`; left out: the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behaviour: Option<Vec<CheckConfig>>,
}

/// How the run uses the machine. Nothing here changes an adapter's digest on the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// `auto` (the best card, else the CPU), `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: String,
    /// `exact` (the same bits on every processor) or `fast` (bf16 products; the bits depend on
    /// the processor's kernel). Part of the engine's name in every attestation.
    pub numerics: String,
    /// Threads of the CPU device; 0: as many as there are cores.
    pub threads: usize,
    /// Updates and evaluations executed side by side; 0: as many as there are cores.
    pub workers: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            device: "cpu".into(),
            numerics: "exact".into(),
            threads: 0,
            workers: 0,
        }
    }
}

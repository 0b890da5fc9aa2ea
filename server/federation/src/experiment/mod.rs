//! The experiment file: every parameter of a run as a TOML key.
//!
//! A key that is left out has the paper's value (PAPER, "Federated instruction tuning" and
//! "Post-hoc defence"). The shipped files (`experiments/*.toml`) differ only in values. A bad file
//! is refused with key, line and expected type; an unknown key is answered with near ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::attestation::Limits;
use serde::{Deserialize, Serialize};

use crate::admission::CheckConfig;
use crate::error::{Error, Result};
use crate::{aggregation, optimiser};

mod locate;
mod validate;

/// One experiment, as its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// What the report is headed with.
    pub title: String,
    /// Seeds, one run each; the first is the one of a single run. Everything random derives from
    /// it: attackers, sampling, shards, initial adapter, order of the training data, canaries.
    pub seeds: Vec<u64>,
    /// The columns, see [`crate::arms`].
    pub arms: Vec<String>,
    /// The frozen base.
    pub model: ModelConfig,
    /// Where prompts and examples come from.
    pub data: DataConfig,
    /// Clients and rounds.
    pub federation: FederationConfig,
    /// What one client does in a round.
    pub training: TrainingConfig,
    /// Shape of the adapter.
    pub lora: LoraConfig,
    /// What the malicious clients do.
    pub attack: AttackConfig,
    /// Settings of the aggregation rules.
    pub aggregation: AggregationConfig,
    /// The server optimiser.
    pub server: ServerConfig,
    /// The post-hoc defence.
    pub defence: DefenceConfig,
    /// How arms are measured.
    pub evaluation: EvaluationConfig,
    /// The sealed prompts of the behaviour checks.
    pub canaries: CanariesConfig,
    /// What the server demands of an update, by set of checks.
    pub admission: AdmissionConfig,
    /// What a module may use.
    pub limits: Limits,
    /// How the run uses the machine.
    pub run: RunConfig,
}

impl Default for Experiment {
    fn default() -> Self {
        Experiment {
            title: "Federated instruction tuning".into(),
            seeds: vec![0],
            arms: [
                "clean",
                "fedavg",
                "median",
                "krum",
                "provenance",
                "behaviour",
                "defended",
            ]
            .map(String::from)
            .to_vec(),
            model: ModelConfig::default(),
            data: DataConfig::default(),
            federation: FederationConfig::default(),
            training: TrainingConfig::default(),
            lora: LoraConfig::default(),
            attack: AttackConfig::default(),
            aggregation: AggregationConfig::default(),
            server: ServerConfig::default(),
            defence: DefenceConfig::default(),
            evaluation: EvaluationConfig::default(),
            canaries: CanariesConfig::default(),
            admission: AdmissionConfig::default(),
            limits: Limits::default(),
            run: RunConfig::default(),
        }
    }
}

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

/// What one client does in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Optimiser steps a round.
    pub local_steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// Longest sequence, tokens; longer ones are cut.
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

/// What the malicious clients do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttackConfig {
    /// The malicious clients' kinds, in turn: `malicious-gen`, `unaligned-data`, `poisoned-shard`.
    pub kinds: Vec<String>,
    /// Literal examples that an `unaligned-data` client brings.
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

/// Settings of the aggregation rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AggregationConfig {
    /// Attackers that the rules expect among the sampled clients; left out: the expected number,
    /// rounded (`sampled * malicious / clients`), at least 1 where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_malicious: Option<usize>,
    /// Trimmed mean: values dropped at either end.
    pub trim: usize,
    /// DnC: iterations.
    pub dnc_iterations: usize,
    /// DnC: drops this times the expected attackers.
    pub dnc_filter: f64,
    /// DnC: sampled coordinates.
    pub dnc_coordinates: usize,
    /// Residual reweighting: lambda.
    pub residual_lambda: f64,
    /// Residual reweighting: confidence threshold.
    pub residual_threshold: f64,
}

impl Default for AggregationConfig {
    fn default() -> Self {
        let context = aggregation::Context::default();
        AggregationConfig {
            expected_malicious: None,
            trim: context.trim,
            dnc_iterations: context.dnc_iterations,
            dnc_filter: context.dnc_filter,
            dnc_coordinates: context.dnc_coordinates,
            residual_lambda: context.residual_lambda,
            residual_threshold: context.residual_threshold,
        }
    }
}

/// The server optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// `plain`, `fedavgm`, `fedadagrad`, `fedyogi` or `fedadam`.
    pub optimiser: String,
    /// eta of the adaptive ones.
    pub learning_rate: f64,
    /// beta of FedAvgM.
    pub momentum: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// tau of the adaptive ones.
    pub tau: f64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let settings = optimiser::Settings::default();
        ServerConfig {
            optimiser: "plain".into(),
            learning_rate: settings.learning_rate,
            momentum: settings.momentum,
            beta1: settings.beta1,
            beta2: settings.beta2,
            tau: settings.tau,
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
    /// Longest generated instruction or answer, tokens.
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
    /// Longest answer, tokens.
    pub max_new_tokens: usize,
    /// Prompts generated together.
    pub batch_size: usize,
    /// Prompts of each kind shown side by side in the report.
    pub side_by_side: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        EvaluationConfig {
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
    /// `auto`, `cpu` or `wgpu`.
    pub device: String,
    /// Threads of the CPU device; 0: as many as there are cores.
    pub threads: usize,
    /// Updates and evaluations executed side by side; 0: as many as there are cores.
    pub workers: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            device: "cpu".into(),
            threads: 0,
            workers: 0,
        }
    }
}

impl Experiment {
    /// Reads and checks a file; its admission file, where it names one, is read too and its checks
    /// stand in the result as if they were inline.
    pub fn load(path: impl AsRef<Path>) -> Result<Experiment> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        let mut experiment = Self::parse(&text, &path.display().to_string())?;
        if !experiment.admission.file.is_empty() {
            let file = path
                .parent()
                .map_or_else(PathBuf::new, Path::to_path_buf)
                .join(&experiment.admission.file);
            let text = std::fs::read_to_string(&file).map_err(|source| Error::io(&file, source))?;
            let name = file.display().to_string();
            let inner: AdmissionConfig = locate::parse(&text, &name)?;
            validate::admission(&inner, &locate::Located::new(&text, &name), "")?;
            experiment.admission.file.clear();
            experiment.admission.provenance = inner.provenance.or(experiment.admission.provenance);
            experiment.admission.behaviour = inner.behaviour.or(experiment.admission.behaviour);
        }
        Ok(experiment)
    }

    /// Reads and checks an experiment from its text; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Experiment> {
        let experiment: Experiment = locate::parse(text, file)?;
        validate::experiment(&experiment, &locate::Located::new(text, file))?;
        Ok(experiment)
    }

    /// The experiment as TOML with every key written out: what a run's folder keeps.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Experiment {
            file: self.title.clone(),
            line: None,
            key: String::new(),
            problem: error.to_string(),
        })
    }

    /// Attackers that the rules expect among the sampled clients.
    pub fn expected_malicious(&self) -> usize {
        let federation = &self.federation;
        self.aggregation.expected_malicious.unwrap_or_else(|| {
            if federation.malicious == 0 {
                return 0;
            }
            let share = federation.malicious as f64 / federation.clients.max(1) as f64;
            ((federation.sampled as f64 * share).round() as usize).max(1)
        })
    }

    /// What an aggregation rule may know in the round of this seed.
    pub fn aggregation_context(&self, round_seed: u64) -> aggregation::Context {
        aggregation::Context {
            expected_malicious: self.expected_malicious(),
            seed: round_seed,
            trim: self.aggregation.trim,
            dnc_iterations: self.aggregation.dnc_iterations,
            dnc_filter: self.aggregation.dnc_filter,
            dnc_coordinates: self.aggregation.dnc_coordinates,
            residual_lambda: self.aggregation.residual_lambda,
            residual_threshold: self.aggregation.residual_threshold,
        }
    }

    /// A fresh server optimiser.
    pub fn server_optimiser(&self) -> Result<Box<dyn optimiser::Optimiser>> {
        optimiser::optimiser(
            &self.server.optimiser,
            &optimiser::Settings {
                learning_rate: self.server.learning_rate,
                momentum: self.server.momentum,
                beta1: self.server.beta1,
                beta2: self.server.beta2,
                tau: self.server.tau,
            },
        )
    }

    /// Parameters that an observer of the report wants to see, as plain JSON.
    pub fn summary(&self) -> BTreeMap<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
            _ => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;

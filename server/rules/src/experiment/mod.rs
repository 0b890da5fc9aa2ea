//! The experiment file: every parameter of a run as a TOML key.
//!
//! A key that is left out has the paper's value (PAPER, "Federated instruction tuning" and
//! "Post-hoc defence"). The shipped files (`experiments/*.toml`) differ only in values. A bad file
//! is refused with key, line and expected type; an unknown key is answered with near ones.

use std::collections::BTreeMap;

use fedseal_adapter::{AdapterConfig, TrainConfig};
use fedseal_client_sdk::attestation::Limits;
use serde::{Deserialize, Serialize};

use crate::admission::CheckConfig;
use crate::arms::{self, Arm, ArmConfig};
use crate::attack::{Attackers, BENIGN};
use crate::error::{Error, Result};
use crate::site::SiteRules;
use crate::{admission, aggregation, optimiser};

mod compare;
mod locate;
mod own;
mod read;
mod sections;
mod validate;

/// Longest experiment.toml, bytes.
pub const MAX_EXPERIMENT: u64 = 1 << 20;

pub use compare::{Difference, differences, in_words};
pub use read::{read_admission, read_site, read_site_text};
pub use sections::{
    AdmissionConfig, AttackConfig, CanariesConfig, ClientConfig, DataConfig, DefenceConfig,
    EvaluationConfig, FederationConfig, LoraConfig, MAX_CLIENT_NAME, MAX_SHARD, MOST_EXAMPLES,
    ModelConfig, ModulePlace, NodesConfig, RunConfig, SOURCES, TrainingConfig, is_client_name,
};

pub use crate::aggregation::AggregationConfig;
pub use crate::optimiser::ServerConfig;

/// One experiment, as its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// Heading of the report.
    pub title: String,
    /// Seeds, one run each; the first is the one of a single run. Everything random derives from
    /// it: attackers, sampling, shards, initial adapter, order of the training data, canaries.
    pub seeds: Vec<u64>,
    /// The columns, see [`crate::arms`].
    pub arms: Vec<String>,
    /// Columns of the experiment's own, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arm: BTreeMap<String, ArmConfig>,
    /// The frozen base.
    pub model: ModelConfig,
    /// Where prompts and examples come from.
    pub data: DataConfig,
    /// Clients and rounds.
    pub federation: FederationConfig,
    /// Clients of the experiment's own, in the order in which their updates are summed; none: as many as
    /// `[federation]` says, with data of `[data]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientConfig>,
    /// Training of one client in a round.
    pub training: TrainingConfig,
    /// Shape of the adapter.
    pub lora: LoraConfig,
    /// Attack of the malicious clients.
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
    /// Demands of the server on an update, by set of checks.
    pub admission: AdmissionConfig,
    /// Limits of a module.
    pub limits: Limits,
    /// Rules of the data holder; left out: there are no site rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteRules>,
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
            arm: BTreeMap::new(),
            model: ModelConfig::default(),
            data: DataConfig::default(),
            federation: FederationConfig::default(),
            clients: Vec::new(),
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
            site: None,
            run: RunConfig::default(),
        }
    }
}

impl Experiment {
    /// The experiment as TOML with every key written out: what a run's folder keeps.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&self.written_out()).map_err(|error| Error::Experiment {
            file: self.title.clone(),
            line: None,
            key: String::new(),
            problem: error.into(),
        })
    }

    /// Malicious clients of the attacked arms that have none of their own.
    pub fn attackers(&self) -> Attackers<'_> {
        Attackers {
            malicious: self.federation.malicious,
            kinds: &self.attack.kinds,
            honest: BENIGN,
        }
    }

    /// Attackers that the rules expect among the sampled clients of an arm.
    pub fn expected_malicious(&self, arm: &Arm) -> usize {
        let federation = &self.federation;
        let malicious = arm.malicious.unwrap_or(federation.malicious);
        self.aggregation.expected_malicious.unwrap_or_else(|| {
            if malicious == 0 {
                return 0;
            }
            let share = malicious as f64 / federation.clients.max(1) as f64;
            ((federation.sampled as f64 * share).round() as usize).max(1)
        })
    }

    /// Inputs of an arm's aggregation rule, besides updates and parameters, in the round of this seed.
    pub fn aggregation_inputs(&self, arm: &Arm, round_seed: u64) -> aggregation::Inputs {
        aggregation::Inputs {
            expected_malicious: self.expected_malicious(arm),
            seed: round_seed,
        }
    }

    /// Warnings about an attacked arm's rule: what its source proves does not hold with so many attackers
    /// among so few updates.
    ///
    /// # Errors
    /// As [`AggregationConfig::rule`].
    pub fn warnings(&self, arm: &Arm) -> Result<Vec<String>> {
        if arm.kind != arms::Kind::Federated || !arm.attacked {
            return Ok(Vec::new());
        }
        let (updates, malicious) = (self.federation.sampled, self.expected_malicious(arm));
        let warning = self.aggregation.warning(arm.rule, updates, malicious)?;
        Ok(warning.into_iter().collect())
    }

    /// The arms, in the order in which reports show them.
    ///
    /// # Errors
    /// As [`arms::expand`].
    pub fn all_arms(&self) -> Result<Vec<Arm>> {
        arms::expand(&self.arms, &self.arm)
    }

    /// The checks that an arm applies.
    pub fn checks(&self, arm: &Arm) -> Vec<CheckConfig> {
        let own = &self.admission;
        match arm.admission {
            None => Vec::new(),
            Some(arms::Admission::Provenance) => own
                .provenance
                .clone()
                .unwrap_or_else(admission::default_provenance),
            Some(arms::Admission::Behaviour) => own
                .behaviour
                .clone()
                .unwrap_or_else(admission::default_behaviour),
        }
    }

    /// Name of an arm's server optimiser.
    pub fn optimiser<'a>(&'a self, arm: &'a Arm) -> &'a str {
        arm.optimiser.as_deref().unwrap_or(&self.server.optimiser)
    }

    /// Server optimisers of the arms that have rounds; that of `[server]` where none has.
    fn optimisers(&self) -> Vec<&'static optimiser::Definition> {
        let arms = self.all_arms().unwrap_or_default();
        let federated = arms.iter().filter(|arm| arm.kind == arms::Kind::Federated);
        let named = federated.filter_map(|arm| optimiser::definition(self.optimiser(arm)).ok());
        let mut found: Vec<_> = named.collect();
        if found.is_empty() {
            found.extend(optimiser::definition(&self.server.optimiser));
        }
        found
    }

    /// A fresh server optimiser of an arm.
    pub fn server_optimiser(&self, arm: &Arm) -> Result<Box<dyn optimiser::Optimiser>> {
        self.server.build(self.optimiser(arm))
    }

    /// The experiment with every parameter of every rule in its section, and the numbers that its server
    /// optimisers use.
    fn written_out(&self) -> Experiment {
        Experiment {
            aggregation: self.aggregation.written_out(),
            server: self.server.written_out(&self.optimisers()),
            ..self.clone()
        }
    }
}

/// Local training as the experiment says; steps, rate and seed are set per call.
pub fn train_config(experiment: &Experiment) -> TrainConfig {
    experiment.training.for_engine()
}

/// The adapter as the experiment says.
pub fn adapter_config(experiment: &Experiment) -> AdapterConfig {
    experiment.lora.for_engine()
}

#[cfg(test)]
mod covered;
#[cfg(test)]
mod tests;

//! `run.json`: the plan of a run, fixed when the run is created.

use std::collections::BTreeMap;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Seed};
use fedseal_client_sdk::keys::{Moment, PublicKey, TrustStore};
use fedseal_client_sdk::outside;
use fedseal_rules::formulas::Versions;
use serde::{Deserialize, Serialize};

use super::RunDir;
use crate::error::{Error, Result};
use fedseal_rules::arms::Arm;
use fedseal_rules::attack::BENIGN;
use fedseal_rules::evaluation::{self, Judge, Reads, rule};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::site::SiteRules;

/// Version of the folder's layout.
pub const FORMAT: u32 = 1;

/// Version of how a run is counted and named. Since version 1 its report counts failures apart and says
/// what changed nothing, and its log's origin names its node's key. Since version 2 its report warns of arms
/// beyond their rule's bound. An older run is checked by the rules of its time.
pub const FORMULAS: u32 = 2;

/// Longest run.json that is read, bytes: 50,000 clients.
pub const MAX_PLAN: u64 = 32 << 20;

/// A registered module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModule {
    /// Its name.
    pub name: String,
    /// Its Wasm bytes, a blob.
    pub digest: Digest,
    /// Its signature, a blob.
    pub envelope: Digest,
    /// Its author.
    pub signer: PublicKey,
}

/// A client's module and the data that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The module.
    pub module: Digest,
    /// The registered shard, a blob.
    pub shard: Digest,
    /// Examples in the shard.
    pub examples: u32,
    /// Literal examples handed in next to the module, a blob.
    pub attachment: Option<Digest>,
}

/// One client of the experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedClient {
    /// Its name.
    pub client: ClientId,
    /// Its key.
    pub key: PublicKey,
    /// `benign`, or the kind of its attack (`dishonest` for one of the experiment's own). The
    /// experimenter's knowledge, which no check sees.
    pub kind: String,
    /// Its assignment in the clean arm; equal to `attacked` for a client that is absent there.
    pub honest: Assignment,
    /// Its assignment in the attacked arms; equal to `honest` for a benign client.
    pub attacked: Assignment,
    /// Its part in arms that have attackers of their own, by arm: where its kind there is another one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<String, Part>,
    /// Whether it takes no part in arms that are not attacked: a client of the experiment's own that is
    /// not honest, which has no honest shard. Not written where it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Whether it is a node of a data holder: it executes its module itself, signs its attestations with
    /// its key, and keeps its shard, which is no blob of the run. Not written where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub node: bool,
    /// Rules of its site, where it is a node; signers in them are keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteRules>,
}

/// A client's part in an arm that has attackers of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `benign`, or the kind of its attack.
    pub kind: String,
    /// Its assignment.
    pub assignment: Assignment,
}

impl PlannedClient {
    /// Every assignment that it has in some arm: the honest one first, then that of the attacked arms.
    pub fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        let own = self.arms.values().map(|part| &part.assignment);
        [&self.honest, &self.attacked].into_iter().chain(own)
    }

    /// Whether it takes part in an arm.
    pub fn takes_part(&self, arm: &Arm) -> bool {
        arm.attacked || !self.absent
    }

    /// Its assignment in an arm.
    pub fn assignment(&self, arm: &Arm) -> &Assignment {
        match self.arms.get(&arm.id) {
            Some(part) => &part.assignment,
            None if arm.attacked => &self.attacked,
            None => &self.honest,
        }
    }

    /// Its kind in an arm, `benign` where it is honest.
    pub fn kind_in(&self, arm: &Arm) -> &str {
        match self.arms.get(&arm.id) {
            Some(part) => &part.kind,
            None if arm.attacked => &self.kind,
            None => BENIGN,
        }
    }
}

/// Plan of a run, fixed when the run is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// [`FORMULAS`] when it was made; 0, and not written, before there was more than one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub formulas: u32,
    /// The name of the folder it was made in.
    pub run: String,
    /// When, RFC 3339, UTC.
    pub created: String,
    /// The seed.
    pub seed: Seed,
    /// The log's origin line.
    pub origin: String,
    /// The node's key: signs attestations and checkpoints.
    pub node: PublicKey,
    /// Module authors that the node trusts.
    pub authors: TrustStore,
    /// experiment.toml.
    pub experiment: Digest,
    /// The base.
    pub base: Digest,
    /// Its name.
    pub base_name: String,
    /// Fingerprint of the engine, on which every adapter's bits depend.
    pub engine: String,
    /// The first global adapter, a blob.
    pub initial: Digest,
    /// The modules.
    pub modules: Vec<PlannedModule>,
    /// The clients, by index.
    pub clients: Vec<PlannedClient>,
    /// Versions of the formulas that it uses; left out in runs from before they were recorded.
    #[serde(default, skip_serializing_if = "Versions::is_empty")]
    pub versions: Versions,
    /// Digests of the experiment's own data by their keys in `[data]`; none, and not written, for a
    /// source that has none. A run goes on only with the same ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Digest>,
    /// The sealed canaries; a blob once they are opened.
    pub canaries: Digest,
    /// The evaluation prompts, a blob.
    pub evaluation: Digest,
    /// Measures of its report beyond safety and helpfulness, those that there were when it was made. None,
    /// and not written, in runs from before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<PlannedMeasure>,
}

/// A measure of a run's report.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedMeasure {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
}

impl PlannedMeasure {
    /// Measures of a new run beyond safety and helpfulness: every one that there is, those that the experiment
    /// asks for, and safety under its further templates.
    pub fn of(experiment: &Experiment) -> Vec<PlannedMeasure> {
        let config = &experiment.evaluation;
        let asked = evaluation::ASKED.iter().filter(|judge| match judge.reads {
            Reads::LookAlikes => config.lookalikes > 0,
            _ => config.classes,
        });
        let plain = evaluation::extra().iter().chain(asked);
        let plain = plain.map(|judge| Self::under(judge, None));
        let templates = config.templates.iter();
        let templates =
            templates.map(|template| Self::under(&rule::JUDGE, Some(template.as_str())));
        plain.chain(templates).collect()
    }

    /// A judge's measure, under a further template where one is given.
    fn under(judge: &Judge, template: Option<&str>) -> PlannedMeasure {
        let Judge { name, title, .. } = judge;
        match template {
            None => PlannedMeasure {
                name: (*name).to_owned(),
                title: (*title).to_owned(),
            },
            Some(template) => PlannedMeasure {
                name: format!("{name}@{template}"),
                title: format!("{title}, {template}"),
            },
        }
    }

    /// The further template under which the requests are asked for it; none for that of the model.
    pub fn template(&self) -> Option<&str> {
        self.name.split_once('@').map(|(_, template)| template)
    }

    /// Its judge; none for a measure that this program does not know.
    pub fn judge(&self) -> Option<&'static Judge> {
        let name = self
            .name
            .split_once('@')
            .map_or(self.name.as_str(), |(name, _)| name);
        evaluation::named(name)
    }

    /// Whether its heading is the one of its name.
    pub(crate) fn has_own_title(&self) -> bool {
        let own = self
            .judge()
            .map(|judge| Self::under(judge, self.template()));
        own.is_none_or(|own| own.title == self.title)
    }
}

fn is_first(formulas: &u32) -> bool {
    *formulas == 0
}

impl Plan {
    /// Whether its report counts failures apart and says what changed nothing, and its log's origin
    /// names its key.
    pub fn counts_failures(&self) -> bool {
        self.formulas > 0
    }

    /// Whether its report warns of arms beyond their rule's bound.
    pub fn warns(&self) -> bool {
        self.formulas > 1
    }

    /// Whether any client is a node of a data holder.
    pub fn has_nodes(&self) -> bool {
        self.clients.iter().any(|client| client.node)
    }

    /// The client of that name where it is a node of a data holder.
    pub fn node_of(&self, client: &ClientId) -> Option<&PlannedClient> {
        let found = self.client(client).map(|(_, planned)| planned);
        found.filter(|planned| planned.node)
    }

    /// The key that attests a client's updates: its own where it is a node, else the run's.
    pub fn attester(&self, client: &ClientId) -> PublicKey {
        self.node_of(client)
            .map_or(self.node, |planned| planned.key)
    }

    /// Site rules that a client's executions are under: its node's, else the experiment's.
    pub fn site<'a>(
        &'a self,
        experiment: &'a Experiment,
        client: &ClientId,
    ) -> Option<&'a SiteRules> {
        match self.node_of(client) {
            Some(planned) => planned.site.as_ref(),
            None => experiment.site.as_ref(),
        }
    }

    /// The client of that name, with its index.
    pub fn client(&self, name: &ClientId) -> Option<(usize, &PlannedClient)> {
        // Names that were made here are in order, and a round of a thousand asks for each several times.
        let ordered = self
            .clients
            .binary_search_by(|client| client.client.cmp(name));
        let mut others = self.clients.iter();
        let index = ordered
            .ok()
            .or_else(|| others.position(|client| client.client == *name))?;
        Some((index, self.clients.get(index)?))
    }

    /// The name of a module.
    pub fn module_name(&self, digest: &Digest) -> Option<&str> {
        self.modules
            .iter()
            .find(|module| module.digest == *digest)
            .map(|module| module.name.as_str())
    }

    /// The authors whose modules could be registered when the run was made.
    pub fn trusted_authors(&self) -> Vec<PublicKey> {
        self.authors.keys_at(&Moment {
            time: &self.created,
            entry: None,
        })
    }

    /// Who signed a module.
    pub fn signer(&self, digest: &Digest) -> Result<PublicKey> {
        self.modules
            .iter()
            .find(|module| module.digest == *digest)
            .map(|module| module.signer)
            .ok_or_else(|| {
                Error::tampered(format!("module {digest}"), "is not registered in this run")
            })
    }
}

impl RunDir {
    /// Reads the plan, and checks that log and blobs are in the folder, not elsewhere.
    ///
    /// # Errors
    /// [`Error::RunDir`] where no run is; [`Error::Io`] for a file or folder that is something else;
    /// [`Error::Tampered`] for a run.json that is no plan.
    pub fn read_plan(&self) -> Result<Plan> {
        let bytes = match self.read("run.json", MAX_PLAN) {
            Ok(bytes) => bytes,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::RunDir {
                    dir: self.root.clone(),
                    problem: "no run is here (run.json is missing)".into(),
                });
            }
            Err(other) => return Err(other),
        };
        for name in ["log", "blobs"] {
            if let Err(source) = outside::folder(&self.root, name)
                && outside::is_unfit(&source)
            {
                return Err(Error::io(self.root.join(name), source));
            }
        }
        let plan: Plan =
            canonical::from_slice(&bytes).map_err(|error| Error::tampered("run.json", error))?;
        if plan.format != FORMAT {
            return Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!("format {} of run.json is not {FORMAT}", plan.format),
            });
        }
        if plan.formulas > FORMULAS {
            return Err(Error::RunDir {
                dir: self.root.clone(),
                problem: format!(
                    "made by a newer fedseal (formulas {} of run.json, known here up to {FORMULAS})",
                    plan.formulas
                ),
            });
        }
        Ok(plan)
    }
}

//! `[federation]`: clients and rounds, and `[federation.nodes]`: clients that are nodes of data holders.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, Section};
use crate::attack::BENIGN;
use crate::error::Result;

/// Most clients.
const MOST_CLIENTS: usize = 10_000;
/// Most examples of all shards together.
pub const MOST_EXAMPLES: usize = 10_000_000;

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
    /// Concentration of the Dirichlet distribution that each client's shares of the kinds of tasks are drawn
    /// from, in the embedded world; left out: every client has them alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirichlet: Option<f64>,
    /// Rounds with nodes: each client is a data holder's node that keeps its shard. Left out: one process
    /// executes for all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodesConfig>,
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
            dirichlet: None,
            nodes: None,
        }
    }
}

/// Longest deadline of a round, seconds: 30 days.
const LONGEST_ROUND: u64 = 30 * 24 * 3600;
/// Most repeats of a round.
const MOST_REPEATS: u32 = 1000;

/// Rounds of a federation whose clients are nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodesConfig {
    /// Seconds that the sampled nodes have for a round's updates.
    pub deadline: u64,
    /// Updates without which a round does not count; 0: any number does.
    pub least_updates: usize,
    /// Fate of a round with fewer: `repeat` (missing nodes have the same time again) or `skip` (nothing
    /// counts, the global adapter stays).
    pub below: String,
    /// Times that a round is repeated; then it is skipped.
    pub repeats: u32,
    /// Module of every client where there are no `[[clients]]`: then whoever has an invitation enrols under
    /// a name of its own, until there are `federation.clients`.
    pub module: String,
}

impl Default for NodesConfig {
    fn default() -> Self {
        NodesConfig {
            deadline: 3600,
            least_updates: 0,
            below: REPEAT.into(),
            repeats: 3,
            module: BENIGN.into(),
        }
    }
}

/// Word of `below` for a round that is offered again.
const REPEAT: &str = "repeat";
/// Word of `below` for a round in which nothing counts.
const SKIP: &str = "skip";

impl NodesConfig {
    /// Whether a round with too few updates is repeated, not skipped.
    pub fn repeats_below(&self) -> bool {
        self.below == REPEAT
    }

    fn check(&self, sampled: usize, at: &Located<'_>) -> Result<()> {
        let section = Section::new("federation.nodes", at);
        section.need(
            (1..=LONGEST_ROUND).contains(&self.deadline),
            "deadline",
            format_args!("1 to {LONGEST_ROUND} seconds"),
            self.deadline,
        )?;
        section.need(
            self.least_updates <= sampled,
            "least_updates",
            format_args!("at most federation.sampled = {sampled}"),
            self.least_updates,
        )?;
        section.need(
            [REPEAT, SKIP].contains(&self.below.as_str()),
            "below",
            format_args!("`{REPEAT}` or `{SKIP}`"),
            &self.below,
        )?;
        section.need(
            self.repeats <= MOST_REPEATS,
            "repeats",
            format_args!("at most {MOST_REPEATS}"),
            self.repeats,
        )?;
        section.need(!self.module.is_empty(), "module", "a module", "none")
    }
}

impl FederationConfig {
    /// Checks the ranges.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("federation", at);
        section.least(1, "clients", self.clients)?;
        section.most(MOST_CLIENTS, "clients", self.clients)?;
        let clients = self.clients;
        section.need(
            self.malicious <= clients,
            "malicious",
            format_args!("at most federation.clients = {clients}"),
            self.malicious,
        )?;
        section.need(
            (1..=clients).contains(&self.sampled),
            "sampled",
            format_args!("1 to federation.clients = {clients}"),
            self.sampled,
        )?;
        section.least(1, "rounds", self.rounds as usize)?;
        section.most(MOST, "rounds", self.rounds as usize)?;
        section.need(
            (0.0..=1.0).contains(&self.refusal_share),
            "refusal_share",
            "a share from 0 to 1",
            self.refusal_share,
        )?;
        if let Some(alpha) = self.dirichlet {
            section.positive("dirichlet", alpha)?;
        }
        if let Some(nodes) = &self.nodes {
            nodes.check(self.sampled, at)?;
        }
        self.check_examples(&section)
    }

    fn check_examples(&self, section: &Section<'_>) -> Result<()> {
        let key = "examples_per_client";
        let (clients, each) = (self.clients, self.examples_per_client);
        section.least(1, key, each)?;
        section.most(MOST, key, each)?;
        section.need(
            clients.saturating_mul(each) <= MOST_EXAMPLES,
            key,
            format_args!("at most {MOST_EXAMPLES} examples of all clients"),
            format_args!("{each} of each of {clients}"),
        )
    }
}

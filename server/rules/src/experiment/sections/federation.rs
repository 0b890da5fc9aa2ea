//! `[federation]`: clients and rounds.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, Section};
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
        }
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

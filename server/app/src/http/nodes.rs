//! Federations that this server coordinates, and the health of their nodes, for pages and programs. Nothing of it is
//! secret to who may read runs: a run's plan names the same keys and shards.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_federation::protocol::{self, LATE, NodeStatus, SILENT, Status};
use fedseal_record::rundir::is_name;
use fedseal_rules::lifecycle::Phase;
use schemars::JsonSchema;
use serde::Serialize;

use super::Server;
use super::federations::{Federations, refusal};
use super::lists::{self, Wanted};
use super::openapi::{self, Operation, READS, schema};
use super::refusal::{Answer, Refusal, blocking};

/// Health of a node, by when it asked for work last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "NodeHealth")]
enum Health {
    /// It asked a short while ago.
    Fresh,
    /// It did not ask for a while; one that trains asks when it is done.
    Late,
    /// It did not ask for long, or never.
    Silent,
    /// Its key was given up.
    Revoked,
}

impl From<protocol::Health> for Health {
    fn from(health: protocol::Health) -> Health {
        match health {
            protocol::Health::Fresh => Health::Fresh,
            protocol::Health::Late => Health::Late,
            protocol::Health::Silent => Health::Silent,
            protocol::Health::Revoked => Health::Revoked,
        }
    }
}

/// Number of nodes in each state of health.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "NodeCounts")]
struct Counts {
    fresh: usize,
    late: usize,
    silent: usize,
    revoked: usize,
}

impl Counts {
    fn of(nodes: &[NodeStatus]) -> Counts {
        let count = |wanted| nodes.iter().filter(|node| node.health == wanted).count();
        Counts {
            fresh: count(protocol::Health::Fresh),
            late: count(protocol::Health::Late),
            silent: count(protocol::Health::Silent),
            revoked: count(protocol::Health::Revoked),
        }
    }
}

/// A federation's entry in the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FederationSummary")]
pub(super) struct Summary {
    /// Its name; that of its run, too.
    name: String,
    /// Its state.
    phase: Phase,
    /// When it was made, RFC 3339, UTC.
    created: String,
    /// Rounds in all.
    rounds: u32,
    /// Places of clients.
    places: usize,
    /// Clients that enrolled.
    enrolled: usize,
    /// Clients by the health of their nodes.
    health: Counts,
}

/// A federation with a part of its nodes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FederationView")]
pub(super) struct View {
    #[serde(flatten)]
    summary: Summary,
    /// The coordinator's key.
    coordinator: PublicKey,
    /// Seconds without a question for work after which a node is late.
    late_after: u64,
    /// Seconds after which it is silent.
    silent_after: u64,
    /// Clients of the file that nobody has enrolled as.
    missing: usize,
    /// Invitations that nobody used.
    invitations: usize,
    /// Refused requests of nodes by what was wrong with them.
    refused: BTreeMap<String, u64>,
    /// Clients with their nodes, by name: a part of those that were searched for.
    nodes: Vec<Node>,
    /// How many there are of those.
    found: usize,
}

/// A client with its node.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FederationNode")]
struct Node {
    /// The client's name.
    client: String,
    /// The node's key.
    key: PublicKey,
    /// Digest of the client's shard.
    shard: Digest,
    /// Examples in it.
    examples: u32,
    /// When it enrolled, RFC 3339, UTC.
    enrolled: String,
    /// The node's health.
    health: Health,
    /// Seconds since it asked for work; null: never.
    asked: Option<u64>,
    /// Version of the protocol that it spoke last.
    protocol: Option<u32>,
    /// Its program, as it names itself.
    program: Option<String>,
    /// Seconds that its clock was ahead of the coordinator's; below 0: behind.
    ahead: Option<i64>,
    /// Jobs by how they ended; null before the first round.
    jobs: Option<Jobs>,
    /// Entries of the run's log that it has cosigned.
    cosigned: Option<u64>,
    /// Why its key was given up.
    revoked: Option<String>,
}

/// Jobs of a node by how they ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NodeJobs")]
struct Jobs {
    /// Its update is in the run's log.
    done: u64,
    /// The node refused it.
    refused: u64,
    /// Nothing came in time.
    late: u64,
}

impl From<&Status> for Summary {
    fn from(status: &Status) -> Summary {
        Summary {
            name: status.name.clone(),
            phase: status.phase,
            created: status.created.clone(),
            rounds: status.rounds,
            places: status.places,
            enrolled: status.nodes.len(),
            health: Counts::of(&status.nodes),
        }
    }
}

impl From<NodeStatus> for Node {
    fn from(node: NodeStatus) -> Node {
        let (protocol, ahead) = match &node.contact {
            Some(contact) => (Some(contact.protocol), Some(contact.ahead)),
            None => (None, None),
        };
        Node {
            client: node.client,
            key: node.key,
            shard: node.shard,
            examples: node.examples,
            enrolled: node.enrolled,
            health: node.health.into(),
            asked: node.asked,
            protocol,
            program: node.contact.map(|contact| contact.program),
            ahead,
            jobs: node.jobs.map(|jobs| Jobs {
                done: jobs.done,
                refused: jobs.refused,
                late: jobs.late,
            }),
            cosigned: node.cosigned,
            revoked: node.revoked,
        }
    }
}

/// [`list`], described.
pub(super) static LIST: Operation = Operation {
    id: "listFederations",
    method: Method::GET,
    path: "/api/federations",
    summary: "The federations that this server coordinates, with their nodes by health.",
    query: lists::PARAMETERS,
    body: None,
    answer: openapi::Answer::json("A part of the list.", schema::<Vec<Summary>>),
    refusals: &[400, 408, 500, 503],
};

/// `GET /api/federations`
pub(super) async fn list(
    State(shared): Server,
    Query(wanted): Query<Wanted>,
) -> Answer<(HeaderMap, Json<Vec<Summary>>)> {
    blocking(move || {
        let names = match &shared.federations {
            Some(federations) => federations.books().names().map_err(refusal)?,
            None => Vec::new(),
        };
        let (names, headers) = wanted.part("/api/federations", names, |name| name);
        let mut all = Vec::new();
        for name in names {
            all.push(Summary::from(&status(
                shared.federations.as_deref(),
                &name,
            )?));
        }
        Ok((headers, Json(all)))
    })
    .await
}

/// [`one`], described.
pub(super) static ONE: Operation = Operation {
    id: "getFederation",
    method: Method::GET,
    path: "/api/federations/{federation}",
    summary: "A federation, and a part of its nodes by the names of their clients.",
    query: lists::PARAMETERS,
    body: None,
    answer: openapi::Answer::json("The federation.", schema::<View>),
    refusals: READS,
};

/// `GET /api/federations/{federation}`
pub(super) async fn one(
    State(shared): Server,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<(HeaderMap, Json<View>)> {
    blocking(move || {
        let mut status = status(shared.federations.as_deref(), &name)?;
        let summary = Summary::from(&status);
        let mut nodes = std::mem::take(&mut status.nodes);
        if let Some(search) = wanted.searched() {
            nodes.retain(|node| node.client.to_lowercase().contains(&search));
        }
        let found = nodes.len();
        let path = format!("/api/federations/{name}");
        let (range, headers) = wanted.range(&path, found as u64);
        let part = nodes.into_iter().skip(range.start as usize);
        let part = part.take((range.end - range.start) as usize);
        let view = View {
            summary,
            coordinator: status.coordinator,
            late_after: LATE,
            silent_after: SILENT,
            missing: status.missing.len(),
            invitations: status.invitations,
            refused: status.refused,
            nodes: part.map(Node::from).collect(),
            found,
        };
        Ok((headers, Json(view)))
    })
    .await
}

fn status(federations: Option<&Federations>, name: &str) -> Answer<Status> {
    let missing = || {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "There is no such federation.",
            name.chars().take(100).collect::<String>(),
            "GET /api/federations lists those that this server coordinates.",
        )
    };
    let federations = federations.filter(|_| is_name(name)).ok_or_else(missing)?;
    match federations.status(name) {
        Err(fedseal_federation::Error::Refused { .. }) => Err(missing()),
        other => other.map_err(refusal),
    }
}

//! Entries of a run's log one by one, with what proves them, and the proof that the log only grew.

use axum::Json;
use axum::extract::{Path as Parameters, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_ledger::LogReader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Server;
use super::fault::Fault;
use super::lists::{self, Wanted};
use super::openapi::{self, Operation, Parameter, READS, schema};
use super::refusal::{Answer, Refusal, blocking};

/// An entry of the log with its proof.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogPlace")]
pub(super) struct Place {
    /// Number of the entry, from 0.
    index: u64,
    /// The entry's bytes.
    entry: String,
    /// Entries under the checkpoint.
    size: u64,
    /// Its inclusion proof (RFC 6962).
    proof: Vec<Digest>,
    /// The checkpoint as it was signed.
    checkpoint: String,
    /// The log's public key.
    key: PublicKey,
}

impl Place {
    /// An entry of a log with this key; `fault` makes a fault of an error.
    ///
    /// # Errors
    /// Problem of the log.
    pub(super) fn of(
        log: &LogReader,
        key: PublicKey,
        index: u64,
        fault: impl Fn(&fedseal_ledger::Error) -> Fault,
    ) -> Result<Place, Fault> {
        let size = log.size();
        let fault = |error: fedseal_ledger::Error| fault(&error);
        Ok(Place {
            index,
            entry: text(log.entry(index).map_err(fault)?, index)?,
            size,
            proof: log.prove_inclusion(index, size).map_err(fault)?,
            checkpoint: log.note().to_owned(),
            key,
        })
    }
}

/// Part of a log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogEntries")]
struct Entries {
    /// Entries under the checkpoint.
    size: u64,
    /// Entries that the search found; without one, all.
    found: u64,
    /// The checkpoint as it was signed, with its cosignatures.
    checkpoint: String,
    /// The log's public key.
    key: PublicKey,
    /// The part that was asked for, the earliest first.
    entries: Vec<Entry>,
}

/// One entry.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogEntry")]
struct Entry {
    /// Its number, from 0.
    index: u64,
    /// Its bytes: the canonical JSON of a record.
    entry: String,
}

fn text(bytes: Vec<u8>, index: u64) -> Result<String, Fault> {
    String::from_utf8(bytes)
        .map_err(|error| Fault::unread(format!("log entry {index}"), error.to_string()))
}

/// [`list`], described.
pub(super) static LIST: Operation = Operation {
    id: "listEntries",
    method: Method::GET,
    path: "/api/runs/{run}/entries",
    summary: "Entries of a run's log, the earliest first.",
    query: lists::PARAMETERS,
    body: None,
    answer: openapi::Answer::json("A part of the log.", schema::<Entries>),
    refusals: READS,
};

/// `GET /api/runs/{run}/entries`
pub(super) async fn list(
    State(shared): Server,
    Parameters(address): Parameters<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<impl IntoResponse> {
    blocking(move || {
        let dir = shared.runs.folder(&address)?;
        let opened = shared.logs.opened(&address, &dir)?;
        let log = opened.log();
        let fault = |error: fedseal_ledger::Error| opened.fault(&error);
        let path = format!("/api/runs/{address}/entries");
        let size = log.size();
        let (found, entries, headers) = match wanted.searched() {
            None => {
                let (range, headers) = wanted.range(&path, size);
                let some = log.some(range.clone()).map_err(fault)?;
                (size, range.zip(some).collect::<Vec<_>>(), headers)
            }
            Some(words) => {
                let all = (0..).zip(opened.entries()?);
                let has = |bytes: &[u8]| {
                    String::from_utf8_lossy(bytes)
                        .to_lowercase()
                        .contains(&words)
                };
                let found: Vec<_> = all.filter(|(_, bytes)| has(bytes)).collect();
                let count = found.len() as u64;
                let (range, headers) = wanted.range(&path, count);
                let length = range.end.saturating_sub(range.start) as usize;
                let part = found.into_iter().skip(range.start as usize).take(length);
                (count, part.collect(), headers)
            }
        };
        let entry = |(index, bytes)| {
            Ok(Entry {
                index,
                entry: text(bytes, index)?,
            })
        };
        let entries = entries
            .into_iter()
            .map(entry)
            .collect::<Result<_, Fault>>()?;
        let checkpoint = log.note().to_owned();
        let key = opened.key();
        Ok((
            headers,
            Json(Entries {
                size,
                found,
                checkpoint,
                key,
                entries,
            }),
        ))
    })
    .await
}

/// [`one`], described.
pub(super) static ONE: Operation = Operation {
    id: "readEntry",
    method: Method::GET,
    path: "/api/runs/{run}/entries/{index}",
    summary: "An entry of a run's log with the proof that it is in the log.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The entry, and its proof.", schema::<Place>),
    refusals: READS,
};

/// `GET /api/runs/{run}/entries/{index}`
pub(super) async fn one(
    State(shared): Server,
    Parameters((address, place)): Parameters<(String, String)>,
) -> Answer<Json<Place>> {
    blocking(move || {
        let dir = shared.runs.folder(&address)?;
        let opened = shared.logs.opened(&address, &dir)?;
        let log = opened.log();
        let number = place.parse::<u64>().ok();
        let Some(number) = number.filter(|number| *number < log.size()) else {
            let place: String = place.chars().take(20).collect();
            return Err(Refusal::missing("entry", place));
        };
        let place = Place::of(log, opened.key(), number, |error| opened.fault(error));
        Ok(Json(place?))
    })
    .await
}

/// Two states of a log, of which the later contains the earlier.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogGrowth")]
pub(super) struct Growth {
    /// Entries of the earlier state.
    old: u64,
    /// Entries under the checkpoint.
    size: u64,
    /// The consistency proof (RFC 6962, section 2.1.2).
    proof: Vec<Digest>,
    /// The checkpoint as it was signed.
    checkpoint: String,
    /// The log's public key.
    key: PublicKey,
}

/// The earlier state that is asked about.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    #[serde(default)]
    old: u64,
}

/// [`growth`], described.
pub(super) static GROWTH: Operation = Operation {
    id: "proveGrowth",
    method: Method::GET,
    path: "/api/runs/{run}/growth",
    summary: "The proof that a run's log begins with all that an earlier checkpoint covers.",
    query: &[Parameter {
        name: "old",
        kind: "integer",
        meaning: "Entries under the earlier checkpoint; left out: 0, with which every log is consistent.",
    }],
    body: None,
    answer: openapi::Answer::json("The proof, and the checkpoint of now.", schema::<Growth>),
    refusals: READS,
};

/// `GET /api/runs/{run}/growth`
pub(super) async fn growth(
    State(shared): Server,
    Parameters(address): Parameters<String>,
    Query(Earlier { old }): Query<Earlier>,
) -> Answer<Json<Growth>> {
    blocking(move || {
        let dir = shared.runs.folder(&address)?;
        let opened = shared.logs.opened(&address, &dir)?;
        let log = opened.log();
        let size = log.size();
        if old > size {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "The log has fewer entries.",
                format!("{old} entries were asked for, it has {size}"),
                "A log that once had more has been cut: do not believe it.",
            ));
        }
        let proof = log.prove_consistency(old, size);
        let proof = proof.map_err(|error| opened.fault(&error))?;
        let checkpoint = log.note().to_owned();
        let key = opened.key();
        Ok(Json(Growth {
            old,
            size,
            proof,
            checkpoint,
            key,
        }))
    })
    .await
}

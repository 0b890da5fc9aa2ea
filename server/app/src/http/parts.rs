//! The report of a run over HTTP: as a whole, and as an index with parts by arm and round, so that nobody
//! takes a million updates to look at one. Every part says how the run's files stand to its log.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path as Parameters, Query, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Response};
use fedseal_record::report::{self as reports, ArmParts, Content};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Server;
use super::checked::Served;
use super::evidence::Evidence;
use super::fault::Fault;
use super::lists::{Wanted, encoded};
use super::openapi::{self, Operation, Parameter, READS, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::report;
use super::represent::tag;

/// Bytes of the rounds of one response, at most; one round at least.
const MOST_BYTES: u64 = 4 << 20;

/// A run's report.json as it lies there, with the server's words in `served`. It is sent in pieces, never
/// built: this is its description.
enum ServedReport {}

impl JsonSchema for ServedReport {
    fn schema_name() -> Cow<'static, str> {
        "ServedReport".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A run's report.json as it lies there, with the server's words in `served`.",
            "allOf": [
                generator.subschema_for::<reports::Report>(),
                {
                    "type": "object",
                    "properties": {"served": generator.subschema_for::<Served>()},
                    "required": ["served"],
                },
            ],
        })
    }
}

/// [`Content::body`] with the server's words, described.
enum ReportIndex {}

impl JsonSchema for ReportIndex {
    fn schema_name() -> Cow<'static, str> {
        "ReportIndex".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = reports::Report::json_schema(generator);
        let arm = generator.subschema_for::<ArmIndex>();
        let served = generator.subschema_for::<Served>();
        replace(&mut schema, "/properties/arms/items", arm);
        require(&mut schema, "served", served);
        if let Some(properties) = members(&mut schema) {
            properties.remove("side_by_side");
        }
        if let Some(required) = required(&mut schema) {
            required.retain(|name| name != "side_by_side");
        }
        describe(
            schema,
            "A run's report without the clients of its rounds and without the texts side by side, with the \
             server's words in `served`.",
        )
    }
}

/// An arm of the index, described.
enum ArmIndex {}

impl JsonSchema for ArmIndex {
    fn schema_name() -> Cow<'static, str> {
        "ArmIndex".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = reports::ArmView::json_schema(generator);
        let round = generator.subschema_for::<reports::RoundIndex>();
        replace(&mut schema, "/properties/rounds/items", round);
        require(
            &mut schema,
            "weightless",
            json_schema!({
                "description": "Updates that admission let pass and the aggregation rule gave no weight, by kind of \
                                client.",
                "type": "object",
                "additionalProperties": {"type": "integer", "format": "uint64", "minimum": 0},
            }),
        );
        describe(schema, "One column, without the clients of its rounds.")
    }
}

fn replace(schema: &mut Schema, pointer: &str, other: Schema) {
    if let Some(place) = schema.pointer_mut(pointer) {
        *place = other.to_value();
    }
}

fn members(schema: &mut Schema) -> Option<&mut Map<String, Value>> {
    schema.pointer_mut("/properties")?.as_object_mut()
}

fn required(schema: &mut Schema) -> Option<&mut Vec<Value>> {
    schema.pointer_mut("/required")?.as_array_mut()
}

fn require(schema: &mut Schema, name: &str, property: Schema) {
    if let Some(properties) = members(schema) {
        properties.insert(name.into(), property.to_value());
    }
    if let Some(required) = required(schema) {
        required.push(name.into());
    }
}

fn describe(mut schema: Schema, text: &str) -> Schema {
    schema.insert("description".into(), Value::from(text));
    schema
}

/// Answer of `GET /api/runs/{run}/arms/{arm}/grid`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArmGrid")]
struct ArmGrid<'a> {
    /// State of the run's files.
    evidence: &'a Evidence,
    /// The arm.
    arm: &'a str,
    /// Its clients by its rounds.
    #[schemars(with = "reports::Grid")]
    grid: &'a RawValue,
}

/// Answer of `GET /api/runs/{run}/arms/{arm}/rounds`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArmRounds")]
struct ArmRounds<'a> {
    /// State of the run's files.
    evidence: &'a Evidence,
    /// The arm.
    arm: &'a str,
    /// Place of the first round here in the arm's list, from 0.
    from: u64,
    /// Rounds that the arm has.
    of: usize,
    /// Some of them, as they are in the report.
    #[schemars(with = "Vec<reports::RoundView>")]
    rounds: &'a RawValue,
}

/// An arm of a report.
fn arm<'a>(content: &'a Content, id: &str) -> Answer<&'a ArmParts> {
    let found = content.arms.iter().find(|arm| arm.id == id);
    found.ok_or_else(|| Refusal::missing("arm", id.chars().take(40).collect::<String>()))
}

fn unread(error: &std::io::Error) -> Refusal {
    Fault::io("report.json", error).into()
}

/// [`report`](fn@report), described.
pub(super) static REPORT: Operation = Operation {
    id: "readReport",
    method: Method::GET,
    path: "/api/runs/{run}",
    summary: "A run's report as it is in its file, after the server's own words about it.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The report.", schema::<ServedReport>),
    refusals: READS,
};

/// `GET /api/runs/{run}`
pub(super) async fn report(
    State(shared): Server,
    Parameters(run): Parameters<String>,
) -> Answer<Response> {
    blocking(move || {
        shared.runs.of_report(&run, |dir, reading, shown, served| {
            report::send(dir, reading, &shown.content, served).map_err(|error| unread(&error))
        })
    })
    .await
}

/// [`index`], described.
pub(super) static INDEX: Operation = Operation {
    id: "readReportIndex",
    method: Method::GET,
    path: "/api/runs/{run}/index",
    summary: "A run's report without what its parts have: the clients of its rounds, and the texts side by side.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The index.", schema::<ReportIndex>),
    refusals: READS,
};

/// `GET /api/runs/{run}/index`
pub(super) async fn index(
    State(shared): Server,
    Parameters(run): Parameters<String>,
) -> Answer<Response> {
    blocking(move || {
        shared.runs.of_report(&run, |_, reading, shown, served| {
            let index = report::index(reading, &shown.content, served);
            index.map(Some).map_err(|error| unread(&error))
        })
    })
    .await
}

/// [`grid`], described.
pub(super) static GRID: Operation = Operation {
    id: "readArmGrid",
    method: Method::GET,
    path: "/api/runs/{run}/arms/{arm}/grid",
    summary: "Clients of an arm by its rounds: a letter for what became of each update.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The grid.", schema::<ArmGrid<'static>>),
    refusals: READS,
};

/// `GET /api/runs/{run}/arms/{arm}/grid`
pub(super) async fn grid(
    State(shared): Server,
    Parameters((run, id)): Parameters<(String, String)>,
) -> Answer<Response> {
    blocking(move || {
        shared.runs.of_report(&run, |_, reading, shown, served| {
            let arm = arm(&shown.content, &id)?;
            let tag =
                tag(format!("{} {} {:?}", reading.digest, arm.id, served.evidence).as_bytes());
            let answer = Json(ArmGrid {
                evidence: &served.evidence,
                arm: &arm.id,
                grid: &arm.grid,
            });
            Ok(Some(([(header::ETAG, tag)], answer).into_response()))
        })
    })
    .await
}

/// [`rounds`], described.
pub(super) static ROUNDS: Operation = Operation {
    id: "readArmRounds",
    method: Method::GET,
    path: "/api/runs/{run}/arms/{arm}/rounds",
    summary: "Rounds of an arm with their clients, as they are in the report.",
    query: &[
        Parameter {
            name: "from",
            kind: "integer",
            meaning: "The place of the first round in the arm's list, from 0; left out: 0.",
        },
        Parameter {
            name: "count",
            kind: "integer",
            meaning: "So many rounds at most; left out, and at most: 500. Rounds beyond 4 MiB are left to the next \
                      part, which the header `link` names.",
        },
    ],
    body: None,
    answer: openapi::Answer::json("A part of the list.", schema::<ArmRounds<'static>>),
    refusals: READS,
};

/// `GET /api/runs/{run}/arms/{arm}/rounds`
pub(super) async fn rounds(
    State(shared): Server,
    Parameters((run, id)): Parameters<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Answer<Response> {
    blocking(move || {
        shared.runs.of_report(&run, |dir, reading, shown, served| {
            let arm = arm(&shown.content, &id)?;
            let of = arm.rounds.len();
            let places = wanted.places(of as u64);
            // Both are at most the length of a list in memory.
            let (from, end) = (places.start as usize, places.end as usize);
            let asked = arm.rounds.get(from..end).unwrap_or_default();
            let part = report::part(dir, reading, asked, MOST_BYTES);
            let Some((text, count)) = part.map_err(|error| unread(&error))? else {
                return Ok(None);
            };
            let rounds = RawValue::from_string(text).map_err(|error| unread(&error.into()))?;
            let path = format!("/api/runs/{run}/arms/{}/rounds", encoded(&arm.id));
            let mut headers: HeaderMap = wanted.link(&path, places.start + count as u64, of as u64);
            let evidence = &served.evidence;
            let said = format!(
                "{} {} {from} {count} {of} {evidence:?}",
                reading.digest, arm.id
            );
            headers.insert(header::ETAG, tag(said.as_bytes()));
            let answer = Json(ArmRounds {
                evidence,
                arm: &arm.id,
                from: places.start,
                of,
                rounds: &rounds,
            });
            Ok(Some((headers, answer).into_response()))
        })
    })
    .await
}

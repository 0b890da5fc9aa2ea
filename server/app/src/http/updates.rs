//! One update: its statement, its transcript, the arms' verdicts, and its place in the log, as raw
//! bytes wherever the reader's browser checks them.

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path as Parameters, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::bundle::Bundle;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::statement::Statement;
use fedseal_record::bundle::bundle as bundle_of;
use fedseal_record::opened::OpenRun;
use fedseal_record::state::UpdateRef;
use fedseal_rules::arms;
use fedseal_rules::attack::BENIGN;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::entries::Place;
use super::fault::Fault;
use super::log::{Index, Judged, judged};
use super::openapi::{self, Operation, READS, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::{Server, Shared};

/// Digits of an id that are enough where no other update's id begins so. Pages show 12.
const SHORTEST: usize = 8;

/// Answer of `GET /api/runs/{run}/updates/{update}`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpdateView")]
pub(super) struct View {
    /// The run's address.
    run: String,
    /// The update's id.
    update: Digest,
    /// The envelope's bytes: their SHA-256 is the update's id.
    envelope: String,
    /// The statement in the envelope.
    #[schemars(with = "Statement<UpdatePredicate>")]
    statement: Value,
    /// The transcript's canonical bytes.
    transcript: String,
    /// The module's name; null where the plan has none.
    module_name: Option<String>,
    /// Kind of the client in the arms that saw the update.
    client_kind: Option<String>,
    /// One for every arm that saw the update.
    verdicts: Vec<Judged>,
    /// Its place in the log.
    log: Place,
}

/// [`view`], described.
pub(super) static VIEW: Operation = Operation {
    id: "readUpdate",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}",
    summary: "One update: its statement, its transcript, the verdicts, and its place in the log.",
    query: &[],
    body: None,
    answer: openapi::Answer::json(
        "The update, as raw bytes wherever a reader checks them.",
        schema::<View>,
    ),
    refusals: READS,
};

/// `GET /api/runs/{run}/updates/{update}`
pub(super) async fn view(
    State(shared): Server,
    Parameters((address, update)): Parameters<(String, String)>,
) -> Answer<Json<View>> {
    blocking(move || {
        let found = Found::of(&shared, &address, &update)?;
        shown(address, &found.index.run, &found.update).map(Json)
    })
    .await
}

/// An update of a run that is read already.
struct Found {
    index: Arc<Index>,
    update: UpdateRef,
}

impl Found {
    fn of(shared: &Shared, address: &str, update: &str) -> Answer<Found> {
        let dir = shared.runs.folder(address)?;
        let digits = update.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !(SHORTEST..=64).contains(&update.len()) {
            return Err(unknown(update));
        }
        let index = shared.logs.index(address, &dir)?;
        let found = match update.parse::<Digest>() {
            Ok(id) => index.run.state.update(&id).cloned(),
            Err(_) => begins(&index.run, update)?,
        };
        let update = found.ok_or_else(|| unknown(update))?;
        Ok(Found { index, update })
    }
}

/// The one update whose id begins so.
fn begins(run: &OpenRun, beginning: &str) -> Answer<Option<UpdateRef>> {
    let beginning = beginning.to_ascii_lowercase();
    let mut found = run
        .state
        .updates
        .values()
        .filter(|update| update.attestation.to_string().starts_with(&beginning));
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match found.find(|other| other.attestation != first.attestation) {
        None => Ok(Some(first.clone())),
        Some(_) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "More than one update has an id that begins so.",
            beginning,
            "Give more digits; an id has 64.",
        )),
    }
}

/// A blob that an update names.
fn blob(run: &OpenRun, digest: &Digest, what: &str, update: &Digest) -> Result<Vec<u8>, Fault> {
    let bytes = run.blobs.get(digest);
    bytes.map_err(|error| {
        Fault::ledger(&run.dir.root, &error).of(&format!("{what} of update {update}"))
    })
}

/// Makes the answer from an opened run: beside tiles and blobs no file of it is read again.
pub(super) fn shown(address: String, run: &OpenRun, update: &UpdateRef) -> Answer<View> {
    let id = update.attestation;
    let envelope = blob(run, &id, "envelope", &id)?;
    // As logged, so what is wrong with it is the node's doing, and no change.
    let bad = |error: &dyn Display| Fault::Unread {
        item: format!("envelope of update {id}"),
        problem: error.to_string(),
    };
    let payload = Envelope::from_json(&envelope)
        .and_then(|envelope| envelope.unverified_payload())
        .map_err(|error| bad(&error))?;
    let statement: Value = serde_json::from_slice(&payload).map_err(|error| bad(&error))?;
    let predicate = &statement["predicate"];
    let named: Digest = predicate["transcript"]["blob"]
        .as_str()
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| bad(&"it names no transcript"))?;
    let transcript = text(blob(run, &named, "transcript", &id)?).map_err(|error| bad(&error))?;
    let verdicts = judged(run, update);
    let module_name = predicate["module"]
        .as_str()
        .and_then(|digest| digest.parse().ok())
        .and_then(|digest| run.plan.module_name(&digest))
        .map(str::to_owned);
    Ok(View {
        client_kind: kind(run, &predicate["client"], &verdicts),
        module_name,
        verdicts,
        transcript,
        log: Place::of(&run.log, run.plan.node, update.entry, |error| {
            Fault::ledger(&run.dir.root, error)
        })?,
        envelope: text(envelope).map_err(|error| bad(&error))?,
        statement,
        run: address,
        update: id,
    })
}

/// [`envelope`], described.
pub(super) static ENVELOPE: Operation = Operation {
    id: "readEnvelope",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}/envelope",
    summary: "The signed envelope of an update, byte for byte.",
    query: &[],
    body: None,
    answer: openapi::Answer::json(
        "The envelope; the SHA-256 of its bytes is the id of the update.",
        schema::<Envelope>,
    ),
    refusals: READS,
};

/// `GET /api/runs/{run}/updates/{update}/envelope`: the signed envelope, byte for byte.
pub(super) async fn envelope(
    State(shared): Server,
    Parameters((address, update)): Parameters<(String, String)>,
) -> Answer<Response> {
    blocking(move || {
        let found = Found::of(&shared, &address, &update)?;
        let id = found.update.attestation;
        let bytes = blob(&found.index.run, &id, "envelope", &id)?;
        Ok(file(format!("{id}.dsse.json"), bytes))
    })
    .await
}

/// [`bundle`], described.
pub(super) static BUNDLE: Operation = Operation {
    id: "readBundle",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}/bundle",
    summary: "One file about an update that `fedseal verify` checks offline.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The bundle.", schema::<Bundle>),
    refusals: READS,
};

/// `GET /api/runs/{run}/updates/{update}/bundle`: one file that `fedseal verify` checks offline.
pub(super) async fn bundle(
    State(shared): Server,
    Parameters((address, update)): Parameters<(String, String)>,
) -> Answer<Response> {
    blocking(move || {
        let Found { index, update } = Found::of(&shared, &address, &update)?;
        let id = update.attestation;
        let fault = |error: fedseal_federation::Error| {
            Fault::run(&index.run.dir.root, &error).of(&format!("bundle of update {id}"))
        };
        let bundle = bundle_of(&index.run, &update, false).map_err(fault)?;
        let bytes = bundle.to_bytes().map_err(|error| fault(error.into()))?;
        Ok(file(format!("{id}.bundle.json"), bytes))
    })
    .await
}

/// JSON that a browser keeps as a file of this name.
fn file(name: String, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, bytes).into_response()
}

/// Kind of the client in the arms that saw this update: an attacker that is honest in the clean arm is
/// shown as benign there.
fn kind(run: &OpenRun, client: &Value, verdicts: &[Judged]) -> Option<String> {
    let name = client.as_str()?.into();
    let (_, client) = run.plan.client(&name)?;
    let own = &run.experiment.arm;
    let arms = verdicts
        .iter()
        .filter_map(|judged| arms::arm(&judged.arm, own).ok());
    let mut kinds = arms.map(|arm| client.kind_in(&arm).to_owned());
    let attack = kinds.find(|kind| kind != BENIGN);
    Some(attack.unwrap_or_else(|| BENIGN.to_owned()))
}

fn unknown(update: &str) -> Refusal {
    Refusal::missing("update", update.chars().take(64).collect::<String>())
}

fn text(bytes: Vec<u8>) -> Result<String, std::string::FromUtf8Error> {
    String::from_utf8(bytes)
}

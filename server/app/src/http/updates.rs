//! One update: its statement, its transcript, the arms' verdicts, and its place in the log, as raw
//! bytes wherever the reader's browser checks them.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::Json;
use axum::extract::{Path as Parameters, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::bundle::Bundle;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::statement::Statement;
use fedseal_record::bundle::{Source, bundle as bundle_of};
use fedseal_record::read::read_experiment;
use fedseal_record::rundir::{Plan, RunDir};
use fedseal_rules::arms::{self, ArmConfig};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Server;
use super::evidence::Fault;
use super::log::Judged;
use super::openapi::{self, Operation, READS, schema};
use super::refusal::{Answer, Refusal, blocking};

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

/// An entry of the log with its proof.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogPlace")]
struct Place {
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

/// [`view`], described.
pub(super) static VIEW: Operation = Operation {
    id: "readUpdate",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}",
    summary: "One update: its statement, its transcript, the verdicts, and its place in the log.",
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
    Parameters((run, update)): Parameters<(String, String)>,
) -> Answer<Json<View>> {
    blocking(move || {
        let dir = shared.runs.folder(&run)?;
        let id = parse(&update)?;
        let index = shared.logs.index(&run, &dir)?;
        let number = index.entry(&id).ok_or_else(|| unknown(&update))?;
        let ledger = |error: fedseal_ledger::Error| Fault::ledger(&dir, &error);
        let entry = index.log.entry(number).map_err(ledger)?;
        let size = index.log.size();
        let proof = index.log.prove_inclusion(number, size).map_err(ledger)?;

        let blobs = index.blobs(&dir)?;
        let blob = |what: &str, digest: &Digest| {
            let bytes = blobs.get(digest);
            bytes.map_err(|error| ledger(error).of(&format!("{what} of update {id}")))
        };
        let envelope = blob("envelope", &id)?;
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
        let transcript = text(blob("transcript", &named)?).map_err(|error| bad(&error))?;
        let verdicts = index.verdicts(&id).to_vec();
        // A changed experiment.toml is another page's to tell.
        let own = read_experiment(&RunDir::new(&dir), &index.plan)
            .map(|experiment| experiment.arm)
            .unwrap_or_default();
        let module_name = predicate["module"]
            .as_str()
            .and_then(|digest| digest.parse().ok())
            .and_then(|digest| index.plan.module_name(&digest))
            .map(str::to_owned);
        Ok(Json(View {
            client_kind: kind(&index.plan, &predicate["client"], &verdicts, &own),
            module_name,
            verdicts,
            transcript,
            log: Place {
                index: number,
                entry: text(entry).map_err(|error| bad(&error))?,
                size,
                proof,
                checkpoint: index.log.note().to_owned(),
                key: index.plan.node,
            },
            envelope: text(envelope).map_err(|error| bad(&error))?,
            statement,
            run,
            update: id,
        }))
    })
    .await
}

/// [`envelope`], described.
pub(super) static ENVELOPE: Operation = Operation {
    id: "readEnvelope",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}/envelope",
    summary: "The signed envelope of an update, byte for byte.",
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
    Parameters((run, update)): Parameters<(String, String)>,
) -> Answer<Response> {
    blocking(move || {
        let dir = shared.runs.folder(&run)?;
        let id = parse(&update)?;
        let index = shared.logs.index(&run, &dir)?;
        if index.entry(&id).is_none() {
            return Err(unknown(&update));
        }
        let bytes = index
            .blobs(&dir)?
            .get(&id)
            .map_err(|error| Fault::ledger(&dir, &error).of(&format!("envelope of update {id}")))?;
        let name = format!("attachment; filename=\"{id}.dsse.json\"");
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ];
        Ok((headers, bytes).into_response())
    })
    .await
}

/// [`bundle`], described.
pub(super) static BUNDLE: Operation = Operation {
    id: "readBundle",
    method: Method::GET,
    path: "/api/runs/{run}/updates/{update}/bundle",
    summary: "One file about an update that `fedseal verify` checks offline.",
    body: None,
    answer: openapi::Answer::json("The bundle.", schema::<Bundle>),
    refusals: READS,
};

/// `GET /api/runs/{run}/updates/{update}/bundle`: one file that `fedseal verify` checks offline.
pub(super) async fn bundle(
    State(shared): Server,
    Parameters((run, update)): Parameters<(String, String)>,
) -> Answer<Response> {
    blocking(move || {
        let dir = shared.runs.folder(&run)?;
        let id = parse(&update)?;
        let index = shared.logs.index(&run, &dir)?;
        let number = index.entry(&id).ok_or_else(|| unknown(&update))?;
        let blobs = index.blobs(&dir)?;
        let source = Source {
            plan: &index.plan,
            log: &index.log,
            blobs,
            rotations: &index.rotations,
        };
        let fault = |error: fedseal_federation::Error| {
            Fault::run(&dir, &error).of(&format!("bundle of update {id}"))
        };
        let bundle = bundle_of(source, &id, number, false).map_err(fault)?;
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{id}.bundle.json\""),
            ),
        ];
        let bytes = bundle.to_bytes().map_err(|error| fault(error.into()))?;
        Ok((headers, bytes).into_response())
    })
    .await
}

/// Kind of the client in the arms that saw this update: an attacker that is honest in the clean arm is
/// shown as benign there.
fn kind(
    plan: &Plan,
    client: &Value,
    verdicts: &[Judged],
    own: &BTreeMap<String, ArmConfig>,
) -> Option<String> {
    let name = client.as_str()?.into();
    let (_, client) = plan.client(&name)?;
    let attacked = verdicts
        .iter()
        .any(|judged| arms::arm(&judged.arm, own).is_ok_and(|arm| arm.attacked));
    Some(Plan::kind(client, attacked).to_owned())
}

fn parse(update: &str) -> Answer<Digest> {
    update.parse().map_err(|_| unknown(update))
}

fn unknown(update: &str) -> Refusal {
    Refusal::missing("update", update.chars().take(64).collect::<String>())
}

fn text(bytes: Vec<u8>) -> Result<String, std::string::FromUtf8Error> {
    String::from_utf8(bytes)
}

//! Submitted modules: taken, or refused with the reason.
//!
//! A body is received whole before anything else is done for it, within bounds on the bytes of all
//! bodies and of one address's bodies, so a slow sender blocks nobody. Then the signature is checked,
//! before the module is decoded. Only a module that a trusted author signed is checked against its
//! digest and parsed, and only a module that a sandbox would run is registered.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::{Extension, Json};
use fedseal_client_sdk as sdk;
use fedseal_client_sdk::attestation::{Limits, MODULE_BYTES};
use fedseal_client_sdk::decision::Verdict;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::http_signature::{Known, Role, Signed};
use fedseal_client_sdk::keys::{KeyId, Moment, PublicKey, TrustStore};
use fedseal_client_sdk::module::{self, ModulePredicate, VerifiedModule};
use fedseal_client_sdk::slsa::Provenance;
use fedseal_client_sdk::statement::Statement;
use fedseal_ledger::Blobs;
use fedseal_record::rundir;
use fedseal_registry::{RegisteredModule, Registry};
use fedseal_sandbox::{CompiledCache, Reason, Sandbox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;

use super::lists::{self, Wanted};
use super::openapi::{self, Operation, schema};
use super::refusal::{Answer, Refusal, blocking, cut};
use super::shares::{Peer, Share, Shares};
use super::signed::{self, Signatures};
use super::{Limits as Clients, Server};
use crate::decisions::{Decision, Decisions, Rule};
use crate::logs::{self, Level};
use crate::registry::Opened;

pub(super) mod decisions;

/// The largest module, bytes: a sandbox's default.
pub(super) const MODULE_LIMIT: usize = MODULE_BYTES as usize;
/// The largest body: the module in base64, its envelope, and room to spare.
pub(super) const BODY_LIMIT: usize = MODULE_LIMIT / 3 * 4 + (1 << 20);
/// The largest envelope, bytes of JSON: its payload is a module's statement.
pub(super) const ENVELOPE_LIMIT: usize = module::MAX_PAYLOAD + (16 << 10);
/// Modules that are being checked at once; only a trusted author's are.
pub(super) const MOST_CHECKS: usize = 2;

/// The registered modules, and whose are taken.
#[derive(Clone)]
pub(super) struct Modules {
    folder: PathBuf,
    registry: Arc<Registry>,
    decisions: Decisions,
    rule: Arc<Rule>,
    trusted: Arc<TrustStore>,
    trust_file: Option<Arc<PathBuf>>,
    limits: Limits,
    compiled: Option<CompiledCache>,
    checks: Arc<Semaphore>,
    bodies: Arc<Shares>,
    signatures: Arc<Signatures>,
}

/// Entry in the list of `GET /api/modules`, and answer of `POST /api/modules`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegisteredModule")]
pub(super) struct Registered {
    /// SHA-256 of the module's bytes.
    digest: Digest,
    /// Its name, from the signed statement.
    name: String,
    /// Its author's key.
    signer: PublicKey,
    /// The author's name in the server's trust file.
    signer_name: Option<String>,
    /// When it was registered first, RFC 3339, UTC.
    created: String,
    /// Digest of the source that it was built of (in-toto's `dirHash`), by its author's statement; null
    /// where that says nothing.
    source: Option<Digest>,
    /// Compiler or bundler that built it, and the command, by its author's statement.
    toolchain: Option<String>,
    /// The last decision on it; null while nothing was decided.
    decision: Option<Decision>,
}

/// Submission to `POST /api/modules`, as it is in the body.
#[derive(Deserialize, JsonSchema)]
struct Submission<'a> {
    /// The Wasm bytes: base64, in a JSON string without escapes.
    module: &'a str,
    /// The signature; null or left out where there is none.
    #[serde(borrow, default)]
    #[schemars(with = "Option<Envelope>")]
    envelope: Option<&'a RawValue>,
}

impl Modules {
    /// The modules of a registry.
    pub(super) fn new(
        registry: Opened,
        trusted: TrustStore,
        file: Option<PathBuf>,
        clients: &Clients,
        compiled: Option<CompiledCache>,
        signatures: Signatures,
        rule: Rule,
    ) -> Self {
        Modules {
            decisions: Decisions::new(&registry.folder, registry.rows.clone()),
            rule: Arc::new(rule),
            folder: registry.folder,
            registry: registry.rows,
            trusted: Arc::new(trusted),
            trust_file: file.map(Arc::new),
            limits: Limits::default(),
            compiled,
            checks: Arc::new(Semaphore::new(MOST_CHECKS)),
            bodies: Shares::new(clients.body_bytes, clients.body_bytes_of_address),
            signatures: Arc::new(signatures),
        }
    }

    fn take(&self, body: &[u8]) -> Answer<Registered> {
        // Nothing of the body is copied here.
        let submission: Submission<'_> = serde_json::from_slice(body).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "The request is not the JSON that a submission is.",
                error.to_string(),
                "Send {\"module\": base64 of the component, \"envelope\": its signature}.",
            )
        })?;
        if submission.module.len() > MODULE_LIMIT.div_ceil(3) * 4 {
            return Err(too_large());
        }
        let envelope = self.envelope(submission.envelope)?;
        let verified = self.verify(&envelope)?;
        // A trusted author signed some module. The work holds the place, not the request: a client that
        // goes away must not make room while its module is still being checked.
        let _place = self
            .checks
            .try_acquire()
            .map_err(|_| Refusal::busy("other modules are being checked"))?;
        let bytes = base64(submission.module)?;
        let received = Digest::of(&bytes);
        if received != verified.digest {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "The module was changed after it was signed.",
                format!("signed sha256 {}, received {received}", verified.digest),
                "Submit the file that was signed, or sign this one.",
            ));
        }
        // From here on the bytes are a trusted author's.
        let checked = Sandbox::new(self.limits).and_then(|sandbox| {
            // A run that begins with it finds it compiled.
            let sandbox = match &self.compiled {
                Some(cache) => sandbox.with_cache(cache.clone()),
                None => sandbox,
            };
            sandbox.compile(&bytes)
        });
        if let Err(error) = checked {
            if error.reason() == Reason::Host {
                return Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The module could not be checked; the fault is not the module's.",
                    error.to_string(),
                    "Submit it again; if that does not help, tell whoever runs the server.",
                ));
            }
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The signature holds, but no sandbox would run this module.",
                error.to_string(),
                "Build it with `fedseal policy build`; `fedseal policy inspect` shows what it imports.",
            ));
        }
        self.register(&bytes, &envelope, verified)
    }

    /// The author's key of a `keyid`, if it is trusted now.
    fn author(&self, keyid: &str) -> Answer<Option<Known>> {
        let now = rundir::now();
        let at = Moment {
            time: &now,
            entry: None,
        };
        let keys = self.current()?.keys_at(&at);
        let key = keys.into_iter().find(|key| key.to_string() == keyid);
        Ok(key.map(|key| Known {
            key,
            roles: vec![Role::Author],
        }))
    }

    /// Who sent a submission, where it is signed: an author whose key is trusted.
    fn sender(&self, head: &Parts) -> Answer<Option<Signed>> {
        let broken = Cell::new(None);
        let known = |keyid: &str| match self.author(keyid) {
            Ok(known) => known,
            Err(refusal) => {
                broken.set(Some(refusal));
                None
            }
        };
        let checked = self.signatures.check(head, true, &known);
        match broken.take() {
            Some(refusal) => Err(refusal),
            None => checked,
        }
    }

    fn envelope(&self, sent: Option<&RawValue>) -> Answer<Envelope> {
        let Some(sent) = sent else {
            return Err(unsigned("no envelope was sent"));
        };
        if sent.get().len() > ENVELOPE_LIMIT {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The signature is too large.",
                format!("{} bytes, at most {ENVELOPE_LIMIT}", sent.get().len()),
                "It is the JSON of MODULE.wasm.dsse.json, as `fedseal policy sign` writes it.",
            ));
        }
        let envelope = Envelope::from_json(sent.get().as_bytes()).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "The signature is not a DSSE envelope.",
                error.to_string(),
                "It is the JSON of MODULE.wasm.dsse.json, as `fedseal policy sign` writes it.",
            )
        })?;
        if envelope.signatures.is_empty() {
            return Err(unsigned("the envelope has no signature"));
        }
        Ok(envelope)
    }

    /// Verifies the signature, before anything looks at the signed bytes.
    fn verify(&self, envelope: &Envelope) -> Answer<VerifiedModule> {
        let now = rundir::now();
        let at = Moment {
            time: &now,
            entry: None,
        };
        let store = self.current()?;
        let given_up = given_up(&store, envelope, &at);
        module::open(envelope, &store.keys_at(&at)).map_err(|error| match error {
            sdk::Error::Signature { .. } if given_up.is_some() => Refusal::new(
                StatusCode::FORBIDDEN,
                "The module is signed by a key that is not trusted any more.",
                given_up.unwrap_or_default(),
                "Sign it with the key that followed; `fedseal key show` lists the trusted ones.",
            ),
            sdk::Error::Signature { .. } if !names_trusted_key(&store, envelope) => {
                let ids: Vec<String> = envelope
                    .signatures
                    .iter()
                    .map(|signature| signature.keyid.chars().take(32).collect())
                    .collect();
                Refusal::new(
                    StatusCode::FORBIDDEN,
                    "The module is signed by a key that this server does not trust.",
                    format!("key {}", ids.join(", ")),
                    "Whoever runs the server adds a key to its trust file (fedseal serve --module-key FILE).",
                )
            }
            sdk::Error::Signature { detail, .. } => Refusal::new(
                StatusCode::FORBIDDEN,
                "The signature does not hold.",
                detail,
                "The envelope was changed after it was signed, or it is another module's; sign again.",
            ),
            other => Refusal::new(
                StatusCode::FORBIDDEN,
                "What is signed is not a module's statement.",
                other.to_string(),
                "Sign the component with `fedseal policy sign`.",
            ),
        })
    }

    /// Whose modules are taken now.
    fn current(&self) -> Answer<Arc<TrustStore>> {
        match &self.trust_file {
            None => Ok(self.trusted.clone()),
            Some(file) => TrustStore::load(file.as_path())
                .map(Arc::new)
                .map_err(|error| Refusal::broken("trust file", error)),
        }
    }

    fn register(
        &self,
        bytes: &[u8],
        envelope: &Envelope,
        verified: VerifiedModule,
    ) -> Answer<Registered> {
        let failed = |problem: String| {
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The module could not be kept.",
                problem,
                "See whether the server's disk is full.",
            )
        };
        let broken = |error: fedseal_ledger::Error| failed(error.to_string());
        let unregistered = |error: fedseal_registry::Error| match error {
            fedseal_registry::Error::Conflict { .. } => Refusal::new(
                StatusCode::CONFLICT,
                "These bytes are registered already under another signature.",
                error.to_string(),
                "GET /api/modules shows who registered them.",
            ),
            fedseal_registry::Error::Engine(fault) if fault.is_passing() => {
                logs::say(Level::Error, "fault", &format!("registry: {fault}"));
                Refusal::busy("the registry does not answer")
            }
            other => failed(other.to_string()),
        };
        // Data first, then the row that names it.
        let blobs = Blobs::open(self.folder.join("blobs")).map_err(broken)?;
        let digest = blobs.put(bytes).map_err(broken)?;
        let module = RegisteredModule {
            digest,
            name: verified.predicate.name,
            signer: verified.signer,
            envelope: blobs.put(&envelope.to_bytes()).map_err(broken)?,
            created: rundir::now(),
        };
        self.registry.add_module(&module).map_err(unregistered)?;
        // Registered before: the time is the first one.
        let module = self
            .registry
            .module(&digest)
            .map_err(unregistered)?
            .unwrap_or(module);
        // Whoever decided before, by hand or by rule, is not overruled by a second submission.
        let decided = self.registry.verdict(&digest).map_err(unregistered)?;
        if decided.is_none()
            && let Some(rule) = self.rule.approves(&module.signer)
        {
            self.decisions
                .decide(&digest, Verdict::Approved, None, Some(rule))
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(self.shown(module))
    }

    /// The author's words about a registered module's build. The envelope was verified when it came.
    fn build(&self, envelope: &Digest) -> Option<Provenance> {
        let blobs = Blobs::open(self.folder.join("blobs")).ok()?;
        let envelope = Envelope::from_bytes(&blobs.get(envelope).ok()?).ok()?;
        let statement: Statement<ModulePredicate> =
            serde_json::from_slice(&envelope.unverified_payload().ok()?).ok()?;
        statement.predicate.build
    }

    fn shown(&self, module: RegisteredModule) -> Registered {
        let build = self.build(&module.envelope);
        let words = |build: &Provenance| {
            let definition = &build.build_definition;
            let command = &definition.external_parameters.command;
            format!("{}: {command}", definition.internal_parameters.toolchain)
        };
        // The list shows others all the same; `fedseal module list` names what is wrong.
        let decision = self.decisions.last(&module.digest).unwrap_or_else(|error| {
            logs::say(Level::Error, "fault", &format!("decisions: {error}"));
            None
        });
        Registered {
            decision: decision.map(Decision::from),
            source: build.as_ref().and_then(Provenance::source),
            toolchain: build.as_ref().map(words),
            digest: module.digest,
            signer_name: self.trusted.name_of(&module.signer).map(str::to_owned),
            name: module.name,
            signer: module.signer,
            created: module.created,
        }
    }
}

/// Whether a signature claims to be by this key. A claim only: it picks the words of a refusal.
fn claims(envelope: &Envelope, id: &KeyId) -> bool {
    envelope
        .signatures
        .iter()
        .any(|signature| signature.keyid == id.0)
}

fn names_trusted_key(store: &TrustStore, envelope: &Envelope) -> bool {
    let mut keys = store.keys.iter();
    keys.any(|trusted| claims(envelope, &trusted.key.key_id()))
}

/// Why the key that an envelope names is not trusted any more, where it once was.
fn given_up(store: &TrustStore, envelope: &Envelope, at: &Moment<'_>) -> Option<String> {
    let named = |key: &PublicKey| claims(envelope, &key.key_id());
    let entry = store.keys.iter().find(|trusted| named(&trusted.key))?;
    match store.check(&entry.key, at) {
        Err(why) => Some(why.to_string()),
        Ok(_) => None,
    }
}

/// [`list`], described.
pub(super) static LIST: Operation = Operation {
    id: "listModules",
    method: Method::GET,
    path: "/api/modules",
    summary: "The registered modules.",
    query: lists::PARAMETERS,
    body: None,
    answer: openapi::Answer::json("A part of the list.", schema::<Vec<Registered>>),
    refusals: &[400, 408, 500, 503],
};

/// `GET /api/modules`
pub(super) async fn list(
    State(shared): Server,
    Query(wanted): Query<Wanted>,
) -> Answer<(HeaderMap, Json<Vec<Registered>>)> {
    let modules = shared.modules.clone();
    blocking(move || {
        let all = modules
            .registry
            .modules()
            .map_err(|error| Refusal::broken("registry", error))?;
        let (part, headers) = wanted.part("/api/modules", all, |module| &module.name);
        let shown = part.into_iter().map(|module| modules.shown(module));
        Ok((headers, Json(shown.collect())))
    })
    .await
}

/// [`submit`], described.
pub(super) static SUBMIT: Operation = Operation {
    id: "submitModule",
    method: Method::POST,
    path: "/api/modules",
    summary: "Submits a signed module.",
    query: &[],
    body: Some(schema::<Submission<'static>>),
    answer: openapi::Answer {
        status: StatusCode::CREATED,
        ..openapi::Answer::json("It is registered.", schema::<Registered>)
    },
    refusals: &[400, 403, 408, 409, 413, 422, 500, 503],
};

/// `POST /api/modules`
pub(super) async fn submit(
    State(shared): Server,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer<(StatusCode, Json<Registered>)> {
    let modules = shared.modules.clone();
    // Before a byte of the body is read: a body that is announced as too large is not read at all.
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(too_large());
    }
    let (head, body) = request.into_parts();
    let asked = modules.clone();
    let sender = blocking(move || asked.sender(&head)).await?;
    let (body, share) = receive(body, peer, &modules.bodies).await?;
    let registered = blocking(move || {
        let _held = share;
        if let Some(sender) = sender {
            sender
                .check_body(&body)
                .map_err(|why| signed::refused(&why))?;
        }
        modules.take(&body)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(registered)))
}

/// Receives a body. Its bytes are counted while they come, also where the length was announced.
async fn receive(body: Body, peer: Peer, bodies: &Arc<Shares>) -> Answer<(Vec<u8>, Share)> {
    let busy = || Refusal::busy("other submissions are still being received");
    let mut share = bodies.take(peer, 0).ok_or_else(busy)?;
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece: Bytes = piece.map_err(|error| cut(&error))?;
        if all.len() + piece.len() > BODY_LIMIT {
            return Err(too_large());
        }
        if !share.grow(piece.len()) {
            return Err(busy());
        }
        all.extend_from_slice(&piece);
    }
    Ok((all, share))
}

fn base64(text: &str) -> Answer<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "The module is not base64.",
                error.to_string(),
                "Standard alphabet, with padding, without line breaks.",
            )
        })
}

fn unsigned(what: &str) -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "The module is not signed.",
        what,
        "Sign it: fedseal policy sign MODULE.wasm",
    )
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The module is too large.",
        format!("at most {MODULE_LIMIT} bytes (module_bytes)"),
        "Build it for size: `fedseal policy build` does.",
    )
}

//! A server over a folder with one run, and what talks to it.

use std::net::SocketAddr;
use std::path::Path;

use fedseal_client_sdk::attestation::{self, TranscriptRef, UpdatePredicate, Usage};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::lineage::Lineage;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_client_sdk::transcript::Transcript;
use fedseal_ledger::{Blobs, Log};
use fedseal_record::rundir::{Assignment, FORMAT, Plan, PlannedClient, PlannedModule, RunDir};
use fedseal_rules::formulas::Versions;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::*;
use crate::registry::RegistryPlace;

pub(super) fn node() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

pub(super) fn author() -> SigningKey {
    SigningKey::from_seed([2; 32])
}

/// A run with one update in two arms of its experiment's own: with a closed log when its state is
/// `finished`. Returns the update's id.
pub(super) fn make_run(dir: &Path, state: &str) -> Digest {
    let run = RunDir::new(dir);
    let toml = "title = \"demo\"\narms = [\"mine\", \"checked\"]\n\
                [arm.mine]\n[arm.checked]\nadmission = \"provenance\"\n";
    std::fs::write(run.experiment(), toml).unwrap();
    let blobs = Blobs::open(run.blobs()).unwrap();
    let key = node().public();
    let some = Digest::of(b"some");
    let wasm = Digest::of(b"wasm");
    let about = ModulePredicate::new("unaligned-data", "0.1.0");
    let signed = module::sign(b"wasm", &about, &author()).unwrap();
    let assignment = Assignment {
        module: some,
        shard: some,
        examples: 8,
        attachment: None,
    };
    let mut authors = TrustStore::default();
    authors.add("author", author().public());
    let plan = Plan {
        format: FORMAT,
        formulas: 0,
        run: "demo".into(),
        created: "2026-01-02T03:04:05Z".into(),
        seed: Seed(1),
        origin: "fedseal.example/demo".into(),
        node: key,
        authors,
        experiment: Digest::of(toml.as_bytes()),
        base: some,
        base_name: "embedded".into(),
        engine: "test".into(),
        initial: some,
        modules: vec![PlannedModule {
            name: "unaligned-data".into(),
            digest: wasm,
            envelope: blobs.put(&signed.to_bytes()).unwrap(),
            signer: author().public(),
        }],
        clients: vec![PlannedClient {
            client: "client-03".into(),
            key,
            kind: "unaligned-data".into(),
            honest: assignment.clone(),
            attacked: assignment,
            arms: Default::default(),
            absent: false,
            node: false,
            site: None,
        }],
        versions: Versions::default(),
        data: Default::default(),
        canaries: some,
        evaluation: some,
        measures: Vec::new(),
    };
    let planned = canonical::to_vec(&plan).unwrap();
    std::fs::write(run.plan(), &planned).unwrap();

    let mut transcript = Transcript::new();
    transcript.push("shard", &json!({}), &json!({"examples": 8}));
    let predicate = UpdatePredicate {
        client: "client-03".into(),
        round: Round(0),
        seed: Seed(u64::MAX),
        module: wasm,
        module_signer: author().public(),
        node: key,
        base: some,
        global: some,
        update: None,
        examples: 0,
        data: Vec::new(),
        data_score: None,
        lineage: Lineage::default(),
        transcript: TranscriptRef {
            root: transcript.root(),
            entries: 1,
            blob: blobs.put(&transcript.to_bytes()).unwrap(),
        },
        limits: attestation::Limits::default(),
        used: Usage::default(),
        failure: Some(attestation::Failure {
            reason: "fuel".into(),
            detail: "out of fuel".into(),
        }),
        engine: "test".into(),
        seconds: 0.5,
    };
    let id = blobs
        .put(&attestation::sign(&predicate, &node()).unwrap().to_bytes())
        .unwrap();
    let opened = |arm: &str| Record::RoundOpened {
        arm: arm.into(),
        round: Round(0),
        clients: vec!["client-03".into()],
        global: some,
        seed: Seed(1),
        learning_rate: 0.1,
        controls: None,
    };
    let verdict = |arm: &str, effect: Effect, check: &str| Record::Verdict {
        arm: arm.into(),
        round: Round(0),
        client: "client-03".into(),
        attestation: id,
        effect,
        weight: if effect.counts() { 1.0 } else { 0.0 },
        check: check.into(),
        fact: "a fact".into(),
    };
    let report = report(state, &id).to_string();
    std::fs::write(run.report(), &report).unwrap();
    let mut records = vec![
        Record::RunOpened {
            run_config: Digest::of(&planned),
            base: some,
            node: key,
            seed: plan.seed,
            created: plan.created.clone(),
        },
        Record::CanariesSealed { digest: some },
        opened("mine"),
        opened("checked"),
        Record::Update {
            key: some,
            client: "client-03".into(),
            round: Round(0),
            attestation: id,
            update: None,
        },
        verdict("mine", Effect::Accept, "all"),
        verdict("checked", Effect::Reject, "literal-share"),
        Record::Aggregated {
            arm: "mine".into(),
            round: Round(0),
            rule: "fedavg".into(),
            weights: vec![("client-03".into(), 0.25)],
            global: some,
            device: None,
        },
    ];
    if state == "finished" {
        records.push(Record::CanariesOpened { digest: some });
        records.push(Record::Report {
            digest: Digest::of(report.as_bytes()),
        });
        records.push(Record::Closed);
    }
    let mut log = Log::create(run.log(), &plan.origin, node()).unwrap();
    for record in &records {
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    id
}

/// More than the kernel takes of an answer that nobody reads.
pub(super) const LARGE: u64 = 24 << 20;

/// A report of one arm in which one update counted.
pub(super) fn report(state: &str, update: &Digest) -> Value {
    json!({
        "run": "another", "title": "A run", "state": state, "started": "2026-01-02T03:04:05Z",
        "seconds": 1.5, "progress": {"done": 1, "total": 2, "label": "x"},
        "base": {"digest": Digest::of(b"some"), "name": "embedded"},
        "arms": [{"id": "base", "safety": {"hits": 1, "n": 2, "rate": 0.5, "low": 0.1, "high": 0.9},
                  "rounds": [{"clients": [{"update": update}, {"update": null}]}]}],
    })
}

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    /// The administrator's.
    pub(super) token: String,
    _stop: tokio::sync::oneshot::Sender<()>,
    pub(super) runs: tempfile::TempDir,
    /// Keeps the registry and the trust file, as the folder of keys does.
    pub(super) home: tempfile::TempDir,
    pub(super) update: Digest,
}

impl TestServer {
    /// A server of a folder with one finished run, `demo`.
    pub(super) async fn start() -> TestServer {
        TestServer::with(Limits::default()).await
    }

    /// With limits that a test can reach, and a page of [`LARGE`] bytes.
    pub(super) async fn with(limits: Limits) -> TestServer {
        let runs = tempfile::tempdir().unwrap();
        let demo = runs.path().join("demo");
        std::fs::create_dir(&demo).unwrap();
        let update = make_run(&demo, "finished");
        std::fs::write(runs.path().join("secret.txt"), "outside of every run").unwrap();
        let served = runs.path().to_owned();
        TestServer::over(runs, &served, update, limits, false).await
    }

    /// A server that takes signed submissions alone.
    pub(super) async fn demanding() -> TestServer {
        let runs = tempfile::tempdir().unwrap();
        let demo = runs.path().join("demo");
        std::fs::create_dir(&demo).unwrap();
        let update = make_run(&demo, "finished");
        TestServer::over(runs, &demo, update, Limits::default(), true).await
    }

    /// A server of that run alone.
    pub(super) async fn start_single() -> TestServer {
        let runs = tempfile::tempdir().unwrap();
        let demo = runs.path().join("demo");
        std::fs::create_dir(&demo).unwrap();
        let update = make_run(&demo, "finished");
        TestServer::over(runs, &demo, update, Limits::default(), false).await
    }

    /// A server that only these may read.
    pub(super) async fn reading(readers: Readers) -> TestServer {
        let runs = tempfile::tempdir().unwrap();
        let demo = runs.path().join("demo");
        std::fs::create_dir(&demo).unwrap();
        let update = make_run(&demo, "finished");
        let change = |settings: &mut Settings| settings.readers = readers;
        TestServer::with_settings(runs, &demo, update, change).await
    }

    async fn over(
        runs: tempfile::TempDir,
        served: &Path,
        update: Digest,
        limits: Limits,
        signed: bool,
    ) -> TestServer {
        let change = |settings: &mut Settings| {
            settings.limits = limits;
            settings.signed = signed;
        };
        TestServer::with_settings(runs, served, update, change).await
    }

    /// A server with the settings as they usually are, but for some.
    async fn with_settings(
        runs: tempfile::TempDir,
        served: &Path,
        update: Digest,
        change: impl FnOnce(&mut Settings),
    ) -> TestServer {
        let home = tempfile::tempdir().unwrap();
        let mut trusted = TrustStore::default();
        trusted.add("author", author().public());
        trusted.save(home.path().join("trusted.toml")).unwrap();
        let web = home.path().join("web");
        std::fs::create_dir(&web).unwrap();
        std::fs::write(web.join("index.html"), "a page").unwrap();
        std::fs::write(web.join("pages.json"), r#"["/", "/runs/:run"]"#).unwrap();
        let large = std::fs::File::create(web.join("large.bin")).unwrap();
        large.set_len(LARGE).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (admin, token) = Admin::open(&home.path().join("registry")).unwrap();
        let mut settings = Settings {
            admin,
            readers: Readers::default(),
            tls: None,
            names: vec![address.to_string()],
            signed: false,
            runs: served.to_owned(),
            registry: RegistryPlace::from(home.path().join("registry"))
                .make()
                .unwrap(),
            trust_file: Some(home.path().join("trusted.toml")),
            trusted,
            web: Some(web),
            verifier: Some(home.path().join("verifier.wasm")),
            limits: Limits::default(),
            federations: None,
            rule: Default::default(),
            compiled: None,
        };
        change(&mut settings);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(serve(listener, settings, async {
            let _ = stopped.await;
        }));
        TestServer {
            address,
            token: token.unwrap(),
            _stop: stop,
            runs,
            home,
            update,
        }
    }

    /// Sends bytes as they are; returns the whole answer.
    pub(super) async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        (status, answer)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, answer) = self.raw(request.as_bytes()).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
        (
            status,
            serde_json::from_str(body).unwrap_or(Value::String(body.into())),
        )
    }

    pub(super) async fn post(&self, body: &[u8]) -> (u16, Value) {
        let head = format!(
            "POST /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (status, answer) = self.raw(&[head.as_bytes(), body].concat()).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(super) async fn submit(&self, bytes: &[u8], envelope: Value) -> (u16, Value) {
        use ::base64::Engine as _;
        let module = ::base64::engine::general_purpose::STANDARD.encode(bytes);
        self.post(
            json!({"module": module, "envelope": envelope})
                .to_string()
                .as_bytes(),
        )
        .await
    }
}

pub(super) fn signed(bytes: &[u8], key: &SigningKey) -> Value {
    let envelope = module::sign(bytes, &ModulePredicate::new("mine", "0.1.0"), key).unwrap();
    serde_json::to_value(envelope).unwrap()
}

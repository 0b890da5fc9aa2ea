//! Signed requests as requests-http-signature (Python) and http-message-signatures (JavaScript) see them
//! (`tests/oracles/http-signatures`): theirs are taken here, ours there, and changed ones nowhere.
//! FEDSEAL_REQUIRE_ORACLES=1 makes an absent one a failure.
#![cfg(feature = "signed-requests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use fedseal_client_sdk::http_signature::{
    Known, RecentNonces, Refusal, Request, Role, Signed, Validity, Verifier, sign,
};
use fedseal_client_sdk::keys::SigningKey;
use serde::{Deserialize, Serialize};

const SEED: [u8; 32] = [11; 32];

/// A request that a peer is to sign or to verify.
#[derive(Clone, Serialize)]
struct Plain {
    method: &'static str,
    url: &'static str,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A request that a peer signed.
#[derive(Clone, Deserialize)]
struct Sent {
    method: String,
    secure: bool,
    host: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Serialize)]
struct Job {
    seed: String,
    public: String,
    keyid: String,
    tag: &'static str,
    requests: Vec<Plain>,
}

/// Methods, ports, queries and bodies of every kind that the interface knows.
fn cases() -> Vec<Plain> {
    let json = || BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    let bytes = || {
        BTreeMap::from([(
            "content-type".to_owned(),
            "application/octet-stream".to_owned(),
        )])
    };
    let plain = |method, url, headers, body: &[u8]| Plain {
        method,
        url,
        headers,
        body: hex::encode(body),
    };
    vec![
        plain(
            "GET",
            "https://fed.example/api/jobs?wait=30",
            BTreeMap::new(),
            b"",
        ),
        plain("GET", "https://fed.example/api/jobs", BTreeMap::new(), b""),
        plain("GET", "https://fed.example:443/", BTreeMap::new(), b""),
        plain(
            "GET",
            "http://127.0.0.1:8660/api/blobs/ab%20c?x=%2F&y",
            BTreeMap::new(),
            b"",
        ),
        plain(
            "POST",
            "https://fed.example/api/updates",
            json(),
            b"{\"round\":1}",
        ),
        plain(
            "POST",
            "https://fed.example:8443/api/updates?run=a",
            bytes(),
            &[0, 255, 10, 13, 7],
        ),
        plain(
            "PUT",
            "https://fed.example/api/blobs/x",
            bytes(),
            &[42; 100_000],
        ),
    ]
}

fn job(requests: Vec<Plain>) -> Job {
    let key = SigningKey::from_seed(SEED);
    Job {
        seed: hex::encode(SEED),
        public: key.public().to_string(),
        keyid: key.public().to_string(),
        tag: Role::Node.tag(),
        requests,
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

fn fields(headers: &BTreeMap<String, String>) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

fn verified(sent: &Sent, nonces: &mut RecentNonces) -> Result<Signed, Refusal> {
    let names = ["fed.example", "fed.example:8443", "127.0.0.1:8660"].map(str::to_owned);
    let key = SigningKey::from_seed(SEED).public();
    let verifier = Verifier {
        authorities: &names,
        known: &|keyid| {
            (keyid == key.to_string()).then(|| Known {
                key,
                roles: vec![Role::Node],
            })
        },
        now: now(),
    };
    let fields = fields(&sent.headers);
    let request = Request {
        method: &sent.method,
        secure: sent.secure,
        host: &sent.host,
        target: &sent.target,
        fields: &fields,
    };
    let body = hex::decode(&sent.body).unwrap();
    let has_body = !body.is_empty() || ["POST", "PUT", "PATCH"].contains(&sent.method.as_str());
    let signed = verifier.verify(&request, has_body, nonces)?;
    signed.check_body(&body)?;
    Ok(signed)
}

/// Signs a request as our client does.
fn ours(mut plain: Plain) -> Plain {
    let (scheme, rest) = plain.url.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let signed = {
        let fields = fields(&plain.headers);
        let request = Request {
            method: plain.method,
            secure: scheme == "https",
            host,
            target,
            fields: &fields,
        };
        let body = hex::decode(&plain.body).unwrap();
        let body = (!body.is_empty()).then_some(body.as_slice());
        let validity = Validity::now(120).unwrap();
        sign(
            &request,
            body,
            &SigningKey::from_seed(SEED),
            Role::Node,
            &validity,
        )
        .unwrap()
    };
    for (name, value) in signed {
        plain.headers.insert(name.to_owned(), value);
    }
    plain
}

/// A program that signs and verifies.
struct Peer {
    name: &'static str,
    program: String,
    script: PathBuf,
}

impl Peer {
    fn asked(&self, what: &str, job: &Job) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job.json");
        std::fs::write(&file, serde_json::to_vec(job).unwrap()).unwrap();
        let output = Command::new(&self.program)
            .arg(&self.script)
            .arg(what)
            .arg(&file)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", self.name);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn agrees(&self) {
        // Theirs, here.
        let sent: Vec<Sent> = serde_json::from_value(self.asked("sign", &job(cases()))).unwrap();
        assert_eq!(sent.len(), cases().len());
        for request in &sent {
            let mut nonces = RecentNonces::new(0, 16);
            let at = format!("{}: {} {}", self.name, request.method, request.target);
            let signed = verified(request, &mut nonces)
                .unwrap_or_else(|refusal| panic!("{at}: {refusal}: {:?}", request.headers));
            assert_eq!(signed.role, Role::Node, "{at}");
            assert_eq!(
                verified(request, &mut nonces).unwrap_err(),
                Refusal::Replayed,
                "{at}"
            );
            for changed in changes(request) {
                let mut nonces = RecentNonces::new(0, 16);
                assert!(verified(&changed, &mut nonces).is_err(), "{at}");
            }
        }
        // Ours, there.
        let signed: Vec<Plain> = cases().into_iter().map(ours).collect();
        let said = self.asked("verify", &job(signed.clone()));
        assert!(
            said.as_array().unwrap().iter().all(|word| word == "ok"),
            "{}: {said}",
            self.name
        );
        let changed = signed.into_iter().flat_map(|plain| {
            let mut other = plain.clone();
            other.url = "https://fed.example/api/other?run=b";
            let mut older = plain;
            let input = older.headers.get_mut("signature-input").unwrap();
            *input = input.replace(";nonce=\"", ";nonce=\"x");
            [other, older]
        });
        let said = self.asked("verify", &job(changed.collect()));
        assert!(
            said.as_array().unwrap().iter().all(|word| word != "ok"),
            "{}: {said}",
            self.name
        );
    }
}

/// The request with one thing changed that it covers.
fn changes(request: &Sent) -> Vec<Sent> {
    let with = |change: &dyn Fn(&mut Sent)| {
        let mut other = request.clone();
        change(&mut other);
        other
    };
    let mut all = vec![
        with(&|it| it.method = "DELETE".into()),
        with(&|it| it.target.push_str("&more")),
        with(&|it| it.host = "evil.example".into()),
        with(&|it| {
            let input = it.headers.get_mut("signature-input").unwrap();
            *input = input.replace("fedseal-node", "fedseal-author");
        }),
    ];
    if !request.body.is_empty() {
        all.push(with(&|it| it.body.push_str("00")));
        all.push(with(&|it| {
            it.headers
                .insert("content-type".into(), "text/plain".into());
        }));
    }
    all
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/http-signatures")
}

/// Whether the peer's packages are there; an absent one is a failure where all are wanted.
fn present(program: &str, words: &[&str]) -> bool {
    let there = Command::new(program)
        .args(words)
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
        "{program} {words:?} does not run; see tests/oracles/http-signatures/README.md"
    );
    if !there {
        eprintln!("left out: {program} {words:?} does not run");
    }
    there
}

#[test]
fn python_agrees() {
    let program = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
    if present(
        &program,
        &["-c", "import requests_http_signature, cryptography"],
    ) {
        let script = folder().join("peer.py");
        Peer {
            name: "requests-http-signature",
            program,
            script,
        }
        .agrees();
    }
}

#[test]
fn javascript_agrees() {
    let modules =
        std::env::var("FEDSEAL_NODE_PEERS").unwrap_or_else(|_| folder().display().to_string());
    let package = format!("{modules}/node_modules/http-message-signatures/package.json");
    let probe = format!("require({package:?})");
    if present("node", &["-e", &probe]) {
        let script = folder().join("peer.mjs");
        Peer {
            name: "http-message-signatures",
            program: "node".into(),
            script,
        }
        .agrees();
    }
}

//! The server over real sockets: what it answers, what it refuses, and that its limits hold.

mod answers;
mod clients;
mod decisions;
mod described;
mod evidence;
mod grown;
mod parts;
mod place;
mod represent;
mod sender;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::tlog::{self, Checkpoint};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use place::{TestServer, author, make_run, node, report, signed};

#[tokio::test]
async fn runs_are_listed_and_read() {
    let server = TestServer::start().await;
    let (status, list) = server.get("/api/runs").await;
    assert_eq!(status, 200);
    assert_eq!(list[0]["run"], "demo");
    assert_eq!(list[0]["updates"], 1);
    assert_eq!(list[0]["safety"]["base"]["hits"], 1);
    let outcome = &list[0]["conclusion"]["outcome"];
    assert_eq!(outcome, "not-measured", "no arm has rounds");
    let (status, report) = server.get("/api/runs/demo").await;
    assert_eq!((status, &report["served"]["run"]), (200, &json!("demo")));
    assert_eq!(
        report["run"], "another",
        "the file's own fields are as they lie there"
    );
    assert_eq!(server.get("/api/runs/none").await.0, 404);
}

#[tokio::test]
async fn an_update_comes_with_a_proof_that_holds() {
    let server = TestServer::start().await;
    let (status, view) = server
        .get(&format!("/api/runs/demo/updates/{}", server.update))
        .await;
    assert_eq!(status, 200, "{view}");
    let envelope = view["envelope"].as_str().unwrap();
    assert_eq!(Digest::of(envelope.as_bytes()), server.update);
    assert_eq!(view["statement"]["predicate"]["seed"], u64::MAX);
    assert_eq!(view["module_name"], "unaligned-data");
    assert_eq!(view["client_kind"], "unaligned-data");
    let verdicts = view["verdicts"].as_array().unwrap();
    assert_eq!(verdicts[0]["weight"], 0.25, "the weight in the aggregate");
    assert_eq!(verdicts[1]["check"], "literal-share");
    assert!(view["transcript"].as_str().unwrap().contains("shard"));

    let log = &view["log"];
    let note = log["checkpoint"].as_str().unwrap();
    let checkpoint = Checkpoint::verify(note, "fedseal.example/demo", &node().public()).unwrap();
    let proof: Vec<Digest> = serde_json::from_value(log["proof"].clone()).unwrap();
    let leaf = tlog::leaf_hash(log["entry"].as_str().unwrap().as_bytes());
    tlog::verify_inclusion(
        leaf,
        log["index"].as_u64().unwrap(),
        checkpoint.size,
        &proof,
        checkpoint.root,
    )
    .unwrap();

    let (status, raw) = server
        .get(&format!(
            "/api/runs/demo/updates/{}/envelope",
            server.update
        ))
        .await;
    assert_eq!(
        (status, raw),
        (200, serde_json::from_str(envelope).unwrap())
    );
    let (status, bundle) = server
        .get(&format!("/api/runs/demo/updates/{}/bundle", server.update))
        .await;
    assert_eq!(status, 200);
    let bundle = fedseal_client_sdk::bundle::Bundle::from_bytes(bundle.to_string().as_bytes());
    let verified = bundle
        .unwrap()
        .verify(&fedseal_client_sdk::bundle::Trust {
            node: node().public(),
            authors: &[author().public()],
            origin: Some("fedseal.example/demo"),
            policy: None,
        })
        .unwrap();
    assert_eq!(verified.update.digest, server.update);
    let (status, note_file) = server.get("/api/runs/demo/log/checkpoint").await;
    assert_eq!((status, note_file.as_str().unwrap()), (200, note));
    assert_eq!(
        server.get("/api/runs/demo/log/tile/0/000.p/11").await.0,
        200
    );
}

/// The files that an update's page needs beside the log are read once, and again when they change.
#[test]
fn an_update_is_shown_without_reading_the_experiment_again() {
    let root = tempfile::tempdir().unwrap();
    let id = make_run(root.path(), "finished");
    let logs = log::Logs::default();
    let first = logs.index("demo", root.path()).unwrap();
    let second = logs.index("demo", root.path()).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "nothing has changed");

    std::fs::remove_file(root.path().join("experiment.toml")).unwrap();
    let update = second.run.state.update(&id).unwrap();
    let view = updates::shown("demo".into(), &second.run, update).unwrap();
    let view = serde_json::to_value(&view).unwrap();
    // Both arms are the experiment's own: it alone says that clients attack there.
    assert_eq!(view["client_kind"], "unaligned-data");
    assert_eq!(view["verdicts"][0]["arm"], "mine");
    assert!(logs.index("demo", root.path()).is_err(), "a file is gone");
}

/// A log that its node signed may still be no run's.
#[test]
fn a_log_with_a_record_out_of_place_shows_no_update() {
    use fedseal_client_sdk::record::Record;
    let root = tempfile::tempdir().unwrap();
    make_run(root.path(), "running");
    let folder = root.path().join("log");
    let mut signed = fedseal_ledger::Log::open(folder, "fedseal.example/demo", node()).unwrap();
    let digest = Digest::of(b"some");
    let again = Record::CanariesSealed { digest }.to_bytes().unwrap();
    signed.append_publish(&again).unwrap();
    let refusal = log::Logs::default().index("demo", root.path());
    let text = refusal.err().unwrap().text();
    assert!(
        text.contains("log entry 8: canaries are sealed twice"),
        "{text}"
    );
}

#[tokio::test]
async fn no_path_leads_out_of_the_runs() {
    let server = TestServer::start().await;
    for path in [
        "/api/runs/../secret.txt",
        "/api/runs/..%2fsecret.txt",
        "/api/runs/%2e%2e",
        "/api/runs/demo%2f..",
        "/api/runs/.registry",
        "/api/runs/demo/log/../run.json",
        "/api/runs/demo/log/%2e%2e%2frun.json",
        "/api/runs/demo/log/tile/..%2f..%2frun.json",
        "/api/runs/demo/updates/..%2f..%2frun.json",
        "/api/runs/demo/updates/zz",
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
    for path in [
        "/../secret.txt",
        "/..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/assets/../../secret.txt",
    ] {
        let (_, body) = server.get(path).await;
        assert!(!body.to_string().contains("outside of every run"), "{path}");
        assert!(!body.to_string().contains("root:"), "{path}");
    }
}

#[tokio::test]
async fn each_wrong_signature_has_its_own_words() {
    let server = TestServer::start().await;
    // An empty component; what it is does not matter, since nothing may parse it.
    let module = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    let says = |refusal: &Value| refusal["error"].as_str().unwrap_or_default().to_owned();

    let (status, refusal) = server.submit(&module, Value::Null).await;
    assert_eq!(status, 403);
    assert!(says(&refusal).contains("not signed"), "{refusal}");

    let mut empty = signed(&module, &author());
    empty["signatures"] = json!([]);
    let (status, refusal) = server.submit(&module, empty).await;
    assert_eq!(status, 403);
    assert!(says(&refusal).contains("not signed"), "{refusal}");

    let stranger = SigningKey::from_seed([9; 32]);
    let (status, refusal) = server.submit(&module, signed(&module, &stranger)).await;
    assert_eq!(status, 403);
    assert!(says(&refusal).contains("does not trust"), "{refusal}");
    assert!(
        refusal["what"]
            .as_str()
            .unwrap()
            .contains(&stranger.public().key_id().0)
    );

    let (status, refusal) = server
        .submit(b"other bytes", signed(&module, &author()))
        .await;
    assert_eq!(status, 403);
    assert!(
        says(&refusal).contains("changed after it was signed"),
        "{refusal}"
    );
    assert!(
        refusal["what"]
            .as_str()
            .unwrap()
            .contains(&Digest::of(&module).to_string())
    );

    let mut broken = signed(&module, &author());
    broken["payload"] = signed(b"x", &author())["payload"].clone();
    let (status, refusal) = server.submit(&module, broken).await;
    assert_eq!(status, 403);
    assert!(says(&refusal).contains("does not hold"), "{refusal}");

    // A good signature over something that is no policy.
    let (status, refusal) = server.submit(&module, signed(&module, &author())).await;
    assert_eq!(status, 422, "{refusal}");
    assert!(
        refusal["hint"]
            .as_str()
            .unwrap()
            .contains("fedseal policy build")
    );

    assert_eq!(
        server.get("/api/modules").await,
        (200, json!([])),
        "nothing was registered"
    );
    for (body, status) in [
        (&b"not json"[..], 400),
        (br#"{"module":"***","envelope":null}"#, 403),
        (b"{}", 400),
    ] {
        assert_eq!(server.post(body).await.0, status);
    }
    // What a trusted author signed is decoded; a text with escapes would be copied first.
    for bad in ["***", r"AGFzbQ0AAQA\u003d"] {
        let body = format!(
            r#"{{"module":"{bad}","envelope":{}}}"#,
            signed(&module, &author())
        );
        assert_eq!(server.post(body.as_bytes()).await.0, 400, "{bad}");
    }
}

/// A few bytes of JSON that would become many in memory, where a signature is expected.
#[tokio::test]
async fn an_envelope_is_bounded_before_it_is_built() {
    let server = TestServer::start().await;
    let good = signed(b"wasm", &author()).to_string();
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    let deep = format!("{}0{}", "{\"\":".repeat(100), "}".repeat(100));
    for (envelope, status, what) in [
        (format!("[{}0]", "0,".repeat(1 << 20)), 413, "at most"),
        (format!("[{}0]", "{},".repeat(1000)), 400, "bytes of memory"),
        (deep, 400, "bytes of memory"),
        (
            with(
                "[",
                &format!("[{}", r#"{"keyid":"","sig":""},"#.repeat(1000)),
            ),
            400,
            "bytes of memory",
        ),
        // DSSE: what is not known is passed over, so this gets as far as the component.
        (with("{", r#"{"more":1,"#), 422, "bad magic number"),
    ] {
        let body = format!(r#"{{"module":"d2FzbQ==","envelope":{envelope}}}"#);
        let (got, refusal) = server.post(body.as_bytes()).await;
        assert_eq!(got, status, "{refusal}");
        assert!(
            refusal["what"].as_str().unwrap().contains(what),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn the_body_limit_holds() {
    let server = TestServer::start().await;
    // Announced too large: refused before a byte is read.
    let head = format!(
        "POST /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        modules::BODY_LIMIT + 1
    );
    let (status, answer) = server.raw(head.as_bytes()).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("\"hint\""), "a refusal in JSON");

    // Not announced (chunked): refused when the limit is reached.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'a'; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 2 * modules::BODY_LIMIT && stream.write_all(&chunk).await.is_ok() {
        sent += 1 << 20;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 413") || sent < 2 * modules::BODY_LIMIT,
        "{sent} bytes were taken: {}",
        String::from_utf8_lossy(&answer)
    );

    // Within the body's limit, beyond the module's.
    let (status, refusal) = server
        // Three bytes are four characters of base64, by which it is known before it is decoded.
        .submit(&vec![0; modules::MODULE_LIMIT + 3], Value::Null)
        .await;
    assert_eq!(status, 413, "{refusal}");
}

#[tokio::test]
async fn the_feed_ends_with_the_run() {
    let server = TestServer::start().await;
    let dir = server.runs.path().join("live");
    std::fs::create_dir(&dir).unwrap();
    let update = make_run(&dir, "running");
    std::fs::write(
        dir.join("events.jsonl"),
        "{\"type\":\"note\",\"text\":\"one\"}\n",
    )
    .unwrap();
    let finish = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(dir.join("events.jsonl"))
            .unwrap();
        file.write_all(b"{\"type\":\"note\",\"text\":\"two\"}\n")
            .unwrap();
        std::fs::write(
            dir.join("report.json"),
            report("finished", &update).to_string(),
        )
        .unwrap();
    };
    let request =
        b"GET /api/runs/live/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_, (status, answer)) = tokio::join!(finish, server.raw(request));
    assert_eq!(status, 200);
    assert!(answer.contains("text/event-stream"));
    // A client that comes back goes on behind what it has.
    let place = answer.split("id: ").nth(1).unwrap().lines().next().unwrap();
    let request_from = |place: u64| {
        format!(
            "GET /api/runs/live/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Last-Event-ID: {place}\r\n\r\n"
        )
    };
    let again = request_from(place.parse().unwrap());
    let (_, rest) = server.raw(again.as_bytes()).await;
    assert!(
        rest.contains("\"two\"") && !rest.contains("\"one\""),
        "{rest}"
    );
    // A place in the middle of a line leads to the next one.
    let torn = request_from(place.parse::<u64>().unwrap() - 3);
    let (_, rest) = server.raw(torn.as_bytes()).await;
    let first = rest.split("data: ").nth(1).unwrap();
    assert!(
        first.starts_with("{\"type\":\"note\",\"text\":\"two\"}"),
        "{rest}"
    );
    let (one, two) = (answer.find("one").unwrap(), answer.find("two").unwrap());
    assert!(
        one < two && two < answer.find("event: end").unwrap(),
        "{answer}"
    );
}

#[tokio::test]
async fn every_answer_has_the_headers_and_wrong_methods_are_told() {
    let server = TestServer::start().await;
    let (_, answer) = server
        .raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-security-policy: default-src 'self'"),
        "{answer}"
    );
    let (status, answer) = server
        .raw(b"DELETE /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status, 405);
    assert!(answer.contains("\"hint\""));
}

#[tokio::test]
async fn refusals_are_problem_details() {
    let server = TestServer::start().await;
    let (status, answer) = server
        .raw(b"GET /api/runs/none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status, 404);
    assert!(
        answer.contains("content-type: application/problem+json\r\n"),
        "{answer}"
    );
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({
            "title": "Not Found",
            "status": 404,
            "detail": "There is no such run. (none)",
            "error": "There is no such run.",
            "what": "none",
            "hint": "GET /api/runs lists the runs, a run's report its updates.",
        }),
    );
    // A library's refusal, too: this is no UTF-8.
    let (status, refusal) = server.get("/api/runs/%ff").await;
    assert_eq!(
        (status, &refusal["status"]),
        (400, &json!(400)),
        "{refusal}"
    );
    assert!(refusal["hint"].is_string());
}

#[tokio::test]
async fn programs_get_no_page() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/healthz").await, (200, json!("ok\n")));
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/runs/demo/nothing",
        "/api//runs",
        "/healthz/more",
        "/metrics/more",
    ] {
        let (status, refusal) = server.get(path).await;
        assert_eq!(status, 404, "{path}");
        assert!(refusal["hint"].is_string(), "{path}: {refusal}");
    }
    let post =
        b"POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.raw(post).await.0, 404);
    let post =
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.raw(post).await.0, 405);
}

#[tokio::test]
async fn pages_have_addresses_and_nothing_else_has() {
    let server = TestServer::start().await;
    for (path, status) in [
        ("/", 200),
        ("/runs/demo.1", 200),
        ("/runs/demo/", 200),
        ("/nowhere", 404),
        ("/runs/demo/nowhere", 404),
        ("/favicon.ico", 404),
    ] {
        assert_eq!(server.get(path).await, (status, json!("a page")), "{path}");
    }
    let (status, refusal) = server.get("/assets/missing.js").await;
    assert_eq!((status, refusal["hint"].is_string()), (404, true));
}

#[tokio::test]
async fn a_busy_port_says_what_to_do() {
    let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let failure = bind(first.local_addr().unwrap()).await.unwrap_err();
    assert!(format!("{failure:?}").contains("--addr"));
}

#[tokio::test]
async fn a_key_that_was_given_up_meanwhile_is_refused() {
    use fedseal_client_sdk::keys::RevokedKey;
    let server = TestServer::start().await;
    let file = server.home.path().join("trusted.toml");
    let about = fedseal_client_sdk::module::ModulePredicate::new("plain", "1");
    let envelope = fedseal_client_sdk::module::sign(b"wasm", &about, &author()).unwrap();
    let envelope = serde_json::to_value(&envelope).unwrap();
    // The signature holds; only the sandbox refuses these bytes.
    assert_eq!(server.submit(b"wasm", envelope.clone()).await.0, 422);
    let good = TrustStore::load(&file).unwrap();
    let mut store = good.clone();
    store.keys[0].expires = Some("2020-01-01T00:00:00Z".into());
    store.save(&file).unwrap();
    let (status, answer) = server.submit(b"wasm", envelope.clone()).await;
    assert_eq!(status, 403);
    assert!(
        answer["what"].as_str().unwrap().contains("expired"),
        "{answer}"
    );
    let mut store = good;
    store.revoke(RevokedKey {
        key: author().public(),
        reason: "laptop lost".into(),
        logs: [("fedseal.example/demo".to_owned(), 9)].into(),
    });
    store.save(&file).unwrap();
    let (status, answer) = server.submit(b"wasm", envelope.clone()).await;
    assert_eq!(status, 403);
    assert!(
        answer["what"].as_str().unwrap().contains("laptop lost"),
        "{answer}"
    );
    // A trust file that cannot be read trusts nobody.
    std::fs::write(&file, "keys = 1").unwrap();
    assert!(server.submit(b"wasm", envelope).await.0 >= 400);
}

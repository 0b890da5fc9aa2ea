//! Decisions on submitted modules, and what programs that watch the server see.

use fedseal_client_sdk::decision::Verdict;
use fedseal_registry::{RegisteredModule, Registry};

use super::*;

/// Registers a module beside the server, as a submission would, but without a sandbox that takes it.
fn registered(server: &TestServer) -> Digest {
    let folder = server.home.path().join("registry");
    let blobs = fedseal_ledger::Blobs::open(folder.join("blobs")).unwrap();
    let module = RegisteredModule {
        digest: blobs.put(b"wasm").unwrap(),
        name: "mine".into(),
        signer: author().public(),
        envelope: blobs
            .put(signed(b"wasm", &author()).to_string().as_bytes())
            .unwrap(),
        created: "2026-01-02T03:04:05Z".into(),
    };
    let registry = Registry::open(folder.join("registry.sqlite")).unwrap();
    registry.add_module(&module).unwrap();
    module.digest
}

async fn decide(server: &TestServer, digest: &str, token: &str, body: &str) -> (u16, String) {
    let request = format!(
        "POST /api/modules/{digest}/decision HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{token}\r\n{body}",
        body.len()
    );
    server.raw(request.as_bytes()).await
}

#[tokio::test]
async fn the_administrator_alone_decides() {
    let server = TestServer::start().await;
    let digest = registered(&server).to_string();
    let (_, list) = server.get("/api/modules").await;
    assert_eq!(list[0]["decision"], Value::Null);
    let own = format!("Authorization: Bearer {}\r\n", server.token);
    let body = r#"{"verdict":"rejected","reason":"it leaks"}"#;
    let none = "0".repeat(64);
    for (digest, token, body, status, words) in [
        (&digest[..], "", body, 401, "administrator's token"),
        (
            &digest[..],
            "Authorization: Bearer other\r\n",
            body,
            403,
            "is not the",
        ),
        (
            &digest[..],
            &own[..],
            r#"{"verdict":"maybe"}"#,
            422,
            "cannot be answered",
        ),
        (
            &digest[..],
            &own[..],
            r#"{"verdict":"approved","reason":"a\nb"}"#,
            400,
            "no short line",
        ),
        ("0000", &own[..], body, 400, "no digest"),
        (&none[..], &own[..], body, 404, "no such module"),
    ] {
        let (got, answer) = decide(&server, digest, token, body).await;
        assert_eq!(got, status, "{words}: {answer}");
        assert!(answer.contains(words), "{words}: {answer}");
    }
    assert_eq!(
        server.get("/api/modules").await.1[0]["decision"],
        Value::Null
    );

    assert_eq!(decide(&server, &digest, &own, body).await.0, 200);
    let decision = server.get("/api/modules").await.1[0]["decision"].clone();
    assert_eq!(decision["verdict"], "rejected");
    assert_eq!(decision["reason"], "it leaks");
    assert_eq!(decision["rule"], Value::Null);
    // The folder has the signed statement, which whoever runs the server can check without it.
    let place = server.home.path().join("registry").into();
    let found = crate::decisions::existing(&place, fedseal_engines::helper::Access::Read);
    let (_, decisions) = found.unwrap().unwrap();
    let all = decisions.all().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].predicate.verdict, Verdict::Rejected);
    assert_eq!(
        all[0].envelope.to_string(),
        decision["envelope"].as_str().unwrap()
    );
}

#[tokio::test]
async fn metrics_count_and_readiness_is_that_of_the_folder() {
    let server = TestServer::start().await;
    registered(&server);
    assert_eq!(server.get("/api/runs").await.0, 200);
    assert_eq!(server.get("/api/runs/none").await.0, 404);
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 200);
    let text = text.as_str().unwrap();
    for line in [
        "fedseal_modules{decision=\"none\"} 1",
        "fedseal_http_requests_total{route=\"/api/runs\",method=\"GET\",status=\"200\"} ",
        "fedseal_http_refusals_total{status=\"404\",reason=\"There is no such run.\"} ",
        "fedseal_http_sent_bytes_total ",
        "fedseal_runs{worked_on=",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        !text.contains("/api/runs/none"),
        "an address of a client is no label"
    );
    assert_eq!(server.get("/readyz").await.0, 200);
    #[cfg(unix)]
    {
        // A file is in the place of the one that is written: root may write everywhere else.
        let probe = server.home.path().join("registry/.ready");
        std::fs::create_dir(&probe).unwrap();
        let (status, answer) = server.get("/readyz").await;
        assert_eq!(status, 503, "{answer}");
        assert!(
            !answer.to_string().contains("/tmp"),
            "no path of this machine: {answer}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_cannot_be_read_is_not_ready() {
    let server = TestServer::start().await;
    // It has its database open, so that nobody else tidies up behind it.
    assert_eq!(server.get("/readyz").await.0, 200);
    registered(&server);
    // What was registered is in the database or in its journal still, and gone with them.
    for name in ["registry.sqlite", "registry.sqlite-wal"] {
        let path = server.home.path().join("registry").join(name);
        std::fs::write(path, b"").unwrap();
    }
    let (status, answer) = server.get("/readyz").await;
    assert_eq!(status, 503, "{answer}");
    let text = answer.to_string();
    assert!(
        text.contains("the registry") && !text.contains("/tmp"),
        "{text}"
    );
}

//! Entity tags, gzip, and parts of lists, over real sockets.

use std::io::Read as _;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::place::{TestServer, make_run};

/// Status, head and body of an answer. HTTP/1.0, so that no body is chunked.
pub(super) async fn ask(server: &TestServer, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec())
        .unwrap()
        .to_lowercase();
    (
        head[9..12].parse().unwrap(),
        head,
        answer[end + 4..].to_vec(),
    )
}

/// The value of a header.
pub(super) fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(own, _)| *own == name).map(|(_, value)| value)
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let server = TestServer::start().await;
    for path in [
        "/api/runs",
        "/api/runs/demo",
        "/api/runs/demo/index",
        "/api/runs/demo/arms/base/grid",
        "/api/runs/demo/arms/base/rounds",
        "/api/openapi.json",
        "/",
        "/api/runs/demo/log/checkpoint",
    ] {
        let (status, head, body) = ask(&server, path, "").await;
        let tag = value(&head, "etag")
            .unwrap_or_else(|| panic!("{path}: {head}"))
            .to_owned();
        assert_eq!(
            (status, value(&head, "cache-control")),
            (200, Some("no-cache")),
            "{path}"
        );
        assert!(!body.is_empty());
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let (status, head, body) =
                ask(&server, path, &format!("If-None-Match: {known}\r\n")).await;
            assert_eq!((status, body.len()), (304, 0), "{path} {known}");
            assert_eq!(value(&head, "etag"), Some(tag.as_str()));
            assert!(head.contains("content-security-policy"));
        }
        let other = ask(&server, path, "If-None-Match: \"x\"\r\n").await;
        assert_eq!((other.0, &other.2), (200, &body), "{path}");
    }
    // Another report has another tag.
    let path = server.runs.path().join("demo/report.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for part in ["", "/index", "/arms/base/grid", "/arms/base/rounds"] {
        let address = format!("/api/runs/demo{part}");
        let (_, before, _) = ask(&server, &address, "").await;
        std::fs::write(&path, text.replace("\"rate\":0.5", "\"rate\":1.0")).unwrap();
        let (_, after, _) = ask(&server, &address, "").await;
        assert_ne!(value(&before, "etag"), value(&after, "etag"), "{address}");
        std::fs::write(&path, &text).unwrap();
    }
    // Refusals have none.
    let (status, head, _) = ask(&server, "/api/runs/none", "If-None-Match: *\r\n").await;
    assert_eq!((status, value(&head, "etag")), (404, None));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let server = TestServer::start().await;
    let path = "/api/openapi.json";
    let (_, plain_head, plain) = ask(&server, path, "").await;
    assert_eq!(value(&plain_head, "content-encoding"), None);
    assert_eq!(value(&plain_head, "vary"), Some("accept-encoding"));
    let (status, head, small) = ask(&server, path, "Accept-Encoding: br, gzip\r\n").await;
    assert_eq!(
        (status, value(&head, "content-encoding")),
        (200, Some("gzip"))
    );
    assert!(
        small.len() * 3 < plain.len(),
        "{} of {}",
        small.len(),
        plain.len()
    );
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(small.as_slice())
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, plain);
    // The helper has the head in lower case; a weak tag begins with W (RFC 9110, section 8.8.3).
    let tag = value(&head, "etag").unwrap().replacen("w/", "W/", 1);
    let known = format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(ask(&server, path, &known).await.0, 304);
    // A report is sent in pieces; few bytes are sent as they are.
    let dir = server.runs.path().join("demo/report.json");
    let text = std::fs::read_to_string(&dir).unwrap();
    let long = text.replacen('{', &format!("{{\"long\":\"{}\",", "x".repeat(300_000)), 1);
    std::fs::write(&dir, long).unwrap();
    let (_, _, plain) = ask(&server, "/api/runs/demo", "").await;
    let (_, head, small) = ask(&server, "/api/runs/demo", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(value(&head, "content-encoding"), Some("gzip"));
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(small.as_slice())
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == plain && plain.len() > 300_000);
    let (_, head, _) = ask(&server, "/healthz", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(value(&head, "content-encoding"), None);
}

#[tokio::test]
async fn a_download_goes_on_where_it_stopped() {
    let server = TestServer::start().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(server.home.path().join("web/some.bin"), bytes).unwrap();
    for path in ["/api/openapi.json", "/api/runs/demo", "/some.bin"] {
        let (_, head, whole) = ask(&server, path, "").await;
        assert_eq!(value(&head, "accept-ranges"), Some("bytes"), "{path}");
        let length = whole.len();
        let from = length - 100;
        let (status, head, part) = ask(&server, path, &format!("Range: bytes={from}-\r\n")).await;
        assert_eq!((status, part.as_slice()), (206, &whole[from..]), "{path}");
        let expected = format!("bytes {from}-{}/{length}", length - 1);
        assert_eq!(value(&head, "content-range"), Some(expected.as_str()));
        let (status, _, part) = ask(
            &server,
            path,
            "Range: bytes=5-9\r\nAccept-Encoding: gzip\r\n",
        )
        .await;
        assert_eq!((status, part.as_slice()), (206, &whole[5..10]), "{path}");
        let (status, head, _) = ask(&server, path, &format!("Range: bytes={length}-\r\n")).await;
        let expected = format!("bytes */{length}");
        assert_eq!(
            (status, value(&head, "content-range")),
            (416, Some(expected.as_str()))
        );
        // A part of another whole, several parts, and what is no range: the whole.
        for other in [
            "Range: bytes=1-2\r\nIf-Range: \"x\"\r\n",
            "Range: bytes=1-2,4-5\r\n",
            "Range: lines=1-2\r\n",
        ] {
            let (status, _, body) = ask(&server, path, other).await;
            assert_eq!((status, body.len()), (200, length), "{path} {other}");
        }
    }
    let (_, head, _) = ask(&server, "/api/openapi.json", "").await;
    let tag = value(&head, "etag").unwrap();
    let same = format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n");
    assert_eq!(ask(&server, "/api/openapi.json", &same).await.0, 206);
}

#[tokio::test]
async fn lists_are_read_in_parts() {
    let server = TestServer::start().await;
    for name in ["more", "most"] {
        let dir = server.runs.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        make_run(&dir, "running");
    }
    let all = server.get("/api/runs").await.1;
    assert_eq!(all.as_array().unwrap().len(), 3);
    let mut path = String::from("/api/runs?count=2");
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let (status, head, body) = ask(&server, &path, "").await;
        assert_eq!(status, 200, "{path}");
        let part: Vec<Value> = serde_json::from_slice(&body).unwrap();
        seen.extend(part);
        let Some(link) = value(&head, "link") else {
            break;
        };
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(
        json!(seen.iter().map(|run| &run["run"]).collect::<Vec<_>>()),
        json!(
            all.as_array()
                .unwrap()
                .iter()
                .map(|run| &run["run"])
                .collect::<Vec<_>>()
        )
    );
    let (_, found) = server.get("/api/runs?search=MOS").await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    let (status, refusal) = server.get("/api/runs?count=-1").await;
    assert_eq!(
        (status, &refusal["status"]),
        (400, &json!(400)),
        "{refusal}"
    );
    assert_eq!(server.get("/api/modules?from=5").await, (200, json!([])));
}

//! Clients that send or take nothing, and addresses that ask for more than theirs.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(target_os = "linux")]
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use super::place::LARGE;
use super::*;

/// No client is waited for as long as this: what takes longer would go on for ever.
const FOREVER: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(400);

const HALF: &[u8] =
    b"POST /api/modules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf";
const LARGE_PAGE: &[u8] = b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LIST: &[u8] = b"GET /api/runs HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Makes a run that goes on, and a request for its feed.
fn live(server: &TestServer) -> &'static [u8] {
    let dir = server.runs.path().join("live");
    std::fs::create_dir(&dir).unwrap();
    make_run(&dir, "running");
    b"GET /api/runs/live/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
}

fn impatient() -> Limits {
    Limits {
        patience: SHORT,
        ..Limits::default()
    }
}

/// A connection that has sent something.
async fn sent(to: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

/// As [`sent`], from another address of this machine.
#[cfg(target_os = "linux")]
async fn sent_from_elsewhere(to: SocketAddr, request: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

/// Reads what comes until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut answer)).await;
    // A connection that is cut ends with an error or without one.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The first line of what comes.
async fn status(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    let read = timeout(FOREVER, stream.read_exact(&mut head)).await;
    match read.expect("an answer, or an end") {
        Ok(_) => String::from_utf8_lossy(&head).into_owned(),
        Err(_) => "closed".into(),
    }
}

#[tokio::test]
async fn unfinished_submissions_keep_nobody_waiting() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(sent(server.address, HALF).await);
    }
    sleep(SHORT).await;
    assert_eq!(server.post(b"{}").await.0, 400, "looked at, and refused");
}

#[tokio::test]
async fn who_sends_half_a_body_is_told_and_cut_off() {
    let server = TestServer::with(impatient()).await;
    let silent = sent(server.address, HALF).await;
    let mut slow = sent(server.address, HALF).await;
    let trickle = async {
        // A byte at a time is no progress to speak of.
        while slow.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (answer, slow) = tokio::join!(rest(silent), timeout(FOREVER, trickle));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("came too slowly"), "{answer}");
    slow.expect("a slow sender is cut off, too");
}

#[tokio::test]
async fn who_takes_no_answer_makes_room() {
    let server = TestServer::with(Limits {
        connections: 3,
        connections_of_address: 3,
        answer_bytes_of_address: 1 << 30,
        answer_bytes: 1 << 30,
        ..impatient()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(sent(server.address, LARGE_PAGE).await);
    }
    // There is no further connection until one of those is closed.
    let mut next = sent(server.address, LIST).await;
    assert_eq!(status(&mut next).await, "HTTP/1.1 200");
    // The others may be in time yet, now that they are read.
    let mut cut = 0;
    for stream in held {
        cut += usize::from((rest(stream).await.len() as u64) < LARGE);
    }
    assert!(cut > 0, "none was cut off");
}

#[tokio::test]
async fn a_connection_without_a_further_request_is_closed() {
    let server = TestServer::with(impatient()).await;
    assert!(
        rest(sent(server.address, LIST).await)
            .await
            .contains("200 OK")
    );
    assert_eq!(rest(sent(server.address, b"GET / HT").await).await, "");
}

#[tokio::test]
async fn no_connection_lasts_for_ever() {
    let server = TestServer::with(Limits {
        age: SHORT,
        life: 2 * SHORT,
        ..Limits::default()
    })
    .await;
    let feed = live(&server);
    let answer = rest(sent(server.address, feed).await).await;
    assert!(answer.contains("text/event-stream"), "{answer}");
    // One that asks and asks is told that this was the last time.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let asking = async {
        let mut answer = [0; 4096];
        while stream.write_all(LIST).await.is_ok() {
            match stream.read(&mut answer).await {
                Ok(read) if read > 0 => sleep(Duration::from_millis(50)).await,
                _ => break,
            }
        }
    };
    timeout(FOREVER, asking).await.expect("it is closed");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let server = TestServer::with(Limits {
        connections: 6,
        connections_of_address: 3,
        ..Limits::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = sent(server.address, LIST).await;
        assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
        held.push(stream);
    }
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    let _ = fourth.write_all(LIST).await;
    assert_eq!(status(&mut fourth).await, "closed");
    let mut other = sent_from_elsewhere(server.address, LIST).await;
    assert_eq!(status(&mut other).await, "HTTP/1.1 200");
    // Those that are closed make room for their own address.
    drop(held);
    let again = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let _ = stream.write_all(LIST).await;
            if status(&mut stream).await == "HTTP/1.1 200" {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(FOREVER, again).await.expect("there is room again");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_cannot_take_all_feeds() {
    let server = TestServer::with(Limits {
        feeds_of_address: 2,
        ..Limits::default()
    })
    .await;
    let feed = live(&server);
    let mut held = Vec::new();
    for expected in ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 503"] {
        let mut stream = sent(server.address, feed).await;
        assert_eq!(status(&mut stream).await, expected);
        held.push(stream);
    }
    let mut other = sent_from_elsewhere(server.address, feed).await;
    assert_eq!(status(&mut other).await, "HTTP/1.1 200");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bodies_and_answers_of_one_address_are_bounded_in_bytes() {
    let server = TestServer::with(Limits {
        body_bytes_of_address: 1000,
        answer_bytes_of_address: 4096,
        ..Limits::default()
    })
    .await;
    assert_eq!(server.post(b"{}").await.0, 400);
    assert_eq!(server.post(&[b' '; 1001]).await.0, 503);
    // An address has one large answer at a time here; small ones are not counted.
    let mut large = sent(server.address, LARGE_PAGE).await;
    assert_eq!(status(&mut large).await, "HTTP/1.1 200");
    let mut second = sent(server.address, LARGE_PAGE).await;
    assert_eq!(status(&mut second).await, "HTTP/1.1 503");
    assert_eq!(server.get("/api/runs").await.0, 200);
    let mut other = sent_from_elsewhere(server.address, LARGE_PAGE).await;
    assert_eq!(status(&mut other).await, "HTTP/1.1 200");
    drop(large);
    let again = async {
        loop {
            let mut stream = sent(server.address, LARGE_PAGE).await;
            if status(&mut stream).await == "HTTP/1.1 200" {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(FOREVER, again)
        .await
        .expect("what was taken is given back");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let server = TestServer::with(Limits {
        requests_of_address: Rate {
            a_second: 1,
            at_once: 2,
        },
        ..Limits::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(server.get("/api/modules").await.0, 200);
    }
    let ask = b"GET /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (status, answer) = server.raw(ask).await;
    assert_eq!(status, 429);
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_request_for_another_host_reads_nothing() {
    let server = TestServer::start().await;
    let ask = b"GET /api/runs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let (status, answer) = server.raw(ask).await;
    assert_eq!(status, 421, "{answer}");
    assert!(answer.contains("--name HOST"), "{answer}");
    let post = b"POST /api/modules HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\
                 Connection: close\r\nContent-Length: 2\r\n\r\n{}";
    let (status, answer) = server.raw(post).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("page of another site"), "{answer}");
}

#[tokio::test]
async fn readers_need_the_token_where_there_is_one() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    std::fs::write(&file, "twenty characters or more\n").unwrap();
    let server = TestServer::reading(Readers::of_file(&file).unwrap()).await;
    for path in [
        "/api/runs",
        "/",
        "/api/runs/demo/events",
        "/api/openapi.json",
    ] {
        assert_eq!(server.get(path).await.0, 401, "{path}");
    }
    assert_eq!(server.get("/healthz").await.0, 200);
    let with = |token: &str| {
        format!(
            "GET /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n"
        )
    };
    let asked = with("Bearer twenty characters or more");
    assert_eq!(server.raw(asked.as_bytes()).await.0, 200);
    // A browser asks its user when it is told how.
    let (status, answer) = server.raw(with("Bearer no").as_bytes()).await;
    assert!(answer.contains("www-authenticate: Basic realm"), "{status}");
}

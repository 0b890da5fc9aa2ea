//! Faults of HTTP against a coordinator at work: each is refused by name, none costs memory, and the federation
//! ends with the bits of one process.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::Validity;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_federation::node::deeds::Deed;
use fedseal_federation::protocol::{MOST_REQUEST, MOST_UPDATE};

use super::federation::{
    NAMES, Wire, deeds_of, execute_alone, federation, joined, node, place, serve_with, until,
};
use super::raw::{Target, valid};
use super::system::{from, more_files, resident, sockets};
use crate::program::ok;
use crate::program::small::home;
use crate::{Started, adapters};

const ROUNDS: usize = 2;
/// Seconds that the coordinator waits for a client.
const PATIENCE: u64 = 2;
/// Longest wait for an answer, or for a socket to go.
const SLACK: Duration = Duration::from_secs(30);
/// Times that all of it is done.
const PASSES: u64 = 2;
/// Sockets of the nodes at work: they come and go.
const OF_NODES: usize = 4;
/// Memory that may be more afterwards than before, KiB: what the allocator keeps.
const MOST_GROWTH: u64 = 64 << 10;
/// Addresses that have connections at once, and how many each; the coordinator takes 256 in all.
const MANY: u8 = 16;
const EACH: usize = 63;

/// Last thing that a client does with its side of a connection.
#[derive(Clone, Copy)]
enum End {
    /// It waits for the answer.
    Waits,
    /// It closes it.
    Closes,
}

impl Target<'_> {
    fn answer(&self, bytes: &[u8], end: End) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SLACK)).unwrap();
        stream.write_all(bytes).unwrap();
        if matches!(end, End::Closes) {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer has this status, and says so.
    fn refuses(&self, name: &str, bytes: &[u8], end: End, status: u16, words: &str) {
        let answer = self.answer(bytes, end);
        let begins = format!("HTTP/1.1 {status} ");
        let named = answer.starts_with(&begins) && answer.contains(words);
        assert!(named, "{name}: {status} with {words:?}, but {answer}");
    }
}

/// Requests that came apart, or lie about themselves.
fn bodies(target: &Target<'_>) {
    let next = "POST /federation/v1/fed/next";
    let announced = |line: &str, length: usize, body: &[u8]| {
        let head = target.head(line, Some(body), &valid());
        format!("{head}Content-Length: {length}\r\n\r\n").into_bytes()
    };
    // Each is signed anew: the same one twice is a replay.
    let half = || [announced(next, 2, b"{}"), b"{".to_vec()].concat();
    target.refuses("a slow body", &half(), End::Waits, 408, "too slowly");
    target.refuses("half a body", &half(), End::Closes, 400, "ended too early");
    let more = announced(next, MOST_REQUEST + 1, b"{}");
    target.refuses("more than is taken", &more, End::Waits, 413, "too large");
    let job = format!("PUT /federation/v1/fed/jobs/{}", Digest::of(b"none"));
    let more = announced(&job, MOST_UPDATE + 1, b"{}");
    target.refuses("a larger update", &more, End::Waits, 413, "too large");
    let head = target.head(next, Some(b"{}"), &valid());
    let pieces = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        MOST_REQUEST + 1
    );
    let pieces = [pieces.into_bytes(), vec![b' '; MOST_REQUEST + 1]].concat();
    target.refuses("more in pieces", &pieces, End::Waits, 413, "too large");
    let other = [announced(next, 2, b"{}"), b"[]".to_vec()].concat();
    target.refuses("another body", &other, End::Waits, 403, "that was signed");
    let junk = target.request(&job, b"junk");
    target.refuses("no package", &junk, End::Waits, 422, "refuses");
    let cosign = "POST /federation/v1/fed/cosign";
    let deep = vec![b'['; 1 << 20];
    for (name, body) in [("no note", b"{}".as_slice()), ("a deep body", &deep)] {
        let bytes = target.request(cosign, body);
        target.refuses(name, &bytes, End::Waits, 400, "not what this address takes");
    }
}

/// Requests at a wrong time, by a wrong hand, or twice.
fn signatures(target: &Target<'_>) {
    let path = "/federation/v1/fed/cosigned";
    let aged = |created: i64, seconds: i64| {
        let now = valid();
        let validity = Validity {
            created: now.created + created,
            seconds,
            ..now
        };
        let head = target.head(&format!("GET {path}"), None, &validity);
        format!("{head}\r\n").into_bytes()
    };
    for (name, created, seconds, words) in [
        ("ten minutes behind", -600, 120, "it is too old"),
        ("ten minutes ahead", 600, 120, "it is from the future"),
        ("expired", -100, 50, "it has expired"),
    ] {
        target.refuses(name, &aged(created, seconds), End::Waits, 403, words);
    }
    let once = target.get(path, "");
    let answer = target.answer(&once, End::Waits);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    target.refuses("a replay", &once, End::Waits, 403, "nonce was used already");
    let stranger = Target {
        key: &SigningKey::from_seed([7; 32]),
        host: target.host.clone(),
        ..*target
    };
    let asked = stranger.get(path, "");
    target.refuses(
        "a stranger",
        &asked,
        End::Waits,
        403,
        "no node's of this federation",
    );
    let bare = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.host
    );
    target.refuses(
        "unsigned",
        bare.as_bytes(),
        End::Waits,
        403,
        "is not signed",
    );
}

/// Parts of blobs, and what is none.
fn parts(target: &Target<'_>, plan: &[u8]) {
    let blobs = "/federation/v1/fed/blobs";
    let path = format!("{blobs}/{}", Digest::of(plan));
    let whole = String::from_utf8_lossy(plan).into_owned();
    for (range, status, fields, body) in [
        (
            "bytes=0-9",
            206,
            format!("bytes 0-9/{}", plan.len()),
            &whole[..10],
        ),
        ("bytes=-4", 206, String::new(), &whole[whole.len() - 4..]),
        ("bytes=5-1", 200, String::new(), &whole[..]),
        ("bytes=0-1,4-5", 200, String::new(), &whole[..]),
        ("items=0-1", 200, String::new(), &whole[..]),
    ] {
        let answer = target.answer(
            &target.get(&path, &format!("Range: {range}\r\n")),
            End::Waits,
        );
        let (head, got) = answer.split_once("\r\n\r\n").unwrap();
        let begins = format!("HTTP/1.1 {status} ");
        assert!(
            head.starts_with(&begins) && head.contains(&fields),
            "{range}: {head}"
        );
        assert_eq!(got, body, "{range}");
    }
    let beyond = target.get(&path, "Range: bytes=999999999-\r\n");
    target.refuses("a part beyond", &beyond, End::Waits, 416, "no such part");
    let other = target.get(&format!("{blobs}/{}", Digest::of(b"other")), "");
    target.refuses(
        "another blob",
        &other,
        End::Waits,
        404,
        "what their jobs name",
    );
    let none = target.get(&format!("{blobs}/abc"), "");
    target.refuses("no digest", &none, End::Waits, 400, "That is no digest");
}

/// Waits until the coordinator has so few sockets again.
fn quiet(server: &Started, most: usize) {
    let begun = Instant::now();
    while sockets(server) > most {
        assert!(
            begun.elapsed() < SLACK,
            "{} sockets, {most} before",
            sockets(server)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Questions whose askers go away, and more connections than there is room for.
fn connections(target: &Target<'_>, server: &Started) {
    let before = sockets(server) + OF_NODES;
    let asking = || {
        let mut stream = TcpStream::connect(target.address).unwrap();
        let bytes = target.request("POST /federation/v1/fed/next", b"{}");
        stream.write_all(&bytes).unwrap();
        stream
    };
    let half: Vec<TcpStream> = (0..20).map(|_| asking()).collect();
    for stream in &half {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    drop((0..20).map(|_| asking()).collect::<Vec<_>>());
    quiet(server, before);

    let open: Vec<TcpStream> = (2..2 + MANY)
        .flat_map(|last| (0..EACH).map(move |_| last))
        .map(|last| from(last, target.address))
        .collect();
    // Whoever asks has an answer when those that say nothing had their time.
    let answer = target.answer(&target.get("/federation/v1/fed/cosigned", ""), End::Waits);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    quiet(server, before);
    drop(open);
}

#[test]
fn faults_are_refused_by_name_and_nothing_is_lost() {
    more_files();
    let home = home();
    let home = home.path();
    place(home, "deadline = 200", ROUNDS);
    execute_alone(home);
    let wire = Wire::new();
    let patience = PATIENCE.to_string();
    let mut server = serve_with(home, &wire, &["--patience", &patience]);
    federation(home, &["create", "fed.toml"]);
    let mut nodes = joined(home, &wire);
    // The round waits for the one that is away.
    drop(nodes.remove(0));
    federation(home, &["start", "fed"]);
    server.says("federation fed runs");
    for node in &mut nodes {
        node.says("sent (recorded)");
    }

    let key = |name: &str| SigningKey::load(home.join(format!("{name}.pem"))).unwrap();
    let (north, south) = (key("north"), key("south"));
    let host = wire.address.to_string();
    let target = |key| Target {
        address: wire.coordinator(),
        host: host.clone(),
        key,
        fields: "Connection: close\r\n",
    };
    let plan = fs::read(home.join("runs/fed/run.json")).unwrap();
    let before = resident(&server);
    for _ in 0..PASSES {
        bodies(&target(&north));
        signatures(&target(&north));
        parts(&target(&north), &plan);
        // One whose update is in the log: there is no job for it.
        connections(&target(&south), &server);
    }
    let grown = resident(&server).saturating_sub(before);
    println!("faults: {grown} KiB more than {before}");
    assert!(grown < MOST_GROWTH, "{grown} KiB more than {before}");

    nodes.push(node(home, "north", &wire, None));
    let status = until(home, "finished", |status| status["phase"] == "finished");
    for kind in ["signature", "body", "malformed", "foreign"] {
        assert!(
            status["refused"][kind].as_u64() >= Some(PASSES),
            "{kind}: {status:#}"
        );
    }
    for node in &mut nodes {
        node.ends();
    }
    assert_eq!(
        adapters(&home.join("runs/fed")),
        adapters(&home.join("alone"))
    );
    ok(home, &["verify", "runs/fed"]);
    for name in NAMES {
        done_once(home, name);
    }
    let _ = server.child.kill();
    let said: Vec<String> = server.lines.iter().collect();
    assert!(
        said.iter().all(|line| !line.contains("panicked")),
        "{said:#?}"
    );
}

/// Each job of a node was executed once.
fn done_once(home: &Path, name: &str) {
    let deeds = deeds_of(home, name);
    let executed = deeds.iter().filter_map(|deed| match deed {
        Deed::Executed { job, .. } => Some(*job),
        _ => None,
    });
    let jobs: Vec<Digest> = executed.collect();
    let different: BTreeSet<&Digest> = jobs.iter().collect();
    assert_eq!(
        (jobs.len(), different.len()),
        (ROUNDS, ROUNDS),
        "{name}: {deeds:#?}"
    );
}

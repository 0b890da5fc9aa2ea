//! Nodes that wait for work: each costs the coordinator a connection and little else, and all hear at once of what
//! changes. `FEDSEAL_IDLE=NODES,ENROLLED,SECONDS` makes a measurement of it (cargo xtask bench federation idle).

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_federation::coordinator::books::{Books, Joined};
use fedseal_federation::runner::Enrolled;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::federation::{Wire, federation, serve_with};
use super::raw::Target;
use super::system::{more_files, resident, sockets};
use crate::Started;
use crate::program::ok;
use crate::program::small::{SMALL, home};

/// Nodes that wait, nodes that enrolled, and seconds of the measurement.
struct Sizes {
    nodes: usize,
    enrolled: usize,
    seconds: u64,
}

impl Sizes {
    fn read() -> Sizes {
        let given = std::env::var("FEDSEAL_IDLE").ok();
        let given = given.as_deref().unwrap_or("120,500,3");
        let numbers: Vec<usize> = given.split(',').map(|text| text.parse().unwrap()).collect();
        let [nodes, enrolled, seconds] = numbers[..] else {
            panic!("FEDSEAL_IDLE has three numbers");
        };
        assert!(nodes <= enrolled);
        Sizes {
            nodes,
            enrolled,
            seconds: seconds as u64,
        }
    }
}

/// Connections of one address, most: below what the coordinator allows.
const OF_ADDRESS: usize = 60;
/// Longest wait for all nodes.
const LONG: Duration = Duration::from_secs(60);
/// Clock ticks of a second in /proc.
const TICKS: f64 = 100.0;

fn key(number: usize) -> SigningKey {
    SigningKey::from_seed(Digest::of(&number.to_le_bytes()).0)
}

/// Enrols nodes by writing them into the books.
fn enrol(home: &Path, count: usize) {
    let books = Books::open(home.join("books")).unwrap();
    let mut state = books.read("fed").unwrap();
    for number in 0..count {
        let member = Enrolled {
            key: key(number).public(),
            shard: Digest::of(&number.to_be_bytes()),
            examples: 50,
            site: "allow = []\n".into(),
        };
        let joined = Joined {
            member,
            since: state.created.clone(),
            revoked: None,
        };
        state.members.insert(format!("node-{number:05}"), joined);
    }
    let path = home.join("books/fed/state.json");
    fs::write(path, canonical::to_vec(&state).unwrap()).unwrap();
}

/// An answer's status and body; `kept` has what was read beyond an earlier one.
async fn answer(stream: &mut TcpStream, kept: &mut Vec<u8>) -> (u16, String) {
    loop {
        let text = String::from_utf8_lossy(kept).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            });
            let length: usize = length.unwrap_or(0);
            if rest.len() >= length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let body = rest[..length].to_owned();
                kept.drain(..head.len() + 4 + length);
                return (status, body);
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(
            read > 0,
            "the coordinator closed the connection of a waiting node"
        );
        kept.extend_from_slice(&piece[..read]);
    }
}

/// Asks for a job again and again, until the federation is stopped.
async fn wait(number: usize, address: SocketAddr, host: String, asked: Arc<AtomicUsize>) {
    let key = key(number);
    let target = Target {
        address,
        host,
        key: &key,
        fields: "",
    };
    let socket = TcpSocket::new_v4().unwrap();
    let own = u8::try_from(2 + number / OF_ADDRESS).unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, own], 0)))
        .unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut kept = Vec::new();
    let mut first = true;
    loop {
        let request = target.request("POST /federation/v1/fed/next", b"{}");
        stream.write_all(&request).await.unwrap();
        if first {
            asked.fetch_add(1, Ordering::SeqCst);
            first = false;
        }
        let (status, body) = answer(&mut stream, &mut kept).await;
        assert_eq!(status, 200, "{body}");
        if body.contains("\"stopped\"") {
            return;
        }
    }
}

/// Processor time of a program so far, seconds.
fn spent(server: &Started) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    // The name in parentheses may have blanks.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks = |at: usize| -> f64 { rest.split_whitespace().nth(at).unwrap().parse().unwrap() };
    (ticks(11) + ticks(12)) / TICKS
}

#[test]
fn waiting_nodes_cost_little_and_hear_at_once() {
    more_files();
    let sizes = Sizes::read();
    let home = home();
    let home = home.path();
    let open = SMALL.replace("clients = 2", &format!("clients = {}", sizes.enrolled));
    fs::write(home.join("fed.toml"), format!("{open}[federation.nodes]\n")).unwrap();
    fs::create_dir(home.join("runs")).unwrap();
    let wire = Wire::new();
    let mut server = serve_with(home, &wire, &["--connections", "4096"]);
    // Nodes reach it directly: nothing of what they send is looked at.
    let (address, host) = (wire.coordinator(), wire.address.to_string());
    let said = server.says("the administrator's token");
    fs::write(home.join("token"), said.rsplit(' ').next().unwrap()).unwrap();
    federation(home, &["create", "fed.toml"]);
    enrol(home, sizes.enrolled);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let nodes: Vec<_> = (0..sizes.nodes)
        .map(|number| runtime.spawn(wait(number, address, host.clone(), asked.clone())))
        .collect();
    let begun = Instant::now();
    while asked.load(Ordering::SeqCst) < sizes.nodes {
        assert!(begun.elapsed() < LONG, "{asked:?} of {} asked", sizes.nodes);
        std::thread::sleep(Duration::from_millis(50));
    }
    // What the first questions cost is not what waiting costs.
    std::thread::sleep(Duration::from_secs(2));
    assert!(sockets(&server) >= sizes.nodes);
    let (before, begun) = (spent(&server), Instant::now());
    std::thread::sleep(Duration::from_secs(sizes.seconds));
    let share = (spent(&server) - before) / begun.elapsed().as_secs_f64();
    let rss = resident(&server) as f64 / 1024.0;

    let url = format!("http://{address}");
    let stop = [
        "federation",
        "stop",
        "fed",
        "--server",
        &url,
        "--token-file",
        "token",
    ];
    let begun = Instant::now();
    ok(home, &stop);
    runtime.block_on(async {
        for node in nodes {
            let waited = tokio::time::timeout(LONG, node).await;
            waited.expect("a node was not told").unwrap();
        }
    });
    let told = begun.elapsed().as_secs_f64();
    // Questions that nobody wakes wait longer.
    assert!(told < 3.0, "{told} s until all had heard");
    // There is no run yet, which is no fault.
    let said = server.said();
    assert!(
        said.iter().all(|line| !line.contains("run.json")),
        "{said:#?}"
    );
    println!(
        "idle: nodes {}, enrolled {}, rss_mb {rss:.1}, core_share {share:.4}, told_seconds {told:.2}",
        sizes.nodes, sizes.enrolled
    );
}

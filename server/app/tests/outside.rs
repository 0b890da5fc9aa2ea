//! Bounds on the memory and time that input of strangers may cost. The programs themselves are started,
//! and their largest resident memory and open sockets are read from the system.
//!
//! A case is one line of [`CASES`]. The last line of the output sums them up.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fedseal_client_sdk::keys::P256Key;

/// Resident memory of any program, most, MiB.
const MOST_MB: u64 = 512;
/// Seconds that the servers are told to wait for a client.
const PATIENCE: u64 = 2;
/// Time after that in which a connection may still be open on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

/// Attempt on a program.
enum Case {
    /// `POST /api/modules` with this body; the server refuses it.
    Submit(&'static str, fn() -> Vec<u8>),
    /// The words of a command, and the file that it is given; it fails.
    Command(&'static str, fn(&Path) -> Vec<String>),
    /// So many clients of `fedseal serve` that send this and then neither send nor read.
    Serve(&'static str, u8, &'static [u8]),
    /// As `Serve`, of `fedseal log witness`.
    Witness(&'static str, u8, &'static [u8]),
}

const CASES: &[Case] = &[
    Case::Submit("an envelope of empty arrays", || around("[],", "0")),
    Case::Submit("an envelope of small objects", || around("{\"\":0},", "0")),
    Case::Submit("an envelope of nested objects", || {
        around(&nested(100), "0")
    }),
    Case::Submit("a million signatures", || {
        let signatures = repeated("{\"keyid\":\"\",\"sig\":\"\"},", 24 << 20, "0");
        let head =
            "{\"module\":\"\",\"envelope\":{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":";
        [head.as_bytes(), &signatures, b"}}"].concat()
    }),
    Case::Submit("an unsigned module of the largest size", || {
        let head = "{\"envelope\":null,\"module\":\"";
        [head.as_bytes(), &vec![b'A'; 32 << 20], b"\"}"].concat()
    }),
    Case::Command("a model.sig with a large log entry", |dir| {
        let entries = String::from_utf8(repeated("{\"\":0},", 15 << 20, "0")).unwrap();
        let text = format!(
            "{{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\
             \"verificationMaterial\":{{\"publicKey\":{{\"hint\":null}},\"tlogEntries\":{entries}}},\
             \"dsseEnvelope\":{{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[]}}}}"
        );
        fs::write(dir.join("model.sig"), text).unwrap();
        let key = dir.join("key.pem");
        fs::write(&key, P256Key::generate().unwrap().public().to_pem()).unwrap();
        words(&["verify", &shown(dir), "--key", &shown(&key)])
    }),
    Case::Command("an OCI index of nested objects", |dir| {
        let more = String::from_utf8(repeated(&nested(100), 3_900_000, "0")).unwrap();
        let index = format!("{{\"schemaVersion\":2,\"more\":{more},\"manifests\":[]}}");
        fs::write(dir.join("index.json"), index).unwrap();
        fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        words(&["policy", "inspect", &format!("oci:{}", dir.display())])
    }),
    Case::Command("a module of a gigabyte of nothing", |dir| {
        words(&["policy", "inspect", &sparse(dir, "module.wasm")])
    }),
    Case::Command("a statement about a key of a gigabyte", |dir| {
        words(&["key", "accept", &sparse(dir, "statement.json")])
    }),
    Case::Command("a proof of a gigabyte", |dir| {
        words(&["log", "check", &sparse(dir, "a.tlog-proof")])
    }),
    Case::Command("a policy of witnesses of a gigabyte", |dir| {
        let policy = sparse(dir, "policy");
        let proof = dir.join("proof");
        fs::write(
            &proof,
            "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n\no\n1\nAA==\n\n",
        )
        .unwrap();
        words(&["log", "check", &shown(&proof), "--policy", &policy])
    }),
    Case::Serve(
        "half a submission",
        12,
        b"POST /api/modules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ),
    Case::Serve(
        "a large answer that nobody reads",
        48,
        b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    Case::Serve("many answers that nobody reads", 12, &PIPELINED),
    Case::Serve("half a head", 12, b"GET /api/ru"),
    Case::Serve("nothing", 12, b""),
    Case::Witness(
        "half a checkpoint",
        12,
        b"POST /add-checkpoint HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nold 0",
    ),
    Case::Witness("half a head to a witness", 12, b"POST /add"),
];

/// Bytes of the page that nobody reads: more than the system's buffers take.
const LARGE: u64 = 16 << 20;

const ASK: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Requests one after the other, on one connection.
static PIPELINED: [u8; ASK.len() * 400] = pipelined();

const fn pipelined() -> [u8; ASK.len() * 400] {
    let mut all = [0; ASK.len() * 400];
    let mut at = 0;
    while at < all.len() {
        all[at] = ASK[at % ASK.len()];
        at += 1;
    }
    all
}

#[test]
fn strangers_cost_bounded_memory_and_nobodys_time() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let web = home.join("web");
    fs::create_dir(&web).unwrap();
    fs::create_dir(home.join("runs")).unwrap();
    fs::write(web.join("index.html"), vec![b' '; 60 << 10]).unwrap();
    let large = File::create(web.join("large.bin")).unwrap();
    large.set_len(LARGE).unwrap();
    let patience = PATIENCE.to_string();
    let serve = Server::start(
        home,
        &[
            "serve",
            "--runs",
            "runs",
            "--web",
            "web",
            "--addr",
            "127.0.0.1:0",
            "--patience",
            &patience,
        ],
    );
    let witness = Server::start(
        home,
        &[
            "log",
            "witness",
            "--init",
            "--state",
            "state",
            "--name",
            "w.example",
            "--addr",
            "127.0.0.1:0",
            "--patience",
            &patience,
        ],
    );
    let quiet = [serve.quiet(), witness.quiet()];

    // The slow clients first: their time passes while the rest is done.
    let begun = Instant::now();
    let mut peaks: Vec<(&str, u64)> = Vec::new();
    let mut clients = Vec::new();
    for case in CASES {
        let (server, name, count, bytes) = match case {
            Case::Serve(name, count, bytes) => (&serve, name, count, bytes),
            Case::Witness(name, count, bytes) => (&witness, name, count, bytes),
            Case::Submit(..) | Case::Command(..) => continue,
        };
        for client in 0..*count {
            // Sixteen of an address, at most.
            let mut stream = from(2 + client / 16, server.address);
            // The server may have enough of it before it has all.
            let _ = stream.write_all(bytes);
            clients.push(stream);
        }
        println!("{count:>3} clients  {name}");
    }
    let answer = get(from(1, serve.address), "/api/modules");
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "others are served: {answer}"
    );

    for case in CASES {
        match case {
            Case::Submit(name, body) => {
                let answer = post(from(9, serve.address), &body());
                let refused = ["HTTP/1.1 400", "HTTP/1.1 403", "HTTP/1.1 413"];
                assert!(
                    refused.iter().any(|s| answer.starts_with(s)),
                    "{name}: {answer}"
                );
                peaks.push((name, serve.peak_mb()));
            }
            Case::Command(name, make) => {
                let dir = tempfile::tempdir().unwrap();
                let words = make(dir.path());
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                peaks.push((name, command_peak_mb(home, &words)));
            }
            Case::Serve(..) | Case::Witness(..) => {}
        }
    }
    let deadline = Duration::from_secs(PATIENCE) + SLACK;
    let open = || {
        [&serve, &witness]
            .iter()
            .zip(quiet)
            .map(|(server, quiet)| server.sockets().saturating_sub(quiet))
            .sum::<usize>()
    };
    while open() > 0 && begun.elapsed() < deadline {
        sleep(Duration::from_millis(50));
    }
    let stuck = open();
    drop(clients);
    peaks.push(("fedseal serve", serve.peak_mb()));
    peaks.push(("fedseal log witness", witness.peak_mb()));
    let peak = peaks.iter().map(|(_, mb)| *mb).max().unwrap_or(0);
    for (name, mb) in &peaks {
        println!("{mb:>6} MiB  {name}");
    }
    println!(
        "outside: peak_mb={peak} stuck={stuck} cases={}",
        CASES.len()
    );
    if let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") {
        let counts = serde_json::json!({"peak_mb": peak, "stuck": stuck, "cases": CASES.len()});
        fs::write(Path::new(&folder).join("outside.json"), counts.to_string()).unwrap();
    }
    assert!(peak < MOST_MB, "{peaks:?}");
    assert_eq!(stuck, 0, "connections outlived their deadline");
}

/// A server that is stopped when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    /// Kept open: the server goes on writing to it.
    _said: Lines<BufReader<ChildStdout>>,
}

/// The program, in a folder and with keys of its own.
fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedseal"));
    command.args(words);
    command.env("FEDSEAL_HOME", home.join("keys"));
    command.current_dir(home);
    command
}

impl Server {
    fn start(home: &Path, words: &[&str]) -> Server {
        let mut child = command(home, words).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://").map(|parts| parts.1.to_owned()))
            .expect("it says where it listens");
        Server {
            child,
            address: address.parse().unwrap(),
            _said: said,
        }
    }

    fn peak_mb(&self) -> u64 {
        peak_mb(self.child.id()).unwrap()
    }

    /// The sockets that it has without a client, once it has answered one.
    fn quiet(&self) -> usize {
        get(from(1, self.address), "/");
        loop {
            let now = self.sockets();
            sleep(Duration::from_millis(200));
            if self.sockets() == now {
                return now;
            }
        }
    }

    fn sockets(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .flatten()
            .filter(|entry| {
                fs::read_link(entry.path())
                    .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
            })
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The largest resident memory of a process so far, MiB.
fn peak_mb(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

/// Runs a command, which must fail, to its end; its memory is looked at all the while.
fn command_peak_mb(home: &Path, words: &[&str]) -> u64 {
    let mut child = command(home, words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_mb(child.id()).unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => sleep(Duration::from_millis(1)),
        }
    };
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(
        !status.success() && status.code().is_some(),
        "{words:?}: {said}"
    );
    assert!(!said.contains("panicked"), "{words:?}: {said}");
    peak
}

/// A connection from one of this machine's own addresses.
fn from(last: u8, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let own = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        socket.bind(SocketAddr::new(own, 0)).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_write_timeout(Some(SLACK)).unwrap();
    stream.set_read_timeout(Some(SLACK)).unwrap();
    stream
}

fn get(mut stream: TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    answer(stream)
}

fn post(mut stream: TcpStream, body: &[u8]) -> String {
    let head = format!(
        "POST /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(body);
    answer(stream)
}

fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A JSON array of this, so many bytes long.
fn repeated(item: &str, bytes: usize, last: &str) -> Vec<u8> {
    let items = item.repeat(bytes / item.len());
    format!("[{items}{last}]").into_bytes()
}

/// A submission of 32 MB whose envelope is an array of this.
fn around(item: &str, last: &str) -> Vec<u8> {
    let envelope = repeated(item, 32_000_000, last);
    [
        b"{\"module\":\"\",\"envelope\":".as_slice(),
        &envelope,
        b"}",
    ]
    .concat()
}

/// Objects in each other, and a comma.
fn nested(depth: usize) -> String {
    format!("{}0{},", "{\"\":".repeat(depth), "}".repeat(depth))
}

/// A file of a gigabyte that takes no room on the disk.
fn sparse(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    shown(&path)
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

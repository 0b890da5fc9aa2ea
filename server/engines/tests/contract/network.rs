//! Real servers: nats-server and two that speak S3 (moto, SeaweedFS), from PyPI (`tests/oracles/engines`), in the
//! folder that FEDSEAL_ENGINES_BIN names, else found by the shell. With that, or with FEDSEAL_REQUIRE_ORACLES=1, an
//! absent one is a failure.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::Error;
use fedseal_engines::helper::{Helper, Place};
use fedseal_engines::queue::{Lease, Queue as _};

use crate::{queue, store};

pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_fedseal-engines");
/// Longest start of a server.
pub(crate) const START: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

/// A server that is killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of a server, where it is there.
fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("FEDSEAL_ENGINES_BIN")
        .into_iter()
        .chain(std::env::var_os("PATH"));
    let found = folders
        .flat_map(|all| std::env::split_paths(&all).collect::<Vec<_>>())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let needed = ["FEDSEAL_ENGINES_BIN", "FEDSEAL_REQUIRE_ORACLES"];
        assert!(
            needed.iter().all(|it| std::env::var_os(it).is_none()),
            "{name} is not there; see tests/oracles/engines/README.md"
        );
        eprintln!("left out: {name} is not there");
    }
    found
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn started(mut command: Command, port: u16) -> Server {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server { child, port };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < START, "{command:?} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

fn nats(folder: &Path, port: u16) -> Option<Server> {
    let mut command = Command::new(program("nats-server")?);
    command
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder);
    Some(started(command, port))
}

/// Opens a queue of its own at a server.
fn opened(server: &Server, name: &str, lease: Duration) -> fedseal_engines::Result<Helper> {
    let url = format!("nats://127.0.0.1:{}?queue={name}", server.port);
    Helper::start_with(HELPER, &Place::queue(&url, lease, None))
}

#[test]
fn jetstream_keeps_the_contract_of_a_queue() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = nats(dir.path(), free_port()) else {
        return;
    };
    let number = AtomicU32::new(0);
    queue::holds(&|lease| {
        let name = format!("contract-{}", number.fetch_add(1, Ordering::Relaxed));
        Box::new(opened(&server, &name, lease).unwrap())
    });
}

#[test]
fn a_queue_with_other_settings_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = nats(dir.path(), free_port()) else {
        return;
    };
    let first = opened(&server, "own", Duration::from_secs(30)).unwrap();
    let job = Digest::of(b"a");
    first.offer(&job, b"").unwrap();
    let said = opened(&server, "own", Duration::from_secs(5)).unwrap_err();
    assert!(matches!(said, Error::Unfit { .. }), "{said}");
    let said = said.to_string();
    assert!(
        said.contains("ack_wait (the lease) is 30s and has to be 5s"),
        "{said}"
    );
    // The lease of those that are there is what it was.
    let second = opened(&server, "own", Duration::from_secs(30)).unwrap();
    assert_eq!(second.take(SOON).unwrap().unwrap().seconds, 30.0);
    let said = opened(&server, "a.b", SOON).unwrap_err().to_string();
    assert!(said.contains("the queue's name"), "{said}");
}

#[test]
fn a_killed_server_loses_no_job_and_brings_back_none_that_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(mut server) = nats(dir.path(), port) else {
        return;
    };
    let queue = opened(&server, "kills", SOON).unwrap();
    let job = |n: u32| Digest::of(&n.to_le_bytes());
    for n in 0..30 {
        queue.offer(&job(n), &n.to_le_bytes()).unwrap();
    }
    let mut done = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            let taken = queue.take(SOON).unwrap().unwrap();
            queue.settle(&taken.lease, Lease::Finish).unwrap();
            assert!(!done.contains(&taken.job), "round {round}: it was done");
            done.push(taken.job);
        }
        // SIGKILL, as `Child::kill` sends it.
        drop(server);
        server = nats(dir.path(), port).unwrap();
        // The client comes back by itself; until then a call fails and may be made again.
        let begun = Instant::now();
        let left = loop {
            match queue.outstanding() {
                Ok(left) => break left,
                Err(error) => assert!(error.is_passing() && begun.elapsed() < START, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!(left.len(), 30 - done.len());
        assert!(done.iter().all(|job| !left.contains(job)));
        // A job that is queued is not queued twice by an offer that is made again.
        for job in &left {
            queue.offer(job, b"again").unwrap();
        }
        assert_eq!(queue.outstanding().unwrap(), left);
    }
    drop(server);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let place = Place::queue(
        &format!("nats://me:secret@127.0.0.1:{}", free_port()),
        SOON,
        None,
    );
    let said = Helper::start_with(HELPER, &place).unwrap_err();
    assert!(said.is_passing(), "{said}");
    assert!(
        said.to_string().contains("does not answer") && !said.to_string().contains("secret"),
        "{said}"
    );
}

#[test]
fn a_queue_is_opened_over_tls_and_websockets_by_a_user_with_a_password() {
    let Some(program) = program("nats-server") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tls");
    let (port, web) = (free_port(), free_port());
    let config = dir.path().join("nats.conf");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?} }}\n\
         authorization {{ user: me, password: secret }}\n\
         tls {{ cert_file: {:?}, key_file: {:?} }}\n\
         websocket {{ listen: \"127.0.0.1:{web}\", no_tls: true }}\n",
        dir.path().join("store"),
        tls.join("server.pem"),
        tls.join("server.key")
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&config);
    let _server = started(command, port);
    let trusting = format!("SSL_CERT_FILE={}", tls.join("ca.pem").display());
    let helper = with_environment(dir.path(), &trusting);
    let open = |helper: &Path, address: String| {
        Helper::start_with(helper, &Place::queue(&address, SOON, None))
    };
    let first = open(&helper, format!("tls://me:secret@127.0.0.1:{port}")).unwrap();
    let job = Digest::of(b"a");
    first.offer(&job, b"").unwrap();
    let second = open(&helper, format!("ws://me:secret@127.0.0.1:{web}")).unwrap();
    assert_eq!(second.take(SOON).unwrap().unwrap().job, job);

    let said = open(&helper, format!("tls://me:another@127.0.0.1:{port}")).unwrap_err();
    assert!(matches!(said, Error::Unfit { .. }), "{said}");
    assert!(!said.to_string().contains("another"), "{said}");
    let address = format!("tls://me:secret@127.0.0.1:{port}");
    let said = open(Path::new(HELPER), address).unwrap_err().to_string();
    assert!(said.contains("certificate"), "{said}");
}

/// The helper with more in its environment.
pub(crate) fn with_environment(dir: &Path, variables: &str) -> PathBuf {
    let script = dir.join("helper.sh");
    let text = format!("#!/bin/sh\nexport {variables}\nexec {HELPER} \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    script
}

/// Makes a bucket; a server that has just begun may not answer yet.
fn bucket(port: u16) {
    let begun = Instant::now();
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let request = "PUT /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_string(&mut answer);
        }
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(begun.elapsed() < START, "no bucket: {answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The helper for a store at this port.
fn at(dir: &Path, port: u16) -> PathBuf {
    with_environment(
        dir,
        &format!(
            "AWS_ENDPOINT_URL=http://127.0.0.1:{port} AWS_ALLOW_HTTP=true AWS_REGION=us-east-1 \
             AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=testtest"
        ),
    )
}

fn keeps_the_store(dir: &Path, port: u16) {
    bucket(port);
    let helper = at(dir, port);
    let place = Place::store("s3://jobs/some/where");
    store::holds(&Helper::start_with(&helper, &place).unwrap());
    store::holds_again(&Helper::start_with(&helper, &place).unwrap());
    let said = Helper::start_with(&helper, &Place::store("s3://none/at/all")).unwrap_err();
    assert!(matches!(said, Error::Unfit { .. }), "{said}");
}

#[test]
fn moto_keeps_the_contract_of_a_store() {
    let Some(moto) = program("moto_server") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(moto);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let server = started(command, port);
    keeps_the_store(dir.path(), server.port);
}

#[test]
fn seaweedfs_keeps_the_contract_of_a_store() {
    let Some(weed) = program("weed") else { return };
    let dir = tempfile::tempdir().unwrap();
    // Each has a second port, 10,000 above; those below are seldom used.
    let at = |n: u16| 21_000 + (std::process::id() % 500) as u16 * 8 + n;
    let port = at(3);
    let mut command = Command::new(weed);
    command.args([
        "server",
        "-ip",
        "127.0.0.1",
        "-ip.bind",
        "127.0.0.1",
        "-filer",
        "-s3",
    ]);
    for (n, name) in ["master", "volume", "filer", "s3"].iter().enumerate() {
        command.arg(format!("-{name}.port={}", at(n as u16)));
    }
    command.arg(format!("-dir={}", dir.path().display()));
    let server = started(command, port);
    keeps_the_store(dir.path(), server.port);
}

/// Ways of a store with the condition that an object is not there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Store {
    /// It keeps it, and loses its answer to the first write.
    LosesAnAnswer,
    /// It looks first and writes a moment later.
    LooksAndWrites,
    /// It does not know it.
    Ignores,
}

/// A store of one bucket in this process; its port.
fn storing(kind: Store) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let writes = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (objects, writes) = (objects.clone(), writes.clone());
            std::thread::spawn(move || answer(kind, stream, &objects, &writes));
        }
    });
    port
}

/// Answers one request.
fn answer(
    kind: Store,
    stream: TcpStream,
    objects: &Mutex<HashMap<String, Vec<u8>>>,
    writes: &AtomicU32,
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut condition, mut line) = (0, false, String::new());
    lines.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    loop {
        line.clear();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "if-none-match" => condition = kind != Store::Ignores,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    let there = objects.lock().unwrap().get(&path).cloned();
    let (status, body) = match method.as_str() {
        "PUT" if condition && there.is_some() => ("412 Precondition Failed", Vec::new()),
        "PUT" => {
            if kind == Store::LooksAndWrites {
                std::thread::sleep(Duration::from_millis(400));
            }
            let mut objects = objects.lock().unwrap();
            if condition && kind == Store::LosesAnAnswer && objects.contains_key(&path) {
                ("412 Precondition Failed", Vec::new())
            } else {
                objects.insert(path, body);
                if kind == Store::LosesAnAnswer && writes.fetch_add(1, Ordering::SeqCst) == 0 {
                    return None;
                }
                ("200 OK", Vec::new())
            }
        }
        "GET" => match there {
            Some(bytes) => ("200 OK", bytes),
            None => ("404 Not Found", Vec::new()),
        },
        _ => ("200 OK", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"x\"\r\nLast-Modified: Mon, 02 Feb 2026 03:04:05 GMT\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}

/// Two that ask at once must not both be the first; whoever lost an answer is no reason to refuse a store.
#[test]
fn a_store_keeps_conditions_also_at_once_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [Store::LosesAnAnswer, Store::LooksAndWrites, Store::Ignores] {
        let folder = dir.path().join(format!("{kind:?}"));
        std::fs::create_dir(&folder).unwrap();
        let helper = at(&folder, storing(kind));
        let opened = Helper::start_with(&helper, &Place::store("s3://jobs/p"));
        match (kind, opened) {
            (Store::LosesAnAnswer, opened) => drop(opened.unwrap()),
            (_, Err(Error::Unfit { detail, .. })) => {
                assert!(detail.contains("If-None-Match"), "{kind:?}: {detail}");
            }
            (_, opened) => panic!("{kind:?}: {:?}", opened.map(drop)),
        }
    }
}

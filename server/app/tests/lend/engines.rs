//! Servers of queues and stores from PyPI (tests/oracles/engines), where they are there.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program in the folder of FEDSEAL_ENGINES_BIN, else of PATH. None, with words, where it or the helper of
/// FEDSEAL_ENGINES is not there; with FEDSEAL_ENGINES_BIN or FEDSEAL_REQUIRE_ORACLES that is a failure.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("FEDSEAL_ENGINES_BIN").or_else(|| std::env::var_os("PATH"));
    let program = std::env::split_paths(&folders?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    let helper = std::env::var_os("FEDSEAL_ENGINES").is_some();
    let found = program.filter(|_| helper);
    if found.is_none() {
        let needed = ["FEDSEAL_ENGINES_BIN", "FEDSEAL_REQUIRE_ORACLES"];
        assert!(
            needed.iter().all(|it| std::env::var_os(it).is_none()),
            "{name} or FEDSEAL_ENGINES is not there; see tests/oracles/engines/README.md"
        );
        eprintln!("left out: {name} or the helper is not there");
    }
    found
}

/// A port that nobody listens on.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A NATS server that is killed when dropped.
pub(crate) struct Nats {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Nats {
    /// A server with its storage in this folder; none where its program is not there.
    pub(crate) fn start(folder: &Path) -> Option<Nats> {
        let program = program("nats-server")?;
        let port = port();
        let child = started(&program, folder, port);
        Some(Nats {
            program,
            folder: folder.to_owned(),
            port,
            child,
        })
    }

    /// Its address, with the name of a queue.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}?queue=test", self.port)
    }

    /// Kills it (SIGKILL), and starts it again on the same storage.
    pub(crate) fn kill(&mut self) {
        self.end();
        self.child = started(&self.program, &self.folder, self.port);
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.end();
    }
}

fn started(program: &Path, folder: &Path, port: u16) -> Child {
    let child = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

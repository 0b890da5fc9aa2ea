//! Servers of queues and stores from PyPI, and PostgreSQL from Debian (tests/oracles/engines), where they are there.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest start of a server.
const START: Duration = Duration::from_secs(60);

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

/// Whether FEDSEAL_ENGINES names the helper, for a test that needs no other program of those.
pub(crate) fn helper() -> bool {
    let found = std::env::var_os("FEDSEAL_ENGINES").is_some();
    if !found {
        let needed = std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_some();
        assert!(
            !needed,
            "FEDSEAL_ENGINES is not set; see tests/oracles/engines/README.md"
        );
        eprintln!("left out: the helper is not there");
    }
    found
}

/// A port that nobody listens on now.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A NATS server that is killed when dropped.
pub(crate) struct Nats {
    program: PathBuf,
    folder: PathBuf,
    /// `nats://127.0.0.1:PORT`
    address: String,
    child: Child,
}

impl Nats {
    /// A server with its storage in this folder; none where its program is not there.
    pub(crate) fn start(folder: &Path) -> Option<Nats> {
        let program = program("nats-server")?;
        // It takes a free port itself: one that is looked for before may be another's when it listens.
        let (child, address) = started(&program, folder, "-1");
        Some(Nats {
            program,
            folder: folder.to_owned(),
            address,
            child,
        })
    }

    /// Its address, with the name of a queue.
    pub(crate) fn url(&self) -> String {
        format!("{}?queue=test", self.address)
    }

    /// Kills it (SIGKILL), and starts it again on the same storage and port.
    pub(crate) fn kill(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "nats-server had ended: {ended:?}");
        self.end();
        let port = self.address.rsplit(':').next().unwrap();
        (self.child, self.address) = started(&self.program, &self.folder, port);
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

/// A server that listens, and its address. It is started again while somebody else has its port.
fn started(program: &Path, folder: &Path, port: &str) -> (Child, String) {
    let ports = folder.join("ports");
    let begun = Instant::now();
    loop {
        // Files of servers that were killed stay.
        let _ = fs::remove_dir_all(&ports);
        fs::create_dir_all(&ports).unwrap();
        let mut child = Command::new(program)
            .args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"])
            .arg(folder)
            .arg("--ports_file_dir")
            .arg(&ports)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if let Some(address) = address(&ports) {
                return (child, address);
            }
            if begun.elapsed() > START {
                let _ = child.kill();
                let _ = child.wait();
                panic!("nats-server does not listen at port {port}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(begun.elapsed() < START, "nats-server ends at port {port}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The address in the file that nats-server writes once it listens; none while it is not there as a whole.
fn address(ports: &Path) -> Option<String> {
    let file = fs::read_dir(ports).ok()?.flatten().next()?;
    let ports: Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// A PostgreSQL server that ends when dropped.
pub(crate) struct Postgres {
    child: Child,
    bin: PathBuf,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// A server on this port of loopback, with a user, its password and a database of its own; none, with words, where
    /// its programs are not there. With FEDSEAL_POSTGRES_BIN or FEDSEAL_REQUIRE_ORACLES that is a failure.
    pub(crate) fn start(port: u16, user: &str, password: &str, database: &str) -> Option<Postgres> {
        let named = std::env::var_os("FEDSEAL_POSTGRES_BIN");
        let needed = named.is_some() || std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_some();
        let folders = named
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_default();
        let bin = std::env::split_paths(&folders).find(|folder| folder.join("initdb").is_file());
        let Some(bin) = bin else {
            assert!(
                !needed,
                "PostgreSQL is not there; see tests/oracles/engines/README.md"
            );
            eprintln!("left out: PostgreSQL is not there");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (data, secret) = (folder.path().join("data"), folder.path().join("password"));
        std::fs::write(&secret, password).unwrap();
        for path in [folder.path(), &secret] {
            as_nobody::give(path);
        }
        let made = command(&bin, "initdb", folder.path())
            .args([
                "-U",
                user,
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--pwfile"])
            .arg(&secret)
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let child = command(&bin, "postgres", folder.path())
            .args(["-p", &port.to_string(), "-c", "unix_socket_directories="])
            .args(["-c", "listen_addresses=127.0.0.1", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut started = Postgres { child, bin, folder };
        let statement = format!("CREATE DATABASE {database}");
        let mut asked = Command::new(started.bin.join("psql"));
        asked
            .args(["-X", "-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .args(["-U", user, "-d", "postgres", "-c", &statement])
            .env("PGPASSWORD", password)
            .stdin(Stdio::null());
        loop {
            let done = asked.output().unwrap();
            if done.status.success() {
                return Some(started);
            }
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(started.child.try_wait().unwrap().is_none(), "{said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A program of the server, in its folder and by its account.
fn command(bin: &Path, program: &str, folder: &Path) -> Command {
    let mut command = Command::new(bin.join(program));
    as_nobody::run(&mut command, folder);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its shared memory stays behind where it is killed.
        let _ = command(&self.bin, "pg_ctl", self.folder.path())
            .args(["stop", "-s", "-m", "immediate", "-D", "data"])
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The account nobody, for a server that does not run as root, where tests run as root.
#[cfg(unix)]
mod as_nobody {
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;
    use std::process::Command;

    const NOBODY: u32 = 65_534;

    /// Gives it a file that is root's.
    pub(super) fn give(path: &Path) {
        if path.metadata().unwrap().uid() == 0 {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Lets it run a program whose folder it was given.
    pub(super) fn run(command: &mut Command, folder: &Path) {
        if folder.metadata().unwrap().uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
    }
}

#[cfg(not(unix))]
mod as_nobody {
    pub(super) fn give(_path: &std::path::Path) {}
    pub(super) fn run(_command: &mut std::process::Command, _folder: &std::path::Path) {}
}

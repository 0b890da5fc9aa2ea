//! Servers of queues and stores from PyPI, and PostgreSQL from Debian (tests/oracles/engines), where they are there.

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

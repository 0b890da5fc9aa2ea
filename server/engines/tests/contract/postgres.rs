//! Records in a real PostgreSQL: the contract, and what went wrong on it elsewhere (tests/oracles/engines). Its
//! programs are in the folder that FEDSEAL_POSTGRES_BIN names, else in Debian's or found by the shell. With that, or
//! with FEDSEAL_REQUIRE_ORACLES=1, an absent one is a failure.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fedseal_engines::Error;
use fedseal_engines::helper::{Access, Helper, Place};
use fedseal_engines::records::{Records, Table};
use fedseal_registry::Sqlite;

use crate::network::{HELPER, START, Server, free_port, with_environment};
use crate::records::{self, module};

/// Account of the server's program where tests run as root, as which it does not run: nobody.
const NOBODY: u32 = 65_534;
const PASSWORD: &str = "s3cret/of@a?test";

/// The folder of PostgreSQL's programs, where it is there.
fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("FEDSEAL_POSTGRES_BIN").map(PathBuf::from);
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named
        .clone()
        .into_iter()
        .chain(debian)
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file());
    if found.is_none() {
        assert!(
            named.is_none() && std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
            "PostgreSQL is not there; see tests/oracles/engines/README.md"
        );
        eprintln!("left out: PostgreSQL is not there");
    }
    found
}

/// A cluster of databases, and its server while that runs.
struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Server>,
}

impl Postgres {
    /// Makes a cluster whose user `fedseal` has a password, and starts it.
    fn start() -> Option<Postgres> {
        let mut made = Postgres {
            programs: programs()?,
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            settings: Vec::new(),
            server: None,
        };
        let password = made.folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        made.own(made.folder.path());
        made.own(&password);
        let mut init = made.command("initdb");
        init.args(["-U", "fedseal", "-A", "scram-sha-256", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(made.data());
        let done = init.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        made.run();
        Some(made)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives a file to the server's account.
    fn own(&self, path: &Path) {
        use std::os::unix::fs::{MetadataExt as _, chown};
        if path.metadata().unwrap().uid() == 0 {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn command(&self, program: &str) -> Command {
        use std::os::unix::fs::MetadataExt as _;
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(self.programs.join(program));
        // The owner of the folder, which `own` gave away where this is root.
        if self.folder.path().metadata().unwrap().uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.folder.path());
        command
    }

    /// Starts the server. Sessions of one that was killed may be in its way for a moment.
    fn run(&mut self) {
        let begun = Instant::now();
        while !self.runs() {
            assert!(begun.elapsed() < START, "it does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts the server and waits until it answers, or ends.
    fn runs(&mut self) -> bool {
        let child = self
            .command("postgres")
            .args(["-p", &self.port.to_string()])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "listen_addresses=127.0.0.1", "-D"])
            .arg(self.data())
            .args(self.settings.iter().flat_map(|it| ["-c", it.as_str()]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server {
            child,
            port: self.port,
        };
        let begun = Instant::now();
        while self.asked("postgres", "SELECT 1").is_err() {
            if server.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(begun.elapsed() < START, "it does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(server);
        true
    }

    /// SIGKILL, as `Child::kill` sends it. Its sessions' processes notice, and end.
    fn kill(&mut self) {
        self.server = None;
    }

    fn asked(&self, database: &str, statement: &str) -> Result<String, String> {
        let done = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-U", "fedseal", "-h", "127.0.0.1"])
            .args([
                "-p",
                &self.port.to_string(),
                "-d",
                database,
                "-c",
                statement,
            ])
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (&done.stdout, &done.stderr);
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(out).trim().to_owned()),
            false => Err(String::from_utf8_lossy(err).trim().to_owned()),
        }
    }

    fn ask(&self, database: &str, statement: &str) -> String {
        self.asked(database, statement).unwrap()
    }

    /// Makes a database; its address.
    fn database(&self, name: &str) -> String {
        self.ask("postgres", &format!("CREATE DATABASE {name}"));
        self.address(name)
    }

    fn address(&self, database: &str) -> String {
        let escaped = "s3cret%2Fof%40a%3Ftest";
        format!(
            "postgres://fedseal:{escaped}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Ends the session that holds the writer's lock.
    fn end_lock(&self, database: &str) {
        let ended = self.ask(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        assert_eq!(ended, "t", "one session has it");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its shared memory stays behind where it is killed.
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-s", "-m", "immediate", "-D"]);
        let _ = stop.arg(self.data()).status();
    }
}

fn opened(address: &str, access: Access) -> fedseal_engines::Result<Helper> {
    Helper::start_with(HELPER, &Place::records(address, access))
}

fn writer(address: &str) -> Helper {
    opened(address, Access::Write).unwrap()
}

/// Calls until it succeeds, as long as what is in the way passes.
fn at_last<T>(call: impl Fn() -> fedseal_engines::Result<T>) -> T {
    let begun = Instant::now();
    loop {
        match call() {
            Ok(done) => return done,
            Err(error) => assert!(error.is_passing() && begun.elapsed() < START, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn postgresql_keeps_the_contract_of_records() {
    let Some(server) = Postgres::start() else {
        return;
    };
    // A database that sorts by a language, where the server knows one.
    let sorting = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C' TEMPLATE template0";
    let address = match server.asked("postgres", &format!("CREATE DATABASE contract {sorting}")) {
        Ok(_) => server.address("contract"),
        Err(_) => server.database("contract"),
    };
    let said = opened(&address, Access::Read).unwrap_err().to_string();
    assert!(said.contains("no registry yet"), "{said}");
    let own = writer(&address);
    records::holds(&own);
    // Readers beside the writer.
    let reader = opened(&address, Access::Read).unwrap();
    records::holds_again(&reader);
    let said = reader.add(Table::Modules, &module("x")).unwrap_err();
    assert!(said.to_string().contains("opened to be read"), "{said}");
    drop(own);
    records::holds_again(&writer(&address));

    // From there into SQLite and back.
    let dir = tempfile::tempdir().unwrap();
    let file = Sqlite::open(dir.path().join("r.sqlite")).unwrap();
    let second = writer(&server.database("second"));
    fedseal_engines::records::copy(&reader, &file).unwrap();
    records::are_copied(&file, &second);

    only_a_known_schema_is_used(&server);
    what_is_wrong_is_named(&server);
}

fn only_a_known_schema_is_used(server: &Postgres) {
    let address = server.database("schemas");
    drop(writer(&address));
    let steps = "UPDATE fedseal.schema_steps SET sha256";
    server.ask("schemas", &format!("{steps} = 'x' || sha256"));
    for access in [Access::Read, Access::Write] {
        let said = opened(&address, access).unwrap_err();
        assert!(matches!(said, Error::Unfit { .. }), "{said}");
        assert!(said.to_string().contains("step 1 of its schema"), "{said}");
    }
    server.ask("schemas", &format!("{steps} = substr(sha256, 2)"));
    drop(writer(&address));
    server.ask(
        "schemas",
        "INSERT INTO fedseal.schema_steps (number, sha256) VALUES (2, 'later')",
    );
    let said = opened(&address, Access::Read).unwrap_err().to_string();
    assert!(said.contains("take the newer program"), "{said}");
}

fn what_is_wrong_is_named(server: &Postgres) {
    let port = server.port;
    let good = server.address("none");
    server.ask(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    );
    server.ask("postgres", "CREATE USER guest PASSWORD 'guest'");
    let nobody = free_port();
    for (address, words) in [
        (good, "createdb"),
        (server.address("latin"), "encoding is LATIN1"),
        (
            format!("postgres://fedseal:wrong-secret@127.0.0.1:{port}/postgres"),
            "PGPASSFILE",
        ),
        (
            format!("postgres://guest:guest@127.0.0.1:{port}/postgres"),
            "GRANT CREATE ON DATABASE",
        ),
        (
            format!("postgres://fedseal:wrong-secret@127.0.0.1:{nobody}/postgres"),
            "does not answer",
        ),
        // The server has no TLS.
        (
            format!(
                "postgres://fedseal:wrong-secret@127.0.0.1:{port}/postgres?sslmode=verify-full"
            ),
            "TLS",
        ),
    ] {
        let said = opened(&address, Access::Write).unwrap_err().to_string();
        assert!(said.contains(words), "{words}: {said}");
        assert!(
            !said.contains("secret") && !said.contains("s3cret"),
            "{said}"
        );
    }
}

#[test]
fn a_session_goes_through_tls_with_a_certificate_that_holds() {
    let Some(mut server) = Postgres::start() else {
        return;
    };
    let address = server.database("tls");
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tls");
    // A key that others may read is refused.
    let key = server.folder.path().join("server.key");
    std::fs::copy(tls.join("server.key"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    server.own(&key);
    let certificate = server.folder.path().join("server.pem");
    std::fs::copy(tls.join("server.pem"), &certificate).unwrap();
    server.own(&certificate);
    server.settings = vec![
        "ssl=on".into(),
        format!("ssl_key_file={}", key.display()),
        format!("ssl_cert_file={}", certificate.display()),
    ];
    server.kill();
    server.run();

    let verified = format!("{address}?sslmode=verify-full");
    let ca = tls.join("ca.pem");
    drop(writer(&format!("{verified}&sslrootcert={}", ca.display())));
    let trusting = format!("SSL_CERT_FILE={}", ca.display());
    let helper = with_environment(server.folder.path(), &trusting);
    let place = Place::records(&verified, Access::Read);
    drop(Helper::start_with(&helper, &place).unwrap());
    let other = tls.join("other.pem");
    for address in [
        format!("{verified}&sslrootcert={}", other.display()),
        verified,
    ] {
        let said = opened(&address, Access::Read).unwrap_err();
        assert!(matches!(said, Error::Unfit { .. }), "{said}");
        assert!(
            said.to_string().contains("invalid peer certificate"),
            "{said}"
        );
    }
}

/// Another has the lock at once where its session ends; who had it before must not write beside.
#[test]
fn one_process_writes_and_no_other_beside_it() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let address = server.database("writers");
    let first = writer(&address);
    assert!(first.add(Table::Modules, &module("1")).unwrap());
    let said = opened(&address, Access::Write).unwrap_err();
    assert!(matches!(said, Error::Unfit { .. }), "{said}");
    assert!(
        said.to_string()
            .contains("another server writes it (process"),
        "{said}"
    );

    // Its session is lost, and nobody takes it: it goes on by itself.
    server.end_lock("writers");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(at_last(|| first.add(Table::Modules, &module("2"))));

    // Somebody waits for it, and takes it.
    let sessions = || {
        server.ask(
            "writers",
            "SELECT count(*) FROM pg_stat_activity
             WHERE application_name = 'fedseal' AND datname = current_database()",
        )
    };
    let (before, begun) = (sessions(), Instant::now());
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| writer(&address));
        while sessions() == before {
            assert!(begun.elapsed() < START, "it does not come");
        }
        server.end_lock("writers");
        second.join().unwrap()
    });
    let passed = "another server has become the writer (process";
    let said = first.add(Table::Modules, &module("3")).unwrap_err();
    assert!(said.to_string().contains(passed), "{said}");
    assert!(second.add(Table::Modules, &module("4")).unwrap());
    while let Ok(()) = first.ready() {
        assert!(begun.elapsed() < START, "it says so by itself, too");
        std::thread::sleep(Duration::from_millis(100));
    }
    // To read goes on, and to write does not when the second is gone.
    drop(second);
    assert_eq!(first.all(Table::Modules).unwrap().len(), 3);
    let said = first.add(Table::Modules, &module("5")).unwrap_err();
    assert!(said.to_string().contains(passed), "{said}");
}

#[test]
fn a_killed_server_loses_no_row_that_was_confirmed() {
    let Some(mut server) = Postgres::start() else {
        return;
    };
    let address = server.database("kills");
    let own = writer(&address);
    let (over, next) = (AtomicBool::new(false), AtomicU32::new(0));
    let confirmed = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut confirmed = Vec::new();
                    while !over.load(Ordering::SeqCst) {
                        let name = next.fetch_add(1, Ordering::SeqCst).to_string();
                        // A row of a call that failed may be there: the same call says so, and it is there once.
                        at_last(|| own.add(Table::Modules, &module(&name)));
                        confirmed.push(name);
                    }
                    confirmed
                })
            })
            .collect();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            server.kill();
            server.run();
        }
        over.store(true, Ordering::SeqCst);
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(confirmed.len() > 3, "{confirmed:?}");
    let all = at_last(|| own.all(Table::Modules));
    let mut names: Vec<String> = all.into_iter().map(|row| row[0].clone()).collect();
    names.sort();
    let mut wanted = confirmed;
    wanted.sort();
    assert_eq!(names, wanted);
    at_last(|| own.ready());
}

//! A registry that we did not write: Debian's docker-registry, for the tests of two crates.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// A running registry, which ends with its value.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
    /// Its files.
    pub(crate) folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one on a free port; `more` are lines of its configuration, and of the part `http`.
    pub(crate) fn start(more: &str, http: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another program may take the port in between: then the registry does not start, and says so.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let files = folder.path().display();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  \
             filesystem:\n    rootdirectory: {files}/data\nhttp:\n  addr: {address}\n{http}{more}"
        );
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        // It tells of every name that is not there, which the tests ask for on purpose.
        let log = folder.path().join("log");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut registry = Self {
            child,
            address,
            folder,
        };
        let started = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            let ended = registry.child.try_wait().unwrap();
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "the registry ended: {ended:?}: {}", said());
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "it does not listen"
            );
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// A reference to something in it.
    pub(crate) fn place(&self, rest: &str) -> String {
        format!("oci:{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the programs are there.
pub(crate) fn oracles() -> bool {
    let there = |(program, word): (&str, &str)| {
        let mut command = Command::new(program);
        command
            .arg(word)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let programs = [
        ("docker-registry", "--version"),
        ("skopeo", "--version"),
        ("openssl", "version"),
    ];
    if programs.into_iter().all(there) {
        return true;
    }
    assert!(
        env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
        "docker-registry, skopeo or openssl is missing"
    );
    eprintln!("skipped: needs `apt-get install docker-registry skopeo openssl`");
    false
}

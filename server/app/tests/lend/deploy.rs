//! deploy/compose.yaml: its services as processes, with the same commands and the same environment. What a container
//! has of its own is put in place: names of hosts, ports, paths of volumes. No image is pulled or built.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fedseal_client_sdk::keys::SigningKey;
use serde_json::Value;

use crate::adapters;
use crate::engines::{Postgres, port, program};
use crate::program::small::home;

/// Longest wait for a service.
const LONG: Duration = Duration::from_secs(120);
/// Ports of the file's store.
const PORTS: [u16; 4] = [9333, 8080, 8888, 8333];
/// Starts of a service whose port somebody else has, most.
const TRIES: usize = 5;
/// Services that others reach by their names.
const HOSTS: [&str; 4] = ["coordinator", "records", "nats", "store"];
/// Folder of the image's modules and trust file.
const SHARE: &str = "/usr/share/fedseal";

/// The file, and what stands for containers here.
struct Compose {
    services: Value,
    /// Folder of volumes and logs.
    root: PathBuf,
    deploy: PathBuf,
    /// Folder of the servers' programs.
    bin: PathBuf,
    ports: BTreeMap<u16, u16>,
    variables: BTreeMap<String, String>,
}

/// A service that is killed when dropped.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn says(&mut self, words: &str) {
        let came = self.comes_to(words);
        assert!(came, "{words:?} was not said: {}", self.said());
    }

    /// Waits until it says these words; whether it did before it ended.
    fn comes_to(&mut self, words: &str) -> bool {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap().is_some();
            if self.said().contains(words) {
                return true;
            }
            if ended || begun.elapsed() > LONG {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ends(&mut self) {
        let begun = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return assert!(status.success(), "{}", self.said()),
                None => assert!(begun.elapsed() < LONG, "{}", self.said()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The file as Python's YAML reads it, which merges keys as compose does.
fn services(python: &Path, file: &Path) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let read = Command::new(python)
        .args(["-c", script])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    let file: Value = serde_json::from_slice(&read.stdout).unwrap();
    file["services"].clone()
}

/// Text with its variables: `${NAME}`, `${NAME:-other}`, `${NAME:?why it is needed}`.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (inner, after) = rest.split_once('}').unwrap();
    let name = inner.split(':').next().unwrap();
    let value = match (variables.get(name), inner.split_once(":-")) {
        (Some(value), _) => value.clone(),
        (None, Some((_, other))) => other.to_owned(),
        (None, None) => panic!("{inner}"),
    };
    format!("{before}{value}{}", filled(after, variables))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|it| it.as_str().unwrap().to_owned()).collect()
}

impl Compose {
    /// Folders of a service's volumes: each place in the container with its place here.
    fn mounts(&self, name: &str, number: usize) -> Vec<(String, PathBuf)> {
        let service = &self.services[name];
        let mut mounts = vec![(SHARE.to_owned(), self.root.join("share"))];
        for volume in texts(&service["volumes"]) {
            let mut parts = volume.split(':');
            let (from, to) = (parts.next().unwrap(), parts.next().unwrap());
            let here = match from {
                "." => self.deploy.clone(),
                named => self.root.join("volumes").join(named),
            };
            mounts.push((to.to_owned(), here));
        }
        for place in texts(&service["tmpfs"]) {
            let to = place.split(':').next().unwrap().to_owned();
            mounts.push((to, self.root.join(format!("volumes/{name}-{number}"))));
        }
        for (_, here) in &mounts {
            fs::create_dir_all(here).unwrap();
        }
        mounts
    }

    /// A word of a container as it is here.
    fn here(&self, word: &str, mounts: &[(String, PathBuf)]) -> String {
        let mut word = filled(word, &self.variables).replace("0.0.0.0", "127.0.0.1");
        for (port, here) in &self.ports {
            for host in HOSTS.iter().chain(&["localhost", "127.0.0.1"]) {
                word = word.replace(&format!("{host}:{port}"), &format!("127.0.0.1:{here}"));
            }
            word = word.replace(&format!("port={port}"), &format!("port={here}"));
            word = word.replace(&format!("-p={port}"), &format!("-p={here}"));
        }
        if word == "-ip=store" {
            return "-ip=127.0.0.1".into();
        }
        // A path is a whole word, or what comes after `=`.
        let (option, path) = match word.rfind("=/") {
            Some(at) => word.split_at(at + 1),
            None => ("", word.as_str()),
        };
        if !path.starts_with('/') {
            return word;
        }
        let below = |(to, here): &(String, PathBuf)| {
            let rest = path.strip_prefix(to.as_str())?;
            let inside = rest.is_empty() || rest.starts_with('/');
            inside.then(|| format!("{option}{}{rest}", here.display()))
        };
        let found = mounts.iter().find_map(below);
        found.unwrap_or_else(|| panic!("{word} lies in no volume: {mounts:?}"))
    }

    /// A service's program with these words and the service's environment.
    fn command(&self, name: &str, number: usize, words: &[String]) -> Command {
        let service = &self.services[name];
        let mounts = self.mounts(name, number);
        let mut words: Vec<String> = match words.first() {
            // A script's own paths are those of programs.
            Some(script) if texts(&service["entrypoint"]).contains(&"-c".to_owned()) => {
                vec![self.here(script, &[])]
            }
            _ => words.iter().map(|it| self.here(it, &mounts)).collect(),
        };
        let image = service["image"].as_str().unwrap();
        let entrypoint = texts(&service["entrypoint"]);
        let program = match (entrypoint.first(), image.split([':', '/']).next().unwrap()) {
            (Some(own), _) if own == "/usr/bin/weed" => self.bin.join("weed"),
            (Some(own), _) => {
                words.splice(0..0, entrypoint[1..].iter().cloned());
                own.into()
            }
            (None, "nats") => self.bin.join("nats-server"),
            (None, "fedseal") => env!("CARGO_BIN_EXE_fedseal").into(),
            (None, other) => panic!("{other}: no program is known of this image"),
        };
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(&self.root)
            .env_clear()
            // The image's own.
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("HOME", self.root.join("user"))
            .env("FEDSEAL_SHARE", self.root.join("share"))
            .env(
                "FEDSEAL_ENGINES",
                std::env::var_os("FEDSEAL_ENGINES").unwrap(),
            );
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            command.env(variable, self.here(value.as_str().unwrap(), &mounts));
        }
        command
    }

    /// Starts a service, its copy of this number.
    fn copy(&self, name: &str, number: usize) -> Service {
        let words = texts(&self.services[name]["command"]);
        let log = self.root.join(format!("{name}-{number}.log"));
        let file = File::create(&log).unwrap();
        let child = self
            .command(name, number, &words)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Service { child, log }
    }

    fn start(&self, name: &str) -> Service {
        self.copy(name, 0)
    }

    /// Starts a service on a free port in the place of the file's, until it says these words. A port that somebody
    /// else took before it listens is another one the next time.
    fn listening(&mut self, name: &str, of_file: u16, words: &str) -> Service {
        for _ in 0..TRIES {
            self.ports.insert(of_file, port());
            let mut service = self.start(name);
            if service.comes_to(words) {
                return service;
            }
            let said = service.said();
            assert!(said.contains("in use"), "{name}: {said}");
        }
        panic!("{name} found no port in {TRIES} tries");
    }

    /// Starts PostgreSQL as its image does: with the user, password and database of its environment.
    fn records(&self) -> Option<Postgres> {
        let service = &self.services["records"];
        assert_eq!(
            service["image"].as_str().unwrap().split(':').next(),
            Some("postgres")
        );
        let of = |name: &str| {
            let value = service["environment"][name].as_str().unwrap();
            filled(value, &self.variables)
        };
        Postgres::start(
            self.ports[&5432],
            &of("POSTGRES_USER"),
            &of("POSTGRES_PASSWORD"),
            &of("POSTGRES_DB"),
        )
    }

    /// `docker compose exec SERVICE fedseal WORDS`
    fn exec(&self, name: &str, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        let done = self.command(name, 0, &words).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{words:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

/// Ports of the store in the place of the file's: SeaweedFS has a second one for each of its own, 10,000 above. No
/// connection gets one of them: the system takes those above 32,768.
fn ports() -> BTreeMap<u16, u16> {
    let base = 26_000 + (std::process::id() % 500) as u16 * 8;
    let own = (0..).map(|n| base + n);
    let mut ports: BTreeMap<u16, u16> = PORTS.into_iter().zip(own).collect();
    ports.insert(5432, port());
    ports
}

/// Makes the image's own files: modules, and the key that signed them.
fn share(home: &Path, share: &Path) {
    let policies = share.join("policies");
    fs::create_dir_all(&policies).unwrap();
    for file in fs::read_dir(home.join("modules")).unwrap().flatten() {
        fs::copy(file.path(), policies.join(file.file_name())).unwrap();
    }
    let author = SigningKey::load(home.join("keys/author.pem")).unwrap();
    let text = format!(
        "[[keys]]\nname = \"built fedseal {}\"\nkey = \"{}\"\n",
        env!("CARGO_PKG_VERSION"),
        author.public()
    );
    fs::write(share.join("trusted.toml"), text).unwrap();
}

#[test]
fn the_services_of_compose_do_a_federation_and_a_run() {
    let Some(weed) = program("weed") else {
        return;
    };
    let bin = weed.parent().unwrap().to_owned();
    let home = home();
    let root = home.path().join("compose");
    fs::create_dir_all(root.join("volumes/coordinator/runs")).unwrap();
    share(home.path(), &root.join("share"));
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut compose = Compose {
        services: services(&bin.join("python"), &deploy.join("compose.yaml")),
        root,
        deploy,
        bin,
        ports: ports(),
        variables: ["NATS_SECRET", "STORE_SECRET", "RECORDS_SECRET"]
            .map(|name| (name.to_owned(), "s3cretOfATest".to_owned()))
            .into(),
    };

    let Some(_records) = compose.records() else {
        return;
    };
    // The store takes longest; what it needs less is done meanwhile.
    let _store = compose.start("store");
    let _coordinator = compose.listening("coordinator", 8660, " at http://");
    // A second process reads what the coordinator has made in PostgreSQL.
    let records = texts(&compose.services["coordinator"]["command"]);
    let records = records.iter().find(|it| it.starts_with("--registry="));
    let said = compose.exec(
        "coordinator",
        &["module", "list", records.unwrap().as_str()],
    );
    assert!(said.contains("no module was submitted yet"), "{said}");
    let federation = |compose: &Compose, words: &[&str]| {
        compose.exec("coordinator", &[&["federation"], words].concat())
    };
    federation(&compose, &["create", "/deploy/federation.toml"]);
    let names = ["north", "south", "west"];
    for name in names {
        let invitation = federation(&compose, &["invite", "federation", "--client", name]);
        let variable = format!("{}_INVITATION", name.to_uppercase());
        compose
            .variables
            .insert(variable, invitation.trim().to_owned());
    }
    let mut nodes: Vec<Service> = names.iter().map(|name| compose.start(name)).collect();
    for node in &mut nodes {
        node.says("joined federation federation");
    }
    federation(&compose, &["start", "federation"]);
    for node in &mut nodes {
        node.ends();
    }
    assert!(federation(&compose, &["status", "federation"]).contains("federation: finished"));
    let said = compose.exec("coordinator", &["verify", "/state/runs/federation"]);
    assert!(said.contains("6 of the updates rest on the word"), "{said}");

    let _nats = compose.listening("nats", 4222, "Server is ready");
    compose.start("bucket").ends();
    // Who has no password gets nothing.
    let open = format!("http://127.0.0.1:{}/fedseal", compose.ports[&8333]);
    let stranger = Command::new(compose.bin.join("python"))
        .args([
            "-c",
            "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])",
        ])
        .arg(open)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(said.contains("403"), "{said}");
    let replicas = compose.services["worker"]["deploy"]["replicas"].as_u64();
    let workers = 0..usize::try_from(replicas.unwrap()).unwrap();
    let _workers: Vec<Service> = workers.map(|n| compose.copy("worker", n)).collect();
    compose.start("run").ends();
    compose.exec(
        "run",
        &[
            "run",
            "/deploy/experiment.toml",
            "-q",
            "--out",
            "/state/runs/alone",
        ],
    );
    let runs = compose.root.join("volumes/coordinator/runs");
    assert_eq!(
        adapters(&runs.join("experiment")),
        adapters(&runs.join("alone"))
    );
    compose.exec("run", &["verify", "/state/runs/experiment"]);
}

//! Federations as processes over loopback: the bits of one process whoever is killed, no row of a shard on the
//! wire, and a coordinator that is set back and goes on otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_federation::node::deeds::{self, Deed};
use fedseal_federation::work::desk::Fate;
use serde_json::Value;

use crate::program::small::{SMALL, home};
use crate::program::{ok, refused};
use crate::{BETWEEN, LONG, Started, adapters, holds, kills, once_each};

pub(super) const NAMES: [&str; 3] = ["north", "south", "west"];
/// Rounds without more kills than the test's own; each further one gets [`MORE`].
const ROUNDS: usize = 2;
/// Rounds that go by in the time of a kill, with some to spare.
const MORE: usize = 4;

/// Text that stands in every row of a shard.
fn marker(name: &str, row: usize) -> String {
    format!("Marker{name}{row}Zyzzyva")
}

/// Shards, an experiment over them, and the same as a federation.
pub(super) fn place(home: &Path, nodes: &str, rounds: usize) {
    let sizes = SMALL.replace(
        "clients = 2\nmalicious = 0\nsampled = 2\nrounds = 1\nexamples_per_client = 8",
        &format!("sampled = 3\nrounds = {rounds}"),
    );
    let (mut alone, mut fed) = (
        sizes.clone(),
        format!("{sizes}[federation.nodes]\n{nodes}\n"),
    );
    for name in NAMES {
        let row = |row| {
            let marker = marker(name, row);
            format!("{{\"prompt\": \"What is {marker}?\", \"response\": \"It is {marker}.\"}}\n")
        };
        let rows: String = (0..6).map(row).collect();
        fs::write(home.join(format!("{name}.jsonl")), rows).unwrap();
        alone += &format!("[[clients]]\nname = \"{name}\"\nshard = \"{name}.jsonl\"\n");
        fed += &format!("[[clients]]\nname = \"{name}\"\n");
    }
    fs::write(home.join("alone.toml"), alone).unwrap();
    fs::write(home.join("fed.toml"), fed).unwrap();
    let site = "[[allow]]\nname = \"the author's\"\nsigners = [\"author\"]\nshards = [\"*\"]\n";
    fs::write(home.join("site.toml"), site).unwrap();
    fs::create_dir(home.join("runs")).unwrap();
}

/// Hands on what goes between nodes and the coordinator, and keeps what nodes send.
pub(super) struct Wire {
    /// Where nodes reach it, whichever port the coordinator has.
    pub(super) address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// Address of the coordinator itself.
    pub(super) fn coordinator(&self) -> SocketAddr {
        self.to.lock().unwrap().unwrap()
    }

    pub(super) fn new() -> Wire {
        let to: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (kept, reached) = (sent.clone(), to.clone());
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = *reached.lock().unwrap();
                // While the coordinator is down nobody is reached.
                let Some(Ok(to)) = to.map(TcpStream::connect) else {
                    continue;
                };
                let (answer, back) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                let kept = kept.clone();
                std::thread::spawn(move || pump(from, to, Some(&kept)));
                std::thread::spawn(move || pump(answer, back, None));
            }
        });
        Wire { address, to, sent }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, kept: Option<&Mutex<Vec<u8>>>) {
    let mut piece = [0; 64 << 10];
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
        if let Some(kept) = kept {
            kept.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    // What nodes send in a measurement comes to hundreds of MiB: most places are passed at their first byte.
    let mut windows = all.windows(part.len());
    windows.any(|it| it[0] == part[0] && it == part)
}

/// Text as it is, and as the inner part of its base64 at each of three places.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec()];
    for before in 0..3 {
        let padded = format!("{}{text}", "x".repeat(before));
        let coded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(padded);
        forms.push(coded.as_bytes()[4..coded.len() - 2].to_vec());
    }
    forms
}

/// A coordinator on a free port, which the wire leads to.
pub(super) fn serve(home: &Path, wire: &Wire) -> Started {
    serve_with(home, wire, &[])
}

/// A coordinator with further words.
pub(super) fn serve_with(home: &Path, wire: &Wire, more: &[&str]) -> Started {
    let name = wire.address.to_string();
    let words = [
        "serve",
        "--runs",
        "runs",
        "--registry",
        "registry",
        "--federations",
        "books",
        "--modules",
        "modules",
        "--addr",
        "127.0.0.1:0",
        "--name",
        &name,
    ];
    let mut coordinator = Started::new(home, &[&words, more].concat());
    let said = coordinator.tells(" at http://");
    let address = said.rsplit('/').next().unwrap();
    *wire.to.lock().unwrap() = Some(address.parse().unwrap());
    coordinator
}

/// A command about federations, on the coordinator's books.
pub(super) fn federation(home: &Path, words: &[&str]) -> String {
    ok(
        home,
        &[&["federation"], words, &["--state", "books"]].concat(),
    )
}

pub(super) fn status(home: &Path) -> Value {
    let told: Value =
        serde_json::from_str(&federation(home, &["status", "fed", "--json"])).unwrap();
    told["federations"][0].clone()
}

/// Waits until the federation's status is so.
pub(super) fn until(home: &Path, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let status = status(home);
        if fits(&status) {
            return status;
        }
        assert!(begun.elapsed() < LONG, "not {what}: {status:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub(super) fn node(home: &Path, name: &str, wire: &Wire, invitation: Option<&str>) -> Started {
    let url = format!("http://{}", wire.address);
    let (shard, state) = (format!("{name}={name}.jsonl"), format!("state-{name}"));
    let key = format!("{name}.pem");
    let mut words = vec![
        "node",
        "--coordinator",
        &url,
        "--key",
        &key,
        "--shard",
        &shard,
        "--site",
        "site.toml",
        "--state",
        &state,
    ];
    // One joins with the program of the release before, as far as the protocol tells; it goes on with this one.
    if name == "south" && invitation.is_some() {
        words.extend(["--protocol", "1"]);
    }
    words.extend(
        invitation
            .map(|text| ["--invitation", text])
            .into_iter()
            .flatten(),
    );
    Started::new(home, &words)
}

/// Answer to a request of nobody.
fn asked(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Every node, joined.
pub(super) fn joined(home: &Path, wire: &Wire) -> Vec<Started> {
    let join = |name| {
        let invitation = federation(home, &["invite", "fed", "--client", name]);
        let mut started = node(home, name, wire, Some(invitation.trim()));
        started.says("joined federation fed");
        started
    };
    NAMES.into_iter().map(join).collect()
}

pub(super) fn deeds_of(home: &Path, name: &str) -> Vec<Deed> {
    let log = home.join(format!("state-{name}/log"));
    let files = fs::read_dir(home).unwrap().flatten();
    // A key that was rotated lies beside its successor.
    let mut keys = files.filter_map(|file| {
        let file = file.file_name().to_string_lossy().into_owned();
        let own = file.starts_with(name) && file.ends_with(".pem");
        own.then(|| SigningKey::load(home.join(file)).unwrap().public())
    });
    let read = keys.find_map(|key| deeds::read(&log, &key).ok());
    read.unwrap()
}

/// Bytes of all files below a folder.
fn all(folder: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all(&path, into),
            false => into.extend(fs::read(&path).unwrap()),
        }
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// The federation's run by one process that has every shard.
pub(crate) fn execute_alone(home: &Path) {
    let run = [
        "run",
        "alone.toml",
        "--modules",
        "modules",
        "--no-figures",
        "-q",
        "--out",
        "alone",
    ];
    ok(home, &run);
}

/// A federation that runs, of which the first node has sent an update.
pub(crate) fn begun(home: &Path) -> (Wire, Started, Vec<Started>) {
    let wire = Wire::new();
    let mut coordinator = serve(home, &wire);
    federation(home, &["create", "fed.toml"]);
    let mut nodes = joined(home, &wire);
    federation(home, &["start", "fed"]);
    coordinator.says("federation fed runs");
    nodes[0].says("sent (recorded)");
    (wire, coordinator, nodes)
}

/// Waits until a coordinator that was started again executes the federation, or has nothing to do any more.
fn goes_on(home: &Path, coordinator: &Started) {
    let begun = Instant::now();
    let runs = |line: String| line.contains("federation fed runs");
    while !coordinator.lines.try_iter().any(runs) && status(home)["phase"] != "finished" {
        assert!(begun.elapsed() < LONG, "the coordinator does not go on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nodes_give_the_bits_of_one_process_whoever_is_killed() {
    let home = home();
    let home = home.path();
    let more = kills();
    let rounds = ROUNDS + MORE * more;
    place(home, "deadline = 120", rounds);
    execute_alone(home);

    let wire = Wire::new();
    let mut coordinator = serve(home, &wire);
    let said = coordinator.says("the administrator's token");
    let token = said.rsplit(' ').next().unwrap();
    fs::write(home.join("token"), token).unwrap();
    // Over HTTP, by who has the token alone.
    let url = format!("http://{}", wire.coordinator());
    let create = [
        "federation",
        "create",
        "fed.toml",
        "--server",
        &url,
        "--token-file",
    ];
    fs::write(home.join("guess"), "fedseal-admin-guess").unwrap();
    let said = refused(home, &[&create[..], &["guess"]].concat());
    assert!(said.contains("not the administrator's token"), "{said}");
    ok(home, &[&create[..], &["token"]].concat());
    let mut nodes = joined(home, &wire);
    federation(home, &["start", "fed"]);
    let said = asked(wire.coordinator(), "/federation/v9/fed/next");
    assert!(said.contains("speaks versions 1 to 2"), "{said}");

    // A node and the coordinator die while others work.
    nodes[0].says("sent (recorded)");
    assert!(nodes.remove(0).kill());
    assert!(coordinator.kill());
    let mut coordinator = serve(home, &wire);
    coordinator.says("federation fed runs");
    nodes.insert(0, node(home, "north", &wire, None));
    // An upgrade in the middle.
    assert!(nodes.remove(1).kill());
    // Its key is another one from now on; this federation knows the old one.
    ok(home, &["key", "rotate", "--key", "south.pem"]);
    nodes.insert(1, node(home, "south", &wire, None));
    let (mut coordinators, mut killed) = (1, 2);
    for victim in 0..more {
        std::thread::sleep(BETWEEN);
        if status(home)["phase"] == "finished" {
            break;
        }
        match NAMES.get(victim % (NAMES.len() + 1)) {
            Some(name) => {
                let at = victim % (NAMES.len() + 1);
                // It ends before its folder is opened again.
                killed += usize::from(nodes.remove(at).kill());
                nodes.insert(at, node(home, name, &wire, None));
            }
            None => {
                coordinators += usize::from(coordinator.kill());
                coordinator = serve(home, &wire);
                goes_on(home, &coordinator);
            }
        }
    }
    let status = until(home, "finished", |status| status["phase"] == "finished");
    assert_eq!(status["nodes"].as_array().unwrap().len(), NAMES.len());
    for node in &mut nodes {
        node.ends();
    }

    assert_eq!(
        adapters(&home.join("runs/fed")),
        adapters(&home.join("alone"))
    );
    // Each node's line is under the last checkpoint, whether it came before or after the last state.
    let lines = || {
        let note = fs::read_to_string(home.join("runs/fed/log/checkpoint")).unwrap();
        note.matches("fedseal-node-").count()
    };
    let begun = Instant::now();
    while lines() < NAMES.len() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "lines are missing"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = holds(home, "runs/fed");
    assert!(
        said.contains(&format!(
            "{} of the updates rest on the word of the node",
            3 * rounds
        )),
        "{said}"
    );
    let logged = once_each(&home.join("runs/fed"), NAMES.len(), rounds);
    for name in NAMES {
        let deeds = deeds_of(home, name);
        let executed = deeds.iter().filter_map(|deed| match deed {
            Deed::Executed {
                job, attestation, ..
            } => Some((*job, *attestation)),
            _ => None,
        });
        let executed: Vec<_> = executed.collect();
        assert_eq!(executed.len(), rounds, "{name}: {deeds:#?}");
        let executed: BTreeMap<Digest, Digest> = executed.into_iter().collect();
        assert_eq!(executed.len(), rounds);
        // What was acknowledged is in the log.
        for deed in &deeds {
            if let Deed::Sent { job, fate, .. } = deed {
                assert!(matches!(fate, Fate::Recorded | Fate::Twice), "{deed:?}");
                assert!(logged.contains(&executed[job]), "{name}: {deed:?}");
            }
        }
    }

    // Nothing of a shard reached the coordinator; what nodes do tell is found in the same way.
    let mut received = wire.sent.lock().unwrap().clone();
    let shard = status["nodes"][0]["shard"].as_str().unwrap().to_owned();
    assert!(
        contains(&received, shard.as_bytes()),
        "the search finds nothing"
    );
    all(&home.join("runs/fed"), &mut received);
    all(&home.join("books"), &mut received);
    for name in NAMES {
        for form in (0..6).flat_map(|row| forms(&marker(name, row))) {
            let shown = String::from_utf8_lossy(&form).into_owned();
            assert!(!contains(&received, &form), "{shown} left {name}");
        }
    }

    // Each site has the adapter that the federation ended with, and the proof of it.
    let last = adapters(&home.join("runs/fed")).pop().unwrap();
    let last = last.as_str().unwrap();
    let key = status["coordinator"].as_str().unwrap();
    for name in NAMES {
        let folder = home.join(format!("state-{name}/final"));
        let bytes = fs::read(folder.join("clean.safetensors")).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), last);
        let proof = folder.join("clean.tlog-proof").display().to_string();
        let said = ok(home, &["log", "check", &proof, "--key", key]);
        assert!(said.contains(last), "{said}");
    }

    // At its site an update can be executed again.
    let replay = ["replay", "runs/fed", "--sample", "1"];
    let said = refused(home, &replay);
    assert!(said.contains("--shard FILE"), "{said}");
    let said = ok(home, &[&replay[..], &["--shard", "north.jsonl"]].concat());
    assert!(said.contains("1 of 1 equal"), "{said}");
    // Every assertion held until here.
    let total = coordinators + killed;
    println!(
        "federation: bits 1, survived {total}, kills {total}, coordinator {coordinators}, nodes {killed}, leaks 0"
    );
}

#[test]
fn a_node_whose_key_is_revoked_hears_so_and_the_rest_goes_on() {
    let home = home();
    let home = home.path();
    place(home, "deadline = 60\nleast_updates = 1", 40);
    let (_wire, _coordinator, mut nodes) = begun(home);
    let revoke = ["revoke", "fed", "--client", "north", "--reason", "stolen"];
    let said = federation(home, &revoke);
    assert!(said.contains("its key was revoked: stolen"), "{said}");
    let said = nodes[0].says("key was revoked");
    assert!(said.contains("stolen"), "{said}");
    let status = until(home, "finished", |status| status["phase"] == "finished");
    assert!(status["refused"]["revoked"].as_u64().unwrap() > 0);
    let said = ok(home, &["verify", "runs/fed"]);
    assert!(said.contains("rest on the word of the node"), "{said}");
}

#[test]
fn a_coordinator_that_is_set_back_is_caught_with_evidence() {
    let home = home();
    let home = home.path();
    // It is set back long before it ends: nodes of a finished federation leave.
    place(home, "deadline = 15", 600);
    let (wire, coordinator, mut nodes) = begun(home);
    drop(coordinator);
    let run = home.join("runs/fed");
    copy(&run, &home.join("before"));
    let size = |folder: &Path| -> u64 {
        let note = fs::read_to_string(folder.join("log/checkpoint")).unwrap();
        note.lines().nth(1).unwrap().parse().unwrap()
    };
    let before = size(&home.join("before"));

    let coordinator = serve(home, &wire);
    until(home, "seen by all", |status| {
        let nodes = status["nodes"].as_array().unwrap();
        // Two rounds further: what is sent again is the same, what is executed again is attested anew.
        let beyond = |node: &Value| node["cosigned"].as_u64().is_some_and(|at| at > before + 16);
        nodes.iter().all(beyond)
    });
    drop(coordinator);
    fs::remove_dir_all(&run).unwrap();
    copy(&home.join("before"), &run);
    let _coordinator = serve(home, &wire);
    let plan: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    let key = plan["node"].as_str().unwrap();
    for (name, node) in NAMES.iter().zip(&mut nodes) {
        node.says("two histories");
        assert!(!node.child.wait().unwrap().success());
        let folder: PathBuf = home.join(format!("state-{name}/evidence"));
        let file = fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let file = file.display().to_string();
        let said = ok(home, &["log", "check", &file, "--key", key]);
        assert!(said.contains("signed two histories"), "{said}");
        let stranger = SigningKey::from_seed([9; 32]).public().to_string();
        refused(home, &["log", "check", &file, "--key", &stranger]);
    }
}

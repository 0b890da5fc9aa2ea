//! Cosignatures and proof files against an implementation that fedseal did not write (PyPI aics-tlog
//! and aics-witness, `tests/oracles/tlog`): it accepts ours, we accept its, its witness speaks the
//! protocol with our client, and it audits a whole log. Runs when those are installed for
//! `$FEDSEAL_PYTHON` or `python3`; FEDSEAL_REQUIRE_ORACLES=1 makes their absence a failure.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::remote::{self, Answer};
use fedseal_client_sdk::tlog::{
    AddCheckpoint, KeyKind, Policy, VerifierKey, add_signatures, cosign, cosigned_at,
};
use fedseal_ledger::{Log, LogReader, add_cosignatures};

const ORIGIN: &str = "fedseal.example/oracle";

fn python() -> Option<String> {
    let python = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
    let present = Command::new(&python)
        .args(["-c", "import aics_tlog, aics_witness"])
        .output()
        .is_ok_and(|o| o.status.success());
    if present {
        return Some(python);
    }
    assert!(
        std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
        "aics-tlog or aics-witness is missing for {python}"
    );
    eprintln!("skipped: needs `pip install -r tests/oracles/tlog/requirements.txt`");
    None
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/tlog/check.py")
}

fn log_key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

fn grown(dir: &Path, name: &str, first: &str, entries: usize) -> Log {
    let mut log = Log::create(dir.join(name), ORIGIN, log_key()).unwrap();
    for n in 0..entries {
        log.append(format!("{first} {n}").as_bytes()).unwrap();
    }
    log.publish().unwrap();
    log
}

#[test]
fn each_reads_the_others_cosignatures() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = grown(dir.path(), "log", "entry", 300);
    let log_vkey = VerifierKey::new(ORIGIN, KeyKind::Log, log_key().public()).unwrap();
    let ours = SigningKey::from_seed([4; 32]);
    let vkey = VerifierKey::new("w.example/ours", KeyKind::Witness, ours.public()).unwrap();
    let line = cosign(log.note(), "w.example/ours", &ours, 1_700_000_000).unwrap();
    let note = dir.path().join("note");
    let verify = |text: &str, quorum: &str, witnesses: &[&VerifierKey]| {
        fs::write(&note, text).unwrap();
        let out = Command::new(&python)
            .arg(script())
            .arg("verify")
            .arg(&note)
            .arg(log_vkey.to_string())
            .arg(quorum)
            .args(witnesses.iter().map(ToString::to_string))
            .output()
            .unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let cosigned = add_signatures(log.note(), &line).unwrap();
    let (ok, said) = verify(&cosigned, "1", &[&vkey]);
    assert!(ok && said.contains("300 entries, 1 cosignatures"), "{said}");

    // The oracle can fail: nobody cosigned, another checkpoint, another key.
    assert!(!verify(log.note(), "1", &[&vkey]).0);
    let other = grown(dir.path(), "other", "other", 300);
    let moved = add_signatures(other.note(), &line).unwrap();
    assert!(!verify(&moved, "1", &[&vkey]).0);
    let stranger = SigningKey::from_seed([5; 32]).public();
    let stranger = VerifierKey::new("w.example/ours", KeyKind::Witness, stranger).unwrap();
    assert!(!verify(&cosigned, "1", &[&stranger]).0);

    // And the other way round.
    fs::write(&note, log.note()).unwrap();
    let made = Command::new(&python)
        .arg(script())
        .arg("cosign")
        .arg(&note)
        .arg("06".repeat(32))
        .args(["w.example/theirs", "1700000001"])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let theirs: VerifierKey = String::from_utf8_lossy(&made.stderr)
        .trim()
        .parse()
        .unwrap();
    let line = String::from_utf8(made.stdout).unwrap();
    let both = add_signatures(&cosigned, &line).unwrap();
    assert_eq!(cosigned_at(&both, &theirs).unwrap(), Some(1_700_000_001));
    let policy = format!("witness a {vkey}\nwitness b {theirs}\ngroup both all a b\nquorum both\n");
    let policy = Policy::parse(&policy).unwrap();
    policy.verify(&both, Some(&log_vkey)).unwrap();
    assert!(policy.verify(&cosigned, Some(&log_vkey)).is_err());
    assert!(verify(&both, "2", &[&vkey, &theirs]).0);
}

#[test]
fn a_cosigned_log_and_its_proof_files_hold_elsewhere() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = grown(dir.path(), "log", "entry", 700);
    let folder = log.dir().to_owned();
    let log_vkey = VerifierKey::new(ORIGIN, KeyKind::Log, log_key().public()).unwrap();
    let ours = SigningKey::from_seed([4; 32]);
    let vkey = VerifierKey::new("w.example/ours", KeyKind::Witness, ours.public()).unwrap();
    let (note, line) = (
        log.note().to_owned(),
        cosign(log.note(), "w.example/ours", &ours, 1_700_000_000).unwrap(),
    );
    drop(log);
    add_cosignatures(&folder, &log_key().public(), &note, &line).unwrap();
    let check = |words: &[&str]| {
        let out = Command::new(&python)
            .arg(script())
            .args(words)
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (dir_text, log_text) = (folder.to_str().unwrap(), log_vkey.to_string());
    let (ok, said) = check(&["audit", dir_text, &log_text]);
    assert!(ok && said.contains("4 tiles, 3 bundles"), "{said}");

    let reader = LogReader::open(&folder, &log_key().public()).unwrap();
    let file = dir.path().join("entry.tlog-proof");
    let proof = |text: &str, quorum: &str| {
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let key = vkey.to_string();
        check(&["proof", file, dir_text, &log_text, quorum, &key])
    };
    for index in [0, 1, 255, 256, 511, 512, 698, 699] {
        let text = reader.proof_file(index).unwrap().to_text();
        let (ok, said) = proof(&text, "1");
        assert!(ok && said.contains(&format!("entry {index}, ")), "{said}");
    }
    // It can fail: another entry's index, a hash too few, a quorum that is not there, another head.
    let mut moved = reader.proof_file(3).unwrap();
    moved.index = 2;
    assert!(!proof(&moved.to_text(), "1").0);
    let mut cut = reader.proof_file(3).unwrap();
    cut.proof.pop();
    assert!(!proof(&cut.to_text(), "1").0);
    assert!(!proof(&reader.proof_file(3).unwrap().to_text(), "2").0);
    let mut bare = reader.proof_file(3).unwrap();
    bare.checkpoint = note;
    let (ok, said) = proof(&bare.to_text(), "0");
    assert!(ok, "{said}");
    assert!(!proof(&bare.to_text(), "1").0);
    let bundle = folder.join("tile/entries/001");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[5] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert!(!check(&["audit", dir_text, &log_text]).0);
}

/// Ended with the test, whichever way it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_witness_that_is_not_ours_cosigns_for_us() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("witness.json");
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let log_vkey = VerifierKey::new(ORIGIN, KeyKind::Log, log_key().public()).unwrap();
    let call = |words: &[&str]| {
        let out = Command::new(&python)
            .args(["-m", "aics_witness"])
            .args(words)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    };
    let vkey = call(&["init", "--name", "w.example/theirs", "--listen", &listen]);
    let vkey: VerifierKey = vkey.trim().parse().unwrap();
    call(&[
        "add-log",
        "--origin",
        ORIGIN,
        "--vkey",
        &log_vkey.to_string(),
    ]);
    let _server = Server(
        Command::new(&python)
            .args(["-m", "aics_witness", "serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let url = format!("http://{listen}");
    for _ in 0..600 {
        if std::net::TcpStream::connect(&listen).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let ask = |log: &Log, old: u64| {
        let request = AddCheckpoint {
            old,
            proof: log.prove_consistency(old, log.size()).unwrap(),
            note: log.note().to_owned(),
        };
        remote::add_checkpoint(&url, &vkey, &request)
    };
    let mut log = grown(dir.path(), "log", "entry", 5);
    let Answer::Cosigned(_) = ask(&log, 0).unwrap() else {
        panic!("not cosigned");
    };
    for n in 0..300 {
        log.append(format!("more {n}").as_bytes()).unwrap();
    }
    log.publish().unwrap();
    assert_eq!(ask(&log, 0).unwrap(), Answer::Conflict { size: 5 });
    let Answer::Cosigned(line) = ask(&log, 5).unwrap() else {
        panic!("not cosigned");
    };
    let folder = log.dir().to_owned();
    let note = log.note().to_owned();
    assert!(
        add_cosignatures(&folder, &log_key().public(), &note, &line).is_err(),
        "while it is written"
    );
    drop(log);
    add_cosignatures(&folder, &log_key().public(), &note, &line).unwrap();
    let stored = fs::read_to_string(folder.join("checkpoint")).unwrap();
    assert!(cosigned_at(&stored, &vkey).unwrap().is_some());
    // It stays a whole log, and goes on.
    fedseal_ledger::fsck(&folder, &log_key().public()).unwrap();
    Log::open(&folder, ORIGIN, log_key()).unwrap();
    // It refuses what does not continue.
    let other = grown(dir.path(), "other", "other", 400);
    assert!(ask(&other, 305).is_err());
}

//! The log as Go's checksum-database library sees it (`tests/oracles/tlog`). Runs when `go` and
//! golang.org/x/mod are installed; FEDSEAL_REQUIRE_ORACLES=1 makes their absence a failure.

use std::fs;
use std::path::Path;
use std::process::Command;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::{Checkpoint, leaf_hash, verifier_key};
use fedseal_ledger::Log;
use serde_json::{Value, json};

/// Folder of Debian's golang-golang-x-mod-dev.
const GOPATH: &str = "/usr/share/gocode";
const ORIGIN: &str = "fedseal.example/oracle";

/// Go's `tlog.Hash` in JSON is base64.
fn base64(digest: &Digest) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in digest.0.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn hashes(proof: &[Digest]) -> Vec<String> {
    proof.iter().map(base64).collect()
}

fn inclusion(log: &Log, index: u64, checkpoint: &Checkpoint) -> Value {
    json!({
        "index": index,
        "size": checkpoint.size,
        "leaf": base64(&leaf_hash(&log.entry(index).unwrap())),
        "root": base64(&checkpoint.root),
        "hashes": hashes(&log.prove_inclusion(index, checkpoint.size).unwrap()),
    })
}

fn consistency(log: &Log, old: &Checkpoint, new: &Checkpoint) -> Value {
    json!({
        "old": old.size,
        "old_root": base64(&old.root),
        "new": new.size,
        "new_root": base64(&new.root),
        "hashes": hashes(&log.prove_consistency(old.size, new.size).unwrap()),
    })
}

#[test]
fn go_agrees() {
    let present = Path::new(GOPATH)
        .join("src/golang.org/x/mod/sumdb/tlog")
        .is_dir()
        && Command::new("go").arg("version").output().is_ok();
    if !present {
        assert!(
            std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
            "go or {GOPATH}/src/golang.org/x/mod is missing"
        );
        eprintln!("skipped: needs `apt-get install golang-go golang-golang-x-mod-dev`");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/tlog/main.go");
    let oracle = scratch.path().join("tlog");
    let build = Command::new("go")
        .args(["build", "-o"])
        .arg(&oracle)
        .arg(&source)
        .env("GO111MODULE", "off")
        .env("GOPATH", GOPATH)
        .env("GOFLAGS", "")
        .env("GOCACHE", scratch.path().join("cache"))
        .output()
        .unwrap();
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );

    let dir = scratch.path().join("log");
    let key = SigningKey::from_seed([3; 32]);
    let mut log = Log::create(&dir, ORIGIN, key.clone()).unwrap();
    let mut checkpoints = Vec::new();
    for step in [1, 1, 5, 248, 1, 1, 255, 88, 150] {
        for _ in 0..step {
            let n = log.size();
            log.append(format!("{{\"entry\":{n}}}").as_bytes()).unwrap();
        }
        checkpoints.push(log.publish().unwrap());
    }
    let last = checkpoints.last().unwrap();
    assert_eq!(last.size, 750);
    let mut included: Vec<Value> = (0..last.size)
        .step_by(37)
        .chain([255, 256, 749])
        .map(|i| inclusion(&log, i, last))
        .collect();
    included.extend(checkpoints.iter().map(|c| inclusion(&log, c.size / 2, c)));
    let mut consistent = Vec::new();
    for (i, old) in checkpoints.iter().enumerate() {
        consistent.extend(
            checkpoints[i..]
                .iter()
                .map(|new| consistency(&log, old, new)),
        );
    }
    let proofs = json!({ "inclusion": included, "consistency": consistent });

    let proofs_path = scratch.path().join("proofs.json");
    let vkey = verifier_key(ORIGIN, &key.public());
    let run = |proofs: &Value, vkey: &str| {
        fs::write(&proofs_path, proofs.to_string()).unwrap();
        Command::new(&oracle)
            .arg(&dir)
            .arg(vkey)
            .arg(&proofs_path)
            .output()
            .unwrap()
    };
    let good = run(&proofs, &vkey);
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&good.stdout).trim(),
        "ok: 750 entries, 33 inclusion proofs, 45 consistency proofs"
    );

    // The oracle itself can fail: a wrong root, no proofs, another key, a changed entry.
    let mut wrong = proofs.clone();
    wrong["consistency"][3]["new_root"] = wrong["consistency"][0]["old_root"].clone();
    assert!(!run(&wrong, &vkey).status.success());
    assert!(
        !run(&json!({ "inclusion": [], "consistency": [] }), &vkey)
            .status
            .success()
    );
    let other = verifier_key(ORIGIN, &SigningKey::from_seed([4; 32]).public());
    assert!(!run(&proofs, &other).status.success());
    let bundle = dir.join("tile/entries/001");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[5] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert!(!run(&proofs, &vkey).status.success());
}

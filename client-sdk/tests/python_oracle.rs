//! Envelopes as securesystemslib and in-toto-attestation see them (`tests/oracles/dsse`). Runs
//! when those are installed for `$FEDSEAL_PYTHON` or `python3`; FEDSEAL_REQUIRE_ORACLES=1 makes
//! their absence a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_client_sdk::attestation::{
    self, DataUse, Failure, Limits, TranscriptRef, UpdatePredicate, Usage,
};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::Lineage;
use fedseal_client_sdk::module::{self, ModulePredicate};

fn oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/dsse")
}

#[test]
fn envelopes_made_elsewhere_verify_here() {
    for name in [
        "made-by-securesystemslib.json",
        "made-by-in-toto-attestation.json",
        "made-by-sigstore.json",
        "made-by-two-kinds-of-key.json",
    ] {
        signed_by_seven(&fs::read(oracle().join(name)).unwrap(), name);
    }
}

/// Checks a module's envelope by the author of seed 7, in the order of its signatures and reversed.
fn signed_by_seven(json: &[u8], name: &str) {
    let mut envelope = Envelope::from_json(json).unwrap();
    let author = SigningKey::from_seed([7; 32]).public();
    for _ in 0..2 {
        let verified = module::verify(b"wasm", &envelope, &[author]).unwrap();
        assert_eq!(verified.predicate.name, "plain", "{name}");
        assert_eq!(verified.predicate.kind.as_deref(), Some("benign"), "{name}");
        // As it is stored and named by its digest.
        let stored = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
        assert_eq!(stored, envelope, "{name}");
        envelope.signatures.reverse();
    }
    let stranger = SigningKey::from_seed([8; 32]).public();
    assert!(
        module::verify(b"wasm", &envelope, &[stranger]).is_err(),
        "{name}"
    );
    assert!(
        module::verify(b"wasn", &envelope, &[author]).is_err(),
        "{name}"
    );
}

fn failed_update(node: &SigningKey) -> UpdatePredicate {
    UpdatePredicate {
        client: "client-00".into(),
        round: Round(1),
        seed: Seed(42),
        module: Digest::of(b"module"),
        module_signer: node.public(),
        node: node.public(),
        base: Digest::of(b"base"),
        global: Digest::of(b"global"),
        update: None,
        examples: 0,
        data: vec![DataUse {
            origin: "shard".into(),
            digest: Digest::of(b"shard"),
            examples: 3,
        }],
        data_score: None,
        lineage: Lineage::default(),
        transcript: TranscriptRef {
            root: Digest::of(b"root"),
            entries: 0,
            blob: Digest::of(b"blob"),
        },
        limits: Limits::default(),
        used: Usage::default(),
        failure: Some(Failure {
            reason: "fuel".into(),
            detail: "«all fuel consumed»\n".into(),
        }),
        engine: "test".into(),
        seconds: 0.25,
    }
}

#[test]
fn python_agrees() {
    let python = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
    let present = Command::new(&python)
        .args([
            "-c",
            "import securesystemslib, cryptography, in_toto_attestation, sigstore",
        ])
        .output()
        .is_ok_and(|o| o.status.success());
    if !present {
        assert!(
            std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
            "{python} has no securesystemslib, cryptography, in-toto-attestation or sigstore"
        );
        eprintln!("skipped: needs the packages of tests/oracles/dsse/requirements.txt");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("envelope.json");
    let key = SigningKey::from_seed([1; 32]);
    let check = |bytes: &[u8], key: &SigningKey, predicate_type: &str, subject: Digest| {
        fs::write(&path, bytes).unwrap();
        Command::new(&python)
            .arg(oracle().join("check.py"))
            .arg("check")
            .arg(key.public().to_string())
            .arg(predicate_type)
            .arg(&path)
            .arg(subject.to_string())
            .output()
            .unwrap()
    };

    let mut about = ModulePredicate::new("plain", "0.1.0");
    about.description = Some("trains, \"quoted\", on ünïcode".into());
    let signed = module::sign(b"wasm", &about, &key).unwrap().to_bytes();
    let good = check(&signed, &key, module::PREDICATE_TYPE, Digest::of(b"wasm"));
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );

    let update = attestation::sign(&failed_update(&key), &key)
        .unwrap()
        .to_bytes();
    let good = check(
        &update,
        &key,
        attestation::PREDICATE_TYPE,
        Digest::of(b"root"),
    );
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );

    // The oracle itself can fail: another key, another subject, another type, a changed payload.
    let other = SigningKey::from_seed([2; 32]);
    let type_ = module::PREDICATE_TYPE;
    assert!(
        !check(&signed, &other, type_, Digest::of(b"wasm"))
            .status
            .success()
    );
    assert!(
        !check(&signed, &key, type_, Digest::of(b"wasn"))
            .status
            .success()
    );
    assert!(
        !check(
            &signed,
            &key,
            attestation::PREDICATE_TYPE,
            Digest::of(b"wasm")
        )
        .status
        .success()
    );
    let mut envelope = Envelope::from_bytes(&signed).unwrap();
    envelope.payload.replace_range(
        8..9,
        if envelope.payload[8..9] == *"A" {
            "B"
        } else {
            "A"
        },
    );
    assert!(
        !check(&envelope.to_bytes(), &key, type_, Digest::of(b"wasm"))
            .status
            .success()
    );

    // And the other way round: statements that these tools make.
    for tool in ["canonical", "in-toto-attestation", "sigstore", "two"] {
        let made = Command::new(&python)
            .arg(oracle().join("check.py"))
            .args(["make", tool, &"07".repeat(32), module::PREDICATE_TYPE])
            .arg("{\"name\":\"plain\",\"version\":\"1.0\",\"kind\":\"benign\"}")
            .args(["plain.wasm", &Digest::of(b"wasm").to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{tool}: {said}");
        // Absent and null are the same to us; canonical JSON of ours has the null.
        signed_by_seven(&made.stdout, tool);
    }
}

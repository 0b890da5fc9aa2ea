//! Signed folders as the OpenSSF's own tool sees them (PyPI model-signing, `tests/oracles/oms`).
//! Runs when it is installed for `$FEDSEAL_PYTHON` or `python3`; FEDSEAL_REQUIRE_ORACLES=1 makes its
//! absence a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_client_sdk::keys::{P256Key, P256PublicKey};
use fedseal_client_sdk::oms::{self, ModelSignature, SIGNATURE_FILE};

fn oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/oms")
}

fn read(folder: &Path) -> ModelSignature {
    ModelSignature::from_bytes(&fs::read(folder.join(SIGNATURE_FILE)).unwrap()).unwrap()
}

#[test]
fn a_folder_signed_elsewhere_verifies_here() {
    let folder = oracle().join("made-by-model-signing");
    let key = P256PublicKey::load(oracle().join("signer.pub.pem")).unwrap();
    let verified = read(&folder).verify(&folder, &key).unwrap();
    let names: Vec<&str> = verified.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["adapter_config.json", "notes/readme.txt"]);
    let other = P256Key::generate().unwrap().public();
    assert!(read(&folder).verify(&folder, &other).is_err());
}

/// The other forms that the tool writes; `tests/oracles/oms/make.py` made them.
#[test]
fn other_forms_made_elsewhere_are_read_or_named() {
    let folder = oracle().join("made-by-model-signing");
    // Its point is compressed.
    let key = P256PublicKey::load(oracle().join("signer.compressed.pem")).unwrap();
    let verify = |name: &str| {
        let file = oracle().join(name);
        let signature = ModelSignature::from_bytes(&fs::read(&file).unwrap()).unwrap();
        signature.verify_at(&file, &folder, &key)
    };
    // Outside the folder, in which another signature lies that the signer left out.
    assert_eq!(verify("outside.sig").unwrap().files.len(), 2);
    for (name, named) in [
        ("blake2b.sig", "hash_type is `blake2b`"),
        ("shards.sig", "method is `shards`"),
        ("certificate.sig", "a certificate chain"),
    ] {
        let error = verify(name).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn the_reference_tool_agrees() {
    let python = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
    let tool = |words: &[&str]| {
        let out = Command::new(&python)
            .args(["-m", "model_signing"])
            .args(words)
            .output();
        out.map(|out| {
            let said = [out.stdout, out.stderr].concat();
            (
                out.status.success(),
                String::from_utf8_lossy(&said).into_owned(),
            )
        })
    };
    if !tool(&["--version"]).is_ok_and(|(ok, _)| ok) {
        assert!(
            std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
            "{python} has no model-signing"
        );
        eprintln!("skipped: needs the packages of tests/oracles/oms/requirements.txt");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("adapter");
    fs::create_dir_all(folder.join("more")).unwrap();
    for (name, text) in [
        ("adapter_config.json", "{\"r\":4}"),
        ("adapter_model.safetensors", "weights"),
        ("more.txt", "a dot sorts before a slash"),
        ("more/\u{fc}nicode", "name"),
        (".hidden", "signed too"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let key = P256Key::generate().unwrap();
    let (private, public) = (dir.path().join("key.pem"), dir.path().join("key.pub.pem"));
    key.save_new_with(&private, None).unwrap();
    fs::write(&public, key.public().to_pem()).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let signature = folder.join(SIGNATURE_FILE);
    let check = |public: &Path| {
        tool(&[
            "verify",
            "key",
            &path(&folder),
            "--signature",
            &path(&signature),
            "--public_key",
            &path(public),
        ])
        .unwrap()
    };

    let bytes = oms::sign(&folder, &key).unwrap().to_bytes().unwrap();
    fs::write(&signature, &bytes).unwrap();
    let (ok, said) = check(&public);
    assert!(ok && said.contains("Verification succeeded"), "{said}");

    // It refuses another key, a changed file, one more and one less, a changed signature.
    let stranger = dir.path().join("stranger.pub.pem");
    fs::write(&stranger, P256Key::generate().unwrap().public().to_pem()).unwrap();
    assert!(!check(&stranger).0);
    let weights = folder.join("adapter_model.safetensors");
    let refused = |what: &str| {
        let (ok, said) = check(&public);
        assert!(!ok && said.contains(what), "{what}: {said}");
        let own = read(&folder).verify(&folder, &key.public());
        assert!(own.is_err(), "{what}");
    };
    fs::write(&weights, "heights").unwrap();
    refused("Hash mismatch");
    fs::remove_file(&weights).unwrap();
    refused("Missing files");
    fs::write(&weights, "weights").unwrap();
    fs::write(folder.join("extra"), "").unwrap();
    refused("Extra files");
    fs::remove_file(folder.join("extra")).unwrap();
    let mut bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let other = oms::sign(&oracle().join("made-by-model-signing"), &key).unwrap();
    let other: serde_json::Value = serde_json::from_slice(&other.to_bytes().unwrap()).unwrap();
    bundle["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"].clone();
    fs::write(&signature, bundle.to_string()).unwrap();
    refused("");

    // And the other way round, with the key from our file.
    fs::remove_file(&signature).unwrap();
    let (ok, said) = tool(&[
        "sign",
        "key",
        &path(&folder),
        "--signature",
        &path(&signature),
        "--private_key",
        &path(&private),
    ])
    .unwrap();
    assert!(ok, "{said}");
    let verified = read(&folder).verify(&folder, &key.public()).unwrap();
    assert_eq!(verified.files.len(), 5);
    assert!(check(&public).0);

    // A signature outside the folder, ours and the tool's.
    let outside = dir.path().join("outside.sig");
    fs::remove_file(&signature).unwrap();
    let bytes = oms::sign_to(&outside, &folder, &key).unwrap().to_bytes();
    fs::write(&outside, bytes.unwrap()).unwrap();
    let words = |verb: &str, option: &str, key: &Path| {
        let words = [verb, "key", &path(&folder), "--signature", &path(&outside)];
        let (ok, said) = tool(&[&words[..], &[option, &path(key)]].concat()).unwrap();
        assert!(ok, "{said}");
    };
    words("verify", "--public_key", &public);
    fs::remove_file(&outside).unwrap();
    words("sign", "--private_key", &private);
    let theirs = ModelSignature::from_bytes(&fs::read(&outside).unwrap()).unwrap();
    let verified = theirs.verify_at(&outside, &folder, &key.public()).unwrap();
    assert_eq!(verified.files.len(), 5);
}

use std::fs;

use serde_json::{Value, json};

use super::*;

fn adapter() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("notes")).unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    for (name, text) in [
        ("adapter_config.json", "{}"),
        ("adapter_model.safetensors", "weights"),
        ("notes/a", "first"),
        ("notes.md", "second"),
        (".hidden", "signed too"),
        (".git/HEAD", "not signed"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn a_signed_folder_verifies_and_every_change_is_named() {
    let (dir, key) = (adapter(), P256Key::generate().unwrap());
    let dir = dir.path();
    let signature = sign(dir, &key).unwrap();
    let bytes = signature.to_bytes().unwrap();
    fs::write(dir.join(SIGNATURE_FILE), &bytes).unwrap();
    let signature = ModelSignature::from_bytes(&bytes).unwrap();
    let verified = signature.verify(dir, &key.public()).unwrap();
    let names: Vec<&str> = verified.files.iter().map(|f| f.name.as_str()).collect();
    // Part by part: the folder `notes` comes before `notes.md`.
    let order = [
        ".hidden",
        "adapter_config.json",
        "adapter_model.safetensors",
        "notes/a",
        "notes.md",
    ];
    assert_eq!(names, order);
    assert_eq!(dir.file_name().unwrap().to_str(), Some(&*verified.name));

    let refused = |what: &str| {
        let error = signature
            .verify(dir, &key.public())
            .unwrap_err()
            .to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    fs::write(dir.join("notes/a"), "fyrst").unwrap();
    refused("notes/a: expected sha256");
    fs::remove_file(dir.join("notes/a")).unwrap();
    refused("\"notes/a\" is signed and not there");
    fs::write(dir.join("notes/a"), "first").unwrap();
    fs::write(dir.join("notes/b"), "more").unwrap();
    refused("\"notes/b\" is not signed");
    fs::remove_file(dir.join("notes/b")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/hostname", dir.join("link")).unwrap();
        refused("\"link\" is a symbolic link");
        assert!(sign(dir, &key).is_err());
        fs::remove_file(dir.join("link")).unwrap();
    }
    signature.verify(dir, &key.public()).unwrap();
    let other = P256Key::generate().unwrap();
    let error = signature.verify(dir, &other.public()).unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    assert!(sign(tempfile::tempdir().unwrap().path(), &key).is_err());
}

/// A bundle around a changed statement, signed again by the same key.
fn resigned(good: &ModelSignature, key: &P256Key, change: impl Fn(&mut Value)) -> ModelSignature {
    let mut bundle = good.clone();
    let payload = base64::decode("t", &good.dsse_envelope.payload).unwrap();
    let mut value: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut value);
    let payload = serde_json::to_vec(&value).unwrap();
    let signature = key.sign(&pae(PAYLOAD_TYPE, &payload)).unwrap();
    bundle.dsse_envelope.payload = base64::encode(&payload);
    bundle.dsse_envelope.signatures[0].sig = base64::encode(&signature);
    bundle
}

#[test]
fn what_is_signed_must_be_a_whole_model_signature() {
    let (dir, key) = (adapter(), P256Key::generate().unwrap());
    let good = sign(dir.path(), &key).unwrap();
    let verify = |bundle: &ModelSignature| bundle.verify(dir.path(), &key.public());
    verify(&resigned(&good, &key, |_| {})).unwrap();
    verify(&resigned(&good, &key, |v| {
        v["predicate"]["card"] = json!(1)
    }))
    .expect("version 1.0 passes over fields it does not know");
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 9] = [
        ("predicateType", |v| {
            v["predicateType"] = json!("https://model_signing/Digests/v0.1")
        }),
        ("_type", |v| {
            v["_type"] = json!("https://in-toto.io/Statement/v0.1")
        }),
        ("0 subjects", |v| v["subject"] = json!([])),
        ("the signed list of files", |v| {
            v["subject"][0]["digest"]["sha256"] = json!("0".repeat(64));
        }),
        ("method", |v| {
            v["predicate"]["serialization"]["method"] = json!("shards")
        }),
        ("hash_type", |v| {
            v["predicate"]["serialization"]["hash_type"] = json!("blake2b")
        }),
        ("algorithm", |v| {
            v["predicate"]["resources"][0]["algorithm"] = json!("blake2b")
        }),
        ("the signed list of files", |v| {
            v["predicate"]["resources"].as_array_mut().unwrap().pop();
        }),
        ("unknown field", |v| v["extra"] = json!(1)),
    ];
    for (what, change) in changes {
        let error = verify(&resigned(&good, &key, change))
            .unwrap_err()
            .to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn an_envelope_with_another_form_is_refused() {
    let (dir, key) = (adapter(), P256Key::generate().unwrap());
    let good = sign(dir.path(), &key).unwrap();
    let verify = |bundle: &ModelSignature| bundle.verify(dir.path(), &key.public());
    let mut none = good.clone();
    none.dsse_envelope.signatures.clear();
    assert!(verify(&none).is_err(), "no signature is no success");
    let mut two = good.clone();
    two.dsse_envelope
        .signatures
        .extend(good.dsse_envelope.signatures.clone());
    assert!(verify(&two).is_err());
    let mut media = good.clone();
    media.media_type = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
    assert!(verify(&media).is_err());
    let mut type_ = good.clone();
    type_.dsse_envelope.payload_type = "text/plain".into();
    assert!(verify(&type_).is_err());
    let mut hint = good.clone();
    hint.verification_material.public_key = Some(Hint { hint: None });
    verify(&hint).expect("a hint is only a hint");
    assert!(ModelSignature::from_bytes(b"{}").is_err());
    assert!(ModelSignature::from_bytes(&vec![b' '; MAX_BYTES + 1]).is_err());
    let more = |field: &str, of: &str| {
        let text = String::from_utf8(good.to_bytes().unwrap()).unwrap();
        text.replacen(field, of, 1).into_bytes()
    };
    let entries = more("\"tlogEntries\":[]", "\"tlogEntries\":[{\"a\":[1,2]},{}]");
    let read = ModelSignature::from_bytes(&entries).unwrap();
    verify(&read).expect("entries of a log are passed over");
    // A text that would take many times its size in memory is refused before it is built.
    let wide = format!("\"tlogEntries\":[{}0]", "{\"\":0},".repeat(100_000));
    let signatures = format!("\"signatures\":[{}", "{\"sig\":\"\"},".repeat(10_000));
    for bad in [
        more("\"tlogEntries\":[]", &wide),
        more("\"signatures\":[", &signatures),
    ] {
        let error = ModelSignature::from_bytes(&bad).unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{error}");
    }
    let many = resigned(&good, &key, |v| {
        v["predicate"]["serialization"]["ignore_paths"] = json!(vec![""; 400_000]);
    });
    let error = verify(&many).unwrap_err().to_string();
    assert!(error.contains("bytes of memory"), "{error}");
    // Every byte of what is signed counts.
    let payload = base64::decode("t", &good.dsse_envelope.payload).unwrap();
    for i in 0..payload.len() {
        let mut bad = payload.clone();
        bad[i] ^= 1;
        let mut bundle = good.clone();
        bundle.dsse_envelope.payload = base64::encode(&bad);
        assert!(verify(&bundle).is_err(), "flipped byte {i}");
    }
}

#[test]
fn other_hashes_and_certificates_are_named() {
    let (dir, key) = (adapter(), P256Key::generate().unwrap());
    let good = sign(dir.path(), &key).unwrap();
    let refused = |bundle: &ModelSignature| {
        let error = bundle.verify(dir.path(), &key.public()).unwrap_err();
        error.to_string()
    };
    // As the tool writes it: 64 bytes of digest, which SHA-256 has not.
    let blake = resigned(&good, &key, |v| {
        v["predicate"]["serialization"]["hash_type"] = json!("blake2b");
        for resource in v["predicate"]["resources"].as_array_mut().unwrap() {
            resource["algorithm"] = json!("blake2b");
            resource["digest"] = json!("ab".repeat(64));
        }
    });
    let error = refused(&blake);
    assert!(error.contains("hash_type is `blake2b`"), "{error}");
    let shards = resigned(&good, &key, |v| {
        v["predicate"]["serialization"]["method"] = json!("shards");
        v["predicate"]["serialization"]["shard_size"] = json!(1_000_000);
        v["predicate"]["resources"][0]["algorithm"] = json!("sha256-sharded-1000000");
    });
    let error = refused(&shards);
    assert!(error.contains("method is `shards`"), "{error}");

    let text = String::from_utf8(good.to_bytes().unwrap()).unwrap();
    let hint = text
        .find("\"publicKey\":")
        .map(|at| &text[at..=at + text[at..].find('}').unwrap()])
        .unwrap();
    let chain = "\"x509CertificateChain\":{\"certificates\":[{\"rawBytes\":\"MIIB\"}]}";
    let keyless = "\"certificate\":{\"rawBytes\":\"MIIB\"}";
    for (instead, named) in [
        (chain, "certificate chain"),
        (keyless, "Sigstore certificate"),
        ("\"unknown\":{}", "names no public key"),
    ] {
        let text = text.replace(hint, instead);
        let read = ModelSignature::from_bytes(text.as_bytes()).unwrap();
        let error = refused(&read);
        assert!(error.contains(named), "{error}");
    }
    // protobuf's JSON has two alphabets, and may leave the padding out.
    let url = |text: &str| text.replace('+', "-").replace('/', "_").replace('=', "");
    let mut other = good.clone();
    other.dsse_envelope.payload = url(&good.dsse_envelope.payload);
    other.dsse_envelope.signatures[0].sig = url(&good.dsse_envelope.signatures[0].sig);
    other.verify(dir.path(), &key.public()).unwrap();
}

#[test]
fn a_signature_outside_the_folder() {
    let (dir, key) = (adapter(), P256Key::generate().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("adapter.sig");
    // A model.sig that is there is then a file as any other.
    fs::write(dir.path().join(SIGNATURE_FILE), "an older one").unwrap();
    let signature = sign_to(&file, dir.path(), &key).unwrap();
    let verify = |file: &Path| signature.verify_at(file, dir.path(), &key.public());
    let verified = verify(&file).unwrap();
    assert_eq!(verified.files.len(), 6);
    fs::write(dir.path().join(SIGNATURE_FILE), "changed").unwrap();
    let error = verify(&file).unwrap_err().to_string();
    assert!(error.contains("model.sig: expected sha256"), "{error}");
    // In the folder, under another name: the signature's own file is left out, and no other.
    fs::remove_file(dir.path().join(SIGNATURE_FILE)).unwrap();
    let inside = dir.path().join("notes/own.sig");
    let signature = sign_to(&inside, dir.path(), &key).unwrap();
    fs::write(&inside, signature.to_bytes().unwrap()).unwrap();
    let check = |file: &Path| signature.verify_at(file, dir.path(), &key.public());
    check(&inside).unwrap();
    fs::write(dir.path().join(SIGNATURE_FILE), "added").unwrap();
    let error = check(&inside).unwrap_err().to_string();
    assert!(error.contains("\"model.sig\" is not signed"), "{error}");
}
